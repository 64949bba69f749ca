import { isUtf8 } from 'node:buffer'
import { badArchive } from './archive-error.ts'

/** Size of a tar header and what everything in a tar is padded to (POSIX.1-2017, pax, "ustar Interchange Format"). */
export const BLOCK = 512

/** A name that may have been cut in the middle of a character, because an extended header has it in full. */
export interface Name {
  text: string
  isUtf8: boolean
}

/** One header block, as it stands; what extended headers say is not in it. */
export interface RawHeader {
  name: Name
  linkname: Name
  mode: number
  uid: number
  gid: number
  size: number
  mtime_ms: number
  typeflag: string
}

const USTAR_MAGIC = Buffer.from('ustar\0')

/** Reads one header block; throws BAD_ARCHIVE when it is none. An all-zero block is not for this function. */
export function readHeader(block: Buffer): RawHeader {
  if (!hasValidChecksum(block)) throw badArchive('this is not a tar archive, or it is damaged')
  const isUstar = block.subarray(257, 263).equals(USTAR_MAGIC)
  const name = readName(block, 0, 100, isUstar ? readBytes(block, 345, 155) : undefined)
  const size = readNumber(block, 124, 12)
  if (size === undefined || size < 0) throw badArchive('its size is not valid', name.text)
  return {
    name,
    linkname: readName(block, 157, 100),
    mode: (readNumber(block, 100, 8) ?? 0o644) & 0o7777,
    uid: readNumber(block, 108, 8) ?? 0,
    gid: readNumber(block, 116, 8) ?? 0,
    size,
    mtime_ms: (readNumber(block, 136, 12) ?? 0) * 1000,
    typeflag: block[156] === 0 ? '0' : String.fromCharCode(block[156] ?? 0),
  }
}

function hasValidChecksum(block: Buffer): boolean {
  let sum = 8 * 0x20
  for (let at = 0; at < 148; at += 1) sum += block[at] ?? 0
  for (let at = 156; at < BLOCK; at += 1) sum += block[at] ?? 0
  return readNumber(block, 148, 8) === sum
}

function readBytes(block: Buffer, offset: number, length: number): Buffer {
  const end = block.indexOf(0, offset)
  return block.subarray(offset, end === -1 ? offset + length : Math.min(end, offset + length))
}

function readName(block: Buffer, offset: number, length: number, prefix?: Buffer): Name {
  const own = readBytes(block, offset, length)
  const bytes = prefix && prefix.length > 0 ? Buffer.concat([prefix, Buffer.from('/'), own]) : own
  return { text: bytes.toString('utf8'), isUtf8: isUtf8(bytes) }
}

/** The text of a name; throws when it is not whole. */
export function requireUtf8(name: Name, anyBytes = false): string {
  if (!name.isUtf8 && !anyBytes) throw badArchive('its name is not valid UTF-8', name.text)
  return name.text
}

/**
 * A name in an archive. Other encodings than UTF-8 cannot be told apart, and would come out as different names; `anyBytes` lets them pass, for
 * one who only looks at the ASCII in them.
 */
export function decodeName(bytes: Buffer, anyBytes = false): string {
  return requireUtf8({ text: bytes.toString('utf8'), isUtf8: isUtf8(bytes) }, anyBytes)
}

/** An octal number, or a GNU base-256 one when the first bit is set; undefined when it is neither or not safe to hold. */
function readNumber(block: Buffer, offset: number, length: number): number | undefined {
  const first = block[offset] ?? 0
  if ((first & 0x80) !== 0) return readBase256(block.subarray(offset, offset + length))
  const text = block.toString('latin1', offset, offset + length)
  const digits = /^ *([0-7]*)[ \0]*$/.exec(text)?.[1]
  if (digits === undefined) return undefined
  return digits === '' ? 0 : Number.parseInt(digits, 8)
}

function readBase256(field: Buffer): number | undefined {
  const negative = ((field[0] ?? 0) & 0x40) !== 0
  let value = BigInt((field[0] ?? 0) & 0x7f)
  for (const byte of field.subarray(1)) value = value * 256n + BigInt(byte)
  if (negative) value -= 1n << BigInt(field.length * 8 - 1)
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : undefined
}

/** The records of a pax extended header (`length key=value\n`), the last of a key wins; throws BAD_ARCHIVE. */
export function readPaxRecords(body: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>()
  let at = 0
  while (at < body.length) {
    const space = body.indexOf(0x20, at)
    const digits = space === -1 || space - at > 8 ? '' : body.toString('latin1', at, space)
    const end = at + Number(digits)
    const equals = body.indexOf(0x3d, space)
    const isSound =
      /^[1-9]\d*$/.test(digits) &&
      end <= body.length &&
      body[end - 1] === 0x0a &&
      equals > space + 1 &&
      equals < end
    if (!isSound) throw badArchive('an extended header is damaged')
    records.set(decodeName(body.subarray(space + 1, equals)), body.subarray(equals + 1, end - 1))
    at = end
  }
  return records
}
