import { readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CERTIFICATES_DIRECTORY,
  certificateIdOf,
  type CertificatePair,
  certificatePath,
  idOfCertificateFile,
  openCertificate,
  sealCertificate,
} from '../../ingress/contract/certificate-file.ts'
import { writeDurableFile } from '../../lib/durable-file.ts'
import { systemCodeOf } from '../../lib/errors.ts'

/** Chains and private keys on disk, sealed, at 0600: the one place where they are kept. Workers open them from there. */
export interface CertificateFiles {
  /** The id that a pair is kept under, from what is in it. */
  idOf(pair: CertificatePair): string
  /** Keeps a pair and gives its id; the same pair again changes nothing. It is not served before `publishCertificates` names it. */
  write(pair: CertificatePair): Promise<string>
  /** Opens a pair; undefined when there is none with this id. Throws when its file was changed. */
  read(id: string): Promise<CertificatePair | undefined>
  /** Forgets a pair for good, if it is there. It must not be published any more. */
  remove(id: string): Promise<void>
  /** Keeps the file of a pair that cannot be opened under another name, `.unusable` at its end, if it is there. */
  setAside(id: string): Promise<void>
  /** The ids of all pairs that are kept, published or not. */
  list(): Promise<string[]>
}

/** The pairs below `directory`, that of the ingress; `key` gives the data plane's key once it is known. */
export function createCertificateFiles(directory: string, key: () => Buffer): CertificateFiles {
  return {
    idOf: certificateIdOf,
    write: async (pair) => {
      const id = certificateIdOf(pair)
      await writeDurableFile(certificatePath(directory, id), sealCertificate(pair, key()))
      return id
    },
    read: async (id) => {
      const sealed = await readIfThere(certificatePath(directory, id))
      return sealed && openCertificate(sealed, key(), id)
    },
    remove: (id) => rm(certificatePath(directory, id), { force: true }),
    setAside: async (id) => {
      const path = certificatePath(directory, id)
      await rename(path, `${path}.unusable`).catch((error: unknown) => {
        if (systemCodeOf(error) !== 'ENOENT') throw error
      })
    },
    list: async () => {
      const names = await readdir(join(directory, CERTIFICATES_DIRECTORY))
      return names.map(idOfCertificateFile).filter((id) => id !== undefined)
    },
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
