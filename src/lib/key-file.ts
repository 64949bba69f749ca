import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncDirectory, writeDurableFile } from './durable-file.ts'
import { systemCodeOf } from './errors.ts'
import type { System } from './system.ts'

const KEY_BYTES = 32
const HEX = /^[0-9a-f]{64}\n?$/

/** The AES key in `file`; undefined when there is no file. One that others may read, or that holds something else, is an error. */
export async function readKeyFile(file: string): Promise<Buffer | undefined> {
  let handle
  try {
    handle = await open(file, 'r')
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
  try {
    const { mode } = await handle.stat()
    if ((mode & 0o077) !== 0) throw new Error(`${file} can be read by other users; run: chmod 600 ${file}`)
    const text = await handle.readFile('utf8')
    if (!HEX.test(text)) throw new Error(`${file} does not hold a key; restore it from a backup`)
    return Buffer.from(text.trim(), 'hex')
  } finally {
    await handle.close()
  }
}

/** The key in `file`, made when there is none. A file that cannot be used is never replaced. */
export async function ensureKeyFile(file: string, system: System): Promise<Buffer> {
  const present = await readKeyFile(file)
  if (present !== undefined) return present
  const directory = dirname(file)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await syncDirectory(dirname(directory))
  const key = system.randomBytes(KEY_BYTES)
  await writeDurableFile(file, `${key.toString('hex')}\n`, { mode: 0o600 })
  return key
}
