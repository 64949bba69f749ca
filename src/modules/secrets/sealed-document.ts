import { armor, Decrypter, Encrypter } from 'age-encryption'
import { createHash, timingSafeEqual } from 'node:crypto'
import type { System } from '../../lib/system.ts'
import { createTurns } from '../../lib/turns.ts'
import type { NodeKey } from './node-key.ts'
import { IV_BYTES, openValue, SealBroken, sealValue } from './sealed-value.ts'

/*
 * A SOPS document (JSON) for age recipients. The values stand in a branch of their own, so that no name can collide with the key
 * `sops`. The SOPS MAC covers the plain values in order, which an empty value does not change; a sealed digest of the names beside them
 * makes an added or dropped empty value noticed too.
 */
interface SealedDocument {
  values: Record<string, unknown>
  names_sha256: unknown
  sops: {
    age: { recipient: string; enc: string }[]
    lastmodified: string
    mac: unknown
    encrypted_regex: string
    version: string
  }
}

/** What setting up the cipher of one value costs, in bytes that could be sealed meanwhile. */
const VALUE_COST_BYTES = 4096
const DATA_KEY_BYTES = 32

/** Seals values for recipients under a new data key. */
export async function sealDocument(
  values: Readonly<Record<string, string>>,
  recipients: readonly string[],
  system: System,
): Promise<string> {
  const dataKey = system.randomBytes(DATA_KEY_BYTES)
  const mac = createHash('sha512')
  const seal = (plain: Buffer, place: string): string => {
    mac.update(plain)
    return sealValue(plain, dataKey, system.randomBytes(IV_BYTES), place)
  }
  const names = Object.keys(values)
  const sealed: [string, string][] = []
  const turns = createTurns(system, VALUE_COST_BYTES)
  for (const name of names) {
    const plain = Buffer.from(values[name] ?? '')
    await turns.take(plain.length)
    sealed.push([name, seal(plain, `values:${name}:`)])
  }
  const namesDigest = seal(Buffer.from(digestNames(names)), 'names_sha256:')
  // SOPS reads and authenticates the instant with whole seconds.
  const lastmodified = system.nowIso().replace(/\.\d+Z$/, 'Z')
  const document: SealedDocument = {
    values: Object.fromEntries(sealed),
    names_sha256: namesDigest,
    sops: {
      age: await wrapDataKey(dataKey, recipients),
      lastmodified,
      mac: sealValue(
        Buffer.from(mac.digest('hex').toUpperCase()),
        dataKey,
        system.randomBytes(IV_BYTES),
        lastmodified,
      ),
      encrypted_regex: '^(values|names_sha256)$',
      version: '3.9.0',
    },
  }
  return JSON.stringify(document)
}

/** Opens what `sealDocument` made. Throws SealBroken unless every value is as it was sealed, none is missing and none was added. */
export async function openDocument(
  text: string,
  keys: readonly NodeKey[],
  system: System,
): Promise<Record<string, string>> {
  const document = parseDocument(text)
  const { sops } = document
  const dataKey = await unwrapDataKey(sops.age, keys)
  const mac = createHash('sha512')
  const open = (sealed: unknown, place: string): Buffer => {
    const plain = openValue(sealed, dataKey, place)
    mac.update(plain)
    return plain
  }
  const names = Object.keys(document.values)
  const values: [string, string][] = []
  const turns = createTurns(system, VALUE_COST_BYTES)
  for (const name of names) {
    const sealed = document.values[name]
    await turns.take(typeof sealed === 'string' ? sealed.length : 0)
    values.push([name, open(sealed, `values:${name}:`).toString()])
  }
  const namesDigest = open(document.names_sha256, 'names_sha256:')
  const expected = openValue(sops.mac, dataKey, sops.lastmodified)
  if (!isSame(namesDigest, digestNames(names))) throw new SealBroken('a name was added or is missing')
  if (!isSame(expected, mac.digest('hex').toUpperCase()))
    throw new SealBroken('the authentication code does not fit')
  return Object.fromEntries(values)
}

/** The names in a sealed document; nothing is verified. */
export function namesInDocument(text: string): string[] {
  return Object.keys(parseDocument(text).values)
}

/** The public keys that a document was sealed for; nothing is verified. */
export function recipientsOfDocument(text: string): string[] {
  return parseDocument(text).sops.age.map(({ recipient }) => recipient)
}

function parseDocument(text: string): SealedDocument {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw new SealBroken('not a JSON document', { cause: error })
  }
  if (!isDocument(parsed)) throw new SealBroken('not a document of the form that Berth seals')
  return parsed
}

function isDocument(value: unknown): value is SealedDocument {
  if (!isRecord(value) || Object.keys(value).toSorted().join() !== 'names_sha256,sops,values') return false
  const { sops, values } = value
  return (
    isRecord(values) &&
    isRecord(sops) &&
    typeof sops['lastmodified'] === 'string' &&
    Array.isArray(sops['age']) &&
    sops['age'].every(
      (each) => isRecord(each) && typeof each['recipient'] === 'string' && typeof each['enc'] === 'string',
    )
  )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function digestNames(names: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(names)).digest('hex')
}

function isSame(given: Buffer, expected: string): boolean {
  const bytes = Buffer.from(expected)
  return given.length === bytes.length && timingSafeEqual(given, bytes)
}

async function wrapDataKey(
  dataKey: Buffer,
  recipients: readonly string[],
): Promise<SealedDocument['sops']['age']> {
  return Promise.all(
    recipients.map(async (recipient) => {
      const encrypter = new Encrypter()
      encrypter.addRecipient(recipient)
      return { recipient, enc: armor.encode(await encrypter.encrypt(dataKey)) }
    }),
  )
}

async function unwrapDataKey(
  stanzas: SealedDocument['sops']['age'],
  keys: readonly NodeKey[],
): Promise<Buffer> {
  for (const key of keys) {
    const own = stanzas.find((stanza) => stanza.recipient === key.recipient)
    if (own) return decryptDataKey(own.enc, key)
  }
  throw new SealBroken(
    `they are sealed for ${stanzas.map((each) => each.recipient).join(', ')}, this node is ${keys[0]?.recipient}`,
  )
}

/** The data key in a stanza of a document. Throws SealBroken. */
export async function decryptDataKey(armored: string, key: NodeKey): Promise<Buffer> {
  const decrypter = new Decrypter()
  decrypter.addIdentity(key.identity)
  try {
    const dataKey = Buffer.from(await decrypter.decrypt(armor.decode(armored)))
    if (dataKey.length === DATA_KEY_BYTES) return dataKey
  } catch (error) {
    throw new SealBroken('the data key was changed', { cause: error })
  }
  throw new SealBroken('the data key has the wrong length')
}
