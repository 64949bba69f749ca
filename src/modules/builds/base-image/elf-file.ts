import { type FileHandle, open } from 'node:fs/promises'

/** What an executable or library says about the libraries that it needs. */
export interface ElfFile {
  /** The machine that it is for (System V ABI, e_machine). */
  machine: number
  /** The dynamic loader; undefined for libraries and static executables. */
  interpreter: string | undefined
  needed: string[]
}

/** Program headers (System V ABI, "Program Header") and dynamic tags ("Dynamic Section") that matter here. */
const PT_LOAD = 1
const PT_DYNAMIC = 2
const PT_INTERP = 3
const DT_NULL = 0
const DT_NEEDED = 1
const DT_STRTAB = 5
const DT_STRSZ = 10

const HEADER_BYTES = 64
const MAGIC = 0x7f454c46
/** Far above what linkers write; a table is read as a whole. */
const MAX_TABLE_BYTES = 16 * 1024 * 1024

interface Segment {
  type: number
  offset: number
  address: number
  size: number
}

/** Reads a 64-bit little-endian ELF file; undefined when it is something else. Only its tables are read, however large it is. */
export async function readElf(path: string): Promise<ElfFile | undefined> {
  const file = await open(path, 'r')
  try {
    const header = await readBytes(file, 0, HEADER_BYTES)
    const isElf64LittleEndian =
      header.length === HEADER_BYTES && header.readUInt32BE(0) === MAGIC && header[4] === 2 && header[5] === 1
    if (!isElf64LittleEndian) return undefined
    const segments = await readSegments(file, header)
    const interpreter = segments.find(({ type }) => type === PT_INTERP)
    const dynamic = segments.find(({ type }) => type === PT_DYNAMIC)
    return {
      machine: header.readUInt16LE(18),
      interpreter: interpreter && textAt(await readBytes(file, interpreter.offset, interpreter.size), 0),
      needed: dynamic ? await readNeeded(file, dynamic, segments) : [],
    }
  } finally {
    await file.close()
  }
}

async function readSegments(file: FileHandle, header: Buffer): Promise<Segment[]> {
  const start = Number(header.readBigUInt64LE(32))
  const entrySize = header.readUInt16LE(54)
  const table = await readBytes(file, start, entrySize * header.readUInt16LE(56))
  return Array.from({ length: Math.floor(table.length / entrySize) }, (_, index) => {
    const at = index * entrySize
    return {
      type: table.readUInt32LE(at),
      offset: Number(table.readBigUInt64LE(at + 8)),
      address: Number(table.readBigUInt64LE(at + 16)),
      size: Number(table.readBigUInt64LE(at + 32)),
    }
  })
}

async function readNeeded(file: FileHandle, dynamic: Segment, segments: Segment[]): Promise<string[]> {
  const table = await readBytes(file, dynamic.offset, dynamic.size)
  const tags: [tag: number, value: number][] = []
  for (let at = 0; at + 16 <= table.length; at += 16) {
    const tag = Number(table.readBigUInt64LE(at))
    if (tag === DT_NULL) break
    tags.push([tag, Number(table.readBigUInt64LE(at + 8))])
  }
  const valueOf = (wanted: number): number | undefined => tags.find(([tag]) => tag === wanted)?.[1]
  const address = valueOf(DT_STRTAB)
  const size = valueOf(DT_STRSZ)
  if (address === undefined || size === undefined) return []
  const strings = await readBytes(file, offsetOf(address, segments), size)
  return tags.filter(([tag]) => tag === DT_NEEDED).map(([, position]) => textAt(strings, position))
}

/** Where in the file an address of the loaded program comes from. */
function offsetOf(address: number, segments: Segment[]): number {
  const segment = segments.find(
    (each) => each.type === PT_LOAD && each.address <= address && address < each.address + each.size,
  )
  return segment ? address - segment.address + segment.offset : address
}

async function readBytes(file: FileHandle, position: number, length: number): Promise<Buffer> {
  if (length > MAX_TABLE_BYTES) throw new Error(`ELF: a table of ${length} bytes`)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position)
  return buffer.subarray(0, bytesRead)
}

function textAt(bytes: Buffer, start: number): string {
  const end = bytes.indexOf(0, start)
  return bytes.toString('utf8', start, end === -1 ? bytes.length : end)
}
