import { chmod, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeDurableFile } from '../../lib/durable-file.ts'
import { systemCodeOf } from '../../lib/errors.ts'

/** Makes a directory of the ingress, for nobody but the owner. */
export async function ensurePrivateDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await chmod(directory, 0o700)
}

/** The JSON value in a file; `absent` when there is no file, undefined when there is one that cannot be read as JSON. */
export async function readSetFile(directory: string, name: string, absent: unknown): Promise<unknown> {
  try {
    return JSON.parse(await readFile(join(directory, name), 'utf8'))
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return absent
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** True while the file is there. */
export async function hasSetFile(directory: string, name: string): Promise<boolean> {
  return (await readdir(directory)).includes(name)
}

/** Writes what workers start from when there is nobody to ask. */
export async function writeSetFile(directory: string, name: string, text: string): Promise<void> {
  await writeDurableFile(join(directory, name), `${text}\n`)
}
