import { closeSync, openSync, readSync } from 'node:fs'

/** The program header type that names a dynamic loader (System V ABI, "Program Header", PT_INTERP). */
const PT_INTERP = 3

/** True for a 64-bit little-endian ELF executable that needs no dynamic loader. False for anything that is not such a file. */
export function isStaticExecutable(file: string): boolean {
  const head = readStart(file, 4096)
  const isElf64LittleEndian =
    head.length >= 64 && head.readUInt32BE(0) === 0x7f454c46 && head[4] === 2 && head[5] === 1
  if (!isElf64LittleEndian) return false
  const tableStart = Number(head.readBigUInt64LE(32))
  const entrySize = head.readUInt16LE(54)
  const entries = head.readUInt16LE(56)
  if (tableStart + entries * entrySize > head.length) return false
  for (let entry = 0; entry < entries; entry += 1) {
    if (head.readUInt32LE(tableStart + entry * entrySize) === PT_INTERP) return false
  }
  return true
}

function readStart(file: string, size: number): Buffer {
  const descriptor = openSync(file, 'r')
  try {
    const buffer = Buffer.alloc(size)
    return buffer.subarray(0, readSync(descriptor, buffer, 0, size, 0))
  } finally {
    closeSync(descriptor)
  }
}
