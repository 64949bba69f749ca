import { createCipheriv, createDecipheriv, type CipherGCMTypes } from 'node:crypto'

const CIPHER: CipherGCMTypes = 'aes-256-gcm'
/** SOPS uses a nonce of 32 bytes instead of GCM's usual 12. */
export const IV_BYTES = 32
const TAG_BYTES = 16
const FORM =
  /^ENC\[AES256_GCM,data:([A-Za-z0-9+/]+={0,2}),iv:([A-Za-z0-9+/]+={0,2}),tag:([A-Za-z0-9+/]+={0,2}),type:(str|int|float|bool|bytes)\]$/

/** What is sealed has been changed, or is not for this node's key. The message holds nothing secret. */
export class SealBroken extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(`sealed values cannot be opened: ${message}`, options)
    this.name = 'SealBroken'
  }
}

/** Seals one leaf of a SOPS document. `place` (its key path, or the instant for the MAC) is authenticated with it. */
export function sealValue(plain: Buffer, dataKey: Buffer, iv: Buffer, place: string): string {
  // SOPS leaves empty text as it is; its form for sealed values has no place for empty data.
  if (plain.length === 0) return ''
  const cipher = createCipheriv(CIPHER, dataKey, iv, { authTagLength: TAG_BYTES })
  cipher.setAAD(Buffer.from(place))
  const data = Buffer.concat([cipher.update(plain), cipher.final()])
  const [d, i, t] = [data, iv, cipher.getAuthTag()].map((part) => part.toString('base64'))
  return `ENC[AES256_GCM,data:${d},iv:${i},tag:${t},type:str]`
}

/** Whether a value of a document is sealed. */
export function isSealed(value: unknown): value is string {
  return typeof value === 'string' && value.startsWith('ENC[AES256_GCM,')
}

/** Opens one leaf of text. Throws SealBroken when it was changed or stood at another place. */
export function openValue(sealed: unknown, dataKey: Buffer, place: string): Buffer {
  if (sealed === '') return Buffer.alloc(0)
  const { plain, type } = openLeaf(sealed, dataKey, place)
  if (type !== 'str') throw new SealBroken(`${place} is not a sealed text`)
  return plain
}

/** Opens one leaf of any type of SOPS; the plain form is that which its authentication code covers. Throws SealBroken. */
export function openLeaf(sealed: unknown, dataKey: Buffer, place: string): { plain: Buffer; type: string } {
  const match = typeof sealed === 'string' ? FORM.exec(sealed) : null
  if (!match) throw new SealBroken(`${place} is not a sealed text`)
  const [data, iv, tag] = match.slice(1, 4).map((part) => Buffer.from(part, 'base64'))
  // A shorter tag would be easier to forge, and Node takes one unless told otherwise.
  if (!data || iv?.length !== IV_BYTES || tag?.length !== TAG_BYTES)
    throw new SealBroken(`${place} is not a sealed text`)
  const decipher = createDecipheriv(CIPHER, dataKey, iv, { authTagLength: TAG_BYTES })
  decipher.setAAD(Buffer.from(place))
  decipher.setAuthTag(tag)
  try {
    return { plain: Buffer.concat([decipher.update(data), decipher.final()]), type: match[4] ?? '' }
  } catch (error) {
    throw new SealBroken(`${place} was changed`, { cause: error })
  }
}
