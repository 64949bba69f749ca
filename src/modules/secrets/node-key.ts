import { generateIdentity, identityToRecipient } from 'age-encryption'
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory, writeDurableFile } from '../../lib/durable-file.ts'
import { systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'

/** An age identity (X25519): what seals is public, what opens is not and is never logged. */
export interface NodeKey {
  recipient: string
  identity: string
}

const IDENTITY = /^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}$/

/**
 * The key of this node in `<data_dir>/secrets/node.agekey`, made on the first start. A file that is there but cannot be used is an
 * error and is never replaced: without the key that it held nothing sealed can be read again.
 */
export async function loadNodeKey(dataDir: string, system: System): Promise<NodeKey> {
  const directory = join(dataDir, 'secrets')
  const file = join(directory, 'node.agekey')
  const identity = (await readIdentity(file)) ?? (await makeIdentity(directory, file, system))
  return { identity, recipient: await identityToRecipient(identity) }
}

async function readIdentity(file: string): Promise<string | undefined> {
  let text: string
  try {
    const handle = await open(file, 'r')
    try {
      const { mode } = await handle.stat()
      if ((mode & 0o077) !== 0) throw new Error(`${file} can be read by other users; run: chmod 600 ${file}`)
      text = await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'))
  const identity = lines[0]?.trim() ?? ''
  if (lines.length !== 1 || !IDENTITY.test(identity)) {
    throw new Error(
      `${file} does not hold one age identity; restore it from a backup, sealed values cannot be read without it`,
    )
  }
  return identity
}

async function makeIdentity(directory: string, file: string, system: System): Promise<string> {
  const identity = await generateIdentity()
  const recipient = await identityToRecipient(identity)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await syncDirectory(join(directory, '..'))
  // The form that age-keygen writes, so that age and sops take the file as it is.
  await writeDurableFile(file, `# created: ${system.nowIso()}\n# public key: ${recipient}\n${identity}\n`, {
    mode: 0o600,
  })
  return identity
}
