import { zstdCompressSync } from 'node:zlib'

/** Fields of a header as they should come out; what is left out is a plain empty file. */
export interface HeaderFields {
  name?: string | Buffer
  type?: string
  linkname?: string
  prefix?: string
  mode?: number
  mtime?: number
  size?: number
  /** The raw twelve bytes of the size field. */
  rawSize?: Buffer
  magic?: 'ustar' | 'gnu' | 'none'
  breakChecksum?: boolean
}

const MAGICS = { ustar: 'ustar\x0000', gnu: 'ustar  \0', none: '\0\0\0\0\0\0\0\0' }

function octal(value: number, digits: number): string {
  return `${value.toString(8).padStart(digits, '0')}\0`
}

/** One header block, sound or not. */
export function header(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(512)
  const name = Buffer.isBuffer(fields.name) ? fields.name : Buffer.from(fields.name ?? 'file')
  name.copy(block, 0, 0, 100)
  block.write(octal(fields.mode ?? 0o644, 7), 100)
  block.write(octal(0, 7), 108)
  block.write(octal(0, 7), 116)
  block.write(octal(fields.size ?? 0, 11), 124)
  fields.rawSize?.copy(block, 124)
  block.write(octal(fields.mtime ?? 1_700_000_000, 11), 136)
  block.write(fields.type ?? '0', 156, 'latin1')
  block.write(fields.linkname ?? '', 157, 100)
  block.write(MAGICS[fields.magic ?? 'ustar'], 257, 'latin1')
  block.write(fields.prefix ?? '', 345, 155)
  block.fill(0x20, 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${(fields.breakChecksum === true ? sum + 1 : sum).toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

/** Contents filled up to whole blocks. */
export function padded(contents: string | Buffer): Buffer {
  const bytes = Buffer.from(contents)
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)])
}

export function file(name: string, contents: string | Buffer = '', fields: HeaderFields = {}): Buffer {
  return Buffer.concat([header({ name, size: Buffer.byteLength(contents), ...fields }), padded(contents)])
}

export function directory(name: string, fields: HeaderFields = {}): Buffer {
  return header({ name, type: '5', mode: 0o755, ...fields })
}

export function symlink(name: string, linkname: string): Buffer {
  if (linkname.length > 100) return Buffer.concat([pax({ linkpath: linkname }), symlink(name, '-')])
  return header({ name, linkname, type: '2', mode: 0o777 })
}

export function hardlink(name: string, linkname: string): Buffer {
  return header({ name, linkname, type: '1' })
}

/** A pax extended header for the entry behind it. */
export function pax(records: Record<string, string>, type = 'x'): Buffer {
  const body = Object.entries(records)
    .map(([key, value]) => paxRecord(key, value))
    .join('')
  return file('PaxHeader', body, { type })
}

export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  let length = Buffer.byteLength(rest) + 1
  while (String(length).length + Buffer.byteLength(rest) !== length) length += 1
  return `${length}${rest}`
}

/** A GNU header with the long name (`L`) or long link (`K`) of the entry behind it. */
export function gnuLong(type: 'L' | 'K', text: string): Buffer {
  return file('././@LongLink', `${text}\0`, { type, magic: 'gnu' })
}

export const END = Buffer.alloc(1024)

/** A whole archive of these parts. */
export function tar(...parts: Buffer[]): Buffer {
  return Buffer.concat([...parts, END])
}

export function tarZst(...parts: Buffer[]): Buffer {
  return zstdCompressSync(tar(...parts))
}

/** A body in pieces of this size. */
export async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
