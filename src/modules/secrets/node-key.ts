import { generateIdentity, identityToRecipient } from 'age-encryption'
import { mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory, writeDurableFile } from '../../lib/durable-file.ts'
import { systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'

/** An age identity (X25519): what seals is public, what opens is not and is never logged. */
export interface NodeKey {
  recipient: string
  identity: string
}

/** The keys of a node: what is sealed anew is for the current one, what was sealed earlier may still need a retired one. */
export interface NodeKeys {
  readonly current: NodeKey
  readonly retired: readonly NodeKey[]
}

const IDENTITY = /^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}$/

/**
 * The keys in `<data_dir>/secrets`: `node.agekey`, made on the first start, and what `retired/` holds. A file that is there but cannot be
 * used is an error and is never replaced: without the key that it held nothing sealed for it can be read again. For the same reason none is made
 * in the place of one that is missing while `findSealed` names something that is sealed, or while there are retired ones.
 */
export async function loadNodeKeys(
  dataDir: string,
  system: System,
  findSealed: () => string | undefined,
): Promise<NodeKeys> {
  const directory = join(dataDir, 'secrets')
  const retiredDirectory = join(directory, 'retired')
  for (const each of [directory, retiredDirectory]) await removeHalfWritten(each)
  const file = join(directory, 'node.agekey')
  const retiredNames = (await namesIn(retiredDirectory)).filter((name) => name.endsWith('.agekey'))
  const makeFirst = async (): Promise<NodeKey> => {
    const sealed = findSealed() ?? (retiredNames.length > 0 ? retiredDirectory : undefined)
    if (sealed !== undefined) throw keyIsMissing(file, sealed)
    return makeKey(file, system)
  }
  const current = (await readKey(file)) ?? (await makeFirst())
  const retired: NodeKey[] = []
  for (const name of retiredNames) {
    const key = await readKey(join(retiredDirectory, name))
    // A death between the two files of a replacement leaves the current one in both.
    if (key && key.recipient !== current.recipient) retired.push(key)
  }
  return { current, retired }
}

function keyIsMissing(file: string, sealed: string): Error {
  return new Error(
    `${file} is missing, and ${sealed} shows that this node had a key, without which what it sealed cannot be read again. Restore the file from a backup, or put the identity of one of recovery_recipients there.`,
  )
}

/** Puts a new key in the place of the current one, which is kept among the retired ones: on the disk before it is replaced. */
export async function replaceNodeKey(dataDir: string, keys: NodeKeys, system: System): Promise<NodeKeys> {
  const old = retiredFile(dataDir, keys.current.recipient)
  await makeFolder(join(dataDir, 'secrets', 'retired'))
  await writeKey(old, keys.current, system)
  const current = await makeKey(join(dataDir, 'secrets', 'node.agekey'), system)
  return { current, retired: [...keys.retired, keys.current] }
}

/** Forgets a retired key for good. */
export async function dropRetiredKey(dataDir: string, keys: NodeKeys, recipient: string): Promise<NodeKeys> {
  await rm(retiredFile(dataDir, recipient), { force: true })
  return { ...keys, retired: keys.retired.filter((key) => key.recipient !== recipient) }
}

function retiredFile(dataDir: string, recipient: string): string {
  return join(dataDir, 'secrets', 'retired', `${recipient}.agekey`)
}

async function readKey(file: string): Promise<NodeKey | undefined> {
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
  return { identity, recipient: await identityToRecipient(identity) }
}

async function makeKey(file: string, system: System): Promise<NodeKey> {
  const identity = await generateIdentity()
  const key = { identity, recipient: await identityToRecipient(identity) }
  await makeFolder(join(file, '..'))
  await writeKey(file, key, system)
  return key
}

async function makeFolder(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await syncDirectory(join(directory, '..'))
}

/** The form that age-keygen writes, so that age and sops take the file as it is. */
async function writeKey(file: string, { identity, recipient }: NodeKey, system: System): Promise<void> {
  await writeDurableFile(file, `# created: ${system.nowIso()}\n# public key: ${recipient}\n${identity}\n`, {
    mode: 0o600,
  })
}

/** A key that a death kept from being put in its place was never used; it must not lie around. */
async function removeHalfWritten(directory: string): Promise<void> {
  for (const name of await namesIn(directory))
    if (name.endsWith('.tmp')) await rm(join(directory, name), { force: true })
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return []
    throw error
  }
}
