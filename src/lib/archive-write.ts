import { BLOCK } from './archive-header.ts'

/** What a tar archive says about one entry. */
export interface WrittenEntry {
  kind: 'file' | 'directory' | 'symlink'
  /** With slashes, relative; folders without one at the end. */
  name: string
  /** Of a symlink: where it points. */
  target?: string
  /** Of a file: how many bytes of contents follow. */
  size?: number
  /** The permission bits. */
  mode: number
  mtime_ms?: number
  /** User and group in one number; left out (0) where it means nothing, as on another machine. */
  owner?: number
}

/** The two blocks of zeros that end an archive. */
export const ARCHIVE_END = Buffer.alloc(2 * BLOCK)

const TYPES = { file: '0', directory: '5', symlink: '2' } as const
const LONGEST_NAME = 100
const LARGEST_OCTAL = 0o77777777777

/** The header of an entry (POSIX.1-2017, pax): a ustar block, with an extended header in front for what does not fit it. */
export function encodeEntry(entry: WrittenEntry): Buffer {
  const name = entry.kind === 'directory' ? `${entry.name}/` : entry.name
  const { target = '', size = 0 } = entry
  const records = [
    fits(name) ? '' : paxRecord('path', name),
    fits(target) ? '' : paxRecord('linkpath', target),
    size <= LARGEST_OCTAL ? '' : paxRecord('size', String(size)),
  ].join('')
  const block = headerBlock(TYPES[entry.kind], {
    name: fits(name) ? name : 'entry',
    target: fits(target) ? target : 'target',
    size: size <= LARGEST_OCTAL ? size : 0,
    mode: entry.mode,
    mtime_ms: entry.mtime_ms ?? 0,
    owner: entry.owner ?? 0,
  })
  if (records === '') return block
  const body = Buffer.from(records)
  const extended = headerBlock('x', {
    name: 'pax',
    target: '',
    size: body.length,
    mode: 0o644,
    mtime_ms: 0,
    owner: 0,
  })
  return Buffer.concat([extended, body, paddingAfter(body.length), block])
}

/** The zeros that fill the last block of contents of this size. */
export function paddingAfter(size: number): Buffer {
  return ARCHIVE_END.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK)
}

function fits(text: string): boolean {
  return text.length <= LONGEST_NAME && /^[\x20-\x7e]*$/.test(text)
}

/** `length key=value\n`, where the length counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  let length = rest + String(rest).length
  if (rest + String(length).length !== length) length = rest + String(length).length
  return `${length} ${key}=${value}\n`
}

interface Fields {
  name: string
  target: string
  size: number
  mode: number
  mtime_ms: number
  owner: number
}

function headerBlock(type: string, fields: Fields): Buffer {
  const block = Buffer.alloc(BLOCK)
  const seconds = Math.min(LARGEST_OCTAL, Math.max(0, Math.floor(fields.mtime_ms / 1000)))
  block.write(fields.name, 0, 'latin1')
  block.write(octal(fields.mode & 0o7777, 7), 100, 'latin1')
  block.write(octal(fields.owner, 7), 108, 'latin1')
  block.write(octal(fields.owner, 7), 116, 'latin1')
  block.write(octal(fields.size, 11), 124, 'latin1')
  block.write(octal(seconds, 11), 136, 'latin1')
  block.write(type, 156, 'latin1')
  block.write(fields.target, 157, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  block.fill(0x20, 148, 156)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${octal(sum, 6)}\0 `, 148, 'latin1')
  return block
}

/** Padded with zeros; the NUL behind it is there already. */
function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0')
}
