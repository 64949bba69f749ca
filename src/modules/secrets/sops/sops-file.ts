import { createHash, timingSafeEqual } from 'node:crypto'
import { decryptSops } from 'sops-age'
import { messageOf } from '../../../lib/errors.ts'
import type { NodeKey } from '../node-key.ts'
import { decryptDataKey } from '../sealed-document.ts'
import { isSealed, openLeaf, openValue } from '../sealed-value.ts'
import { readContainer, SopsFileRefused, type SopsContainer, type SopsFormat } from './sops-container.ts'

/** Values of a file that SOPS encrypted, as text. */
export type OpenedValues = [name: string, value: string][]

/**
 * Opens a flat file that SOPS encrypted for one of the keys. sops-age opens it; because that verifies no authentication code and turns numbers
 * into what JavaScript makes of them, every value is opened here as well, the code is checked over all of them before any is believed, and the
 * two must agree. Throws SopsFileRefused.
 */
export async function openSopsFile(
  text: string,
  format: SopsFormat,
  keys: readonly NodeKey[],
): Promise<OpenedValues> {
  const container = readContainer(text, format)
  const { key, dataKey } = await unwrap(container, keys)
  const opened = verify(container, dataKey)
  await compare(opened, text, format, key)
  return opened.map(({ name, type, plain }) => [name, type === 'bool' ? plain.toLowerCase() : plain])
}

async function unwrap(
  { metadata }: SopsContainer,
  keys: readonly NodeKey[],
): Promise<{ key: NodeKey; dataKey: Buffer }> {
  for (const key of keys) {
    const stanza = metadata.age.find(({ recipient }) => recipient === key.recipient)
    if (!stanza) continue
    try {
      return { key, dataKey: await decryptDataKey(stanza.enc, key) }
    } catch (error) {
      throw new SopsFileRefused('its data key is damaged', { cause: error })
    }
  }
  throw new SopsFileRefused(
    `it is encrypted for ${metadata.age.map(({ recipient }) => recipient).join(', ')} and not for this node, which is ${keys[0]?.recipient}`,
  )
}

interface OpenedLeaf {
  name: string
  /** `plain` for what is not encrypted. */
  type: string
  plain: string
}

/** The code covers the plain form of every value, encrypted or not, in the order of the file (SOPS README, "Message Authentication Code"). */
function verify({ leaves, metadata }: SopsContainer, dataKey: Buffer): OpenedLeaf[] {
  const mac = createHash('sha512')
  let opened: OpenedLeaf[]
  let expected: Buffer
  try {
    opened = leaves.map(([name, value]) => {
      const leaf = isSealed(value)
        ? openLeaf(value, dataKey, `${name}:`)
        : { type: 'plain', plain: plainBytes(value) }
      mac.update(leaf.plain)
      return { name, type: leaf.type, plain: readText(name, leaf.type, leaf.plain) }
    })
    expected = openValue(metadata.mac, dataKey, metadata.lastmodified)
  } catch (error) {
    if (error instanceof SopsFileRefused) throw error
    throw new SopsFileRefused(`it was changed since it was encrypted: ${messageOf(error)}`, { cause: error })
  }
  const actual = Buffer.from(mac.digest('hex').toUpperCase())
  if (expected.length !== actual.length || !timingSafeEqual(expected, actual))
    throw new SopsFileRefused('it was changed since it was encrypted: its authentication code does not fit')
  return opened
}

function plainBytes(value: string | number | boolean): Buffer {
  if (typeof value === 'boolean') return Buffer.from(value ? 'True' : 'False')
  return Buffer.from(String(value))
}

function readText(name: string, type: string, plain: Buffer): string {
  if (type === 'bytes') throw new SopsFileRefused(`${name} holds bytes; variables are text`)
  const text = plain.toString()
  if (!Buffer.from(text).equals(plain)) throw new SopsFileRefused(`${name} is not UTF-8`)
  return text
}

async function compare(
  opened: readonly OpenedLeaf[],
  text: string,
  format: SopsFormat,
  key: NodeKey,
): Promise<void> {
  let other: Record<string, unknown>
  try {
    // Never without a key: it would look for one in the home directory.
    other = (await decryptSops(text, { secretKey: key.identity, fileType: format })) as Record<
      string,
      unknown
    >
  } catch {
    // Its errors may quote the beginning of the key.
    throw new SopsFileRefused('sops-age cannot open it')
  }
  for (const { name, type, plain } of opened) {
    if (type === 'str' && other[name] !== plain)
      throw new SopsFileRefused(`two readers do not agree on the value of ${name}`)
  }
}
