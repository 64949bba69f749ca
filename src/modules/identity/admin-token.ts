import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeDurableFile } from '../../lib/durable-file.ts'
import { systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { newToken } from './credential.ts'

/**
 * The install admin token: the configured one, else the one in `<data_dir>/admin-token`, which is made (0600) when it is missing.
 * Throws when the file cannot be read or holds something else.
 */
export async function ensureAdminToken(
  settings: { admin_token: string | undefined; data_dir: string },
  system: System,
): Promise<string> {
  if (settings.admin_token !== undefined) return settings.admin_token
  const file = join(settings.data_dir, 'admin-token')
  const kept = await readToken(file)
  if (kept !== undefined) return kept
  const { plaintext } = newToken('admin', system)
  await writeDurableFile(file, `${plaintext}\n`, { mode: 0o600 })
  return plaintext
}

async function readToken(file: string): Promise<string | undefined> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
  const token = text.trim()
  if (!/^[\x21-\x7e]{20,200}$/.test(token)) {
    throw new Error(`${file} holds no usable token; remove it and a new one is made at the next start`)
  }
  return token
}
