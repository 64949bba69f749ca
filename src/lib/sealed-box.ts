import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const CIPHER = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16
const FORMAT = Buffer.from('BERTHBX1')

/** Encrypts `plain` and authenticates it together with `place`, which is not stored: a box put at another place does not open. */
export function sealBox(plain: Uint8Array, key: Buffer, place: string): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES })
  cipher.setAAD(Buffer.from(place))
  const data = Buffer.concat([cipher.update(plain), cipher.final()])
  return Buffer.concat([FORMAT, iv, cipher.getAuthTag(), data])
}

/** Opens what `sealBox` made; throws when it was changed, stood elsewhere or was sealed with another key. */
export function openBox(box: Buffer, key: Buffer, place: string): Buffer {
  const start = FORMAT.length + IV_BYTES + TAG_BYTES
  if (box.length < start || !box.subarray(0, FORMAT.length).equals(FORMAT))
    throw new Error(`${place} is not a sealed file`)
  const iv = box.subarray(FORMAT.length, FORMAT.length + IV_BYTES)
  const decipher = createDecipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES })
  decipher.setAAD(Buffer.from(place))
  decipher.setAuthTag(box.subarray(FORMAT.length + IV_BYTES, start))
  try {
    return Buffer.concat([decipher.update(box.subarray(start)), decipher.final()])
  } catch (error) {
    throw new Error(`${place} was changed, or sealed for another node`, { cause: error })
  }
}
