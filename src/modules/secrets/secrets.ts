import { createHash } from 'node:crypto'
import type { System } from '../../lib/system.ts'
import { loadNodeKey } from './node-key.ts'
import { namesInDocument, openDocument, sealDocument } from './sealed-document.ts'

/** Sealing at rest: what is stored is a SOPS document whose names are readable and whose values are not. */
export interface Secrets {
  /** The public key that values are sealed for (`age1...`). */
  recipient(): string
  /** Seals values. The text must be well-formed Unicode, else it could not be given back as it was. */
  seal(values: Readonly<Record<string, string>>): Promise<string>
  /** Opens a document of this node. Throws SealBroken when anything in it was changed. The result is shared: it is frozen. */
  open(document: string): Promise<Readonly<Record<string, string>>>
  /** The names in a document, without the key and without verifying anything. */
  names(document: string): string[]
}

const CACHE_ENTRIES = 256
const CACHE_BYTES = 8 * 1024 * 1024

/** Loads the node's key, or makes it on the first start. */
export async function createSecrets(deps: { dataDir: string; system: System }): Promise<Secrets> {
  const key = await loadNodeKey(deps.dataDir, deps.system)
  const opened = createOpenedDocuments()
  return {
    recipient: () => key.recipient,
    seal: async (values) => {
      for (const [name, value] of Object.entries(values)) {
        if (!name.isWellFormed() || !value.isWellFormed())
          throw new TypeError('a name or value to seal is not well-formed Unicode')
      }
      return sealDocument(values, [key.recipient], deps.system)
    },
    open: async (document) => {
      const known = opened.find(document)
      if (known) return known
      const values = Object.freeze(await openDocument(document, key, deps.system))
      opened.keep(document, values)
      return values
    },
    names: namesInDocument,
  }
}

/** Opened documents by the digest of their sealed text, the least recently used going first; only ever in memory. */
function createOpenedDocuments() {
  const entries = new Map<string, { values: Readonly<Record<string, string>>; bytes: number }>()
  let total = 0
  const digest = (document: string): string => createHash('sha256').update(document).digest('base64')
  const drop = (id: string): void => {
    total -= entries.get(id)?.bytes ?? 0
    entries.delete(id)
  }
  return {
    find: (document: string): Readonly<Record<string, string>> | undefined => {
      const id = digest(document)
      const found = entries.get(id)
      if (!found) return undefined
      entries.delete(id)
      entries.set(id, found)
      return found.values
    },
    keep: (document: string, values: Readonly<Record<string, string>>): void => {
      const id = digest(document)
      drop(id)
      entries.set(id, { values, bytes: document.length })
      total += document.length
      for (const oldest of entries.keys()) {
        if (entries.size <= CACHE_ENTRIES && total <= CACHE_BYTES) break
        drop(oldest)
      }
    },
  }
}
