/** Larger ones are not read: then only the ignore files decide. */
export const LARGEST_INDEX = 512 * 1024 ** 2

const ENTRY_HEADER = 40
const FOLDER_MODE = 0o040000

/**
 * The paths that Git tracks, read from its index (gitformat-index(5), versions 2 to 4) as latin1 text; a folder of a sparse index ends with
 * a slash. Undefined when the index is of a kind that this does not read, such as a split one.
 */
export function readTrackedPaths(index: Buffer, hashBytes: 20 | 32): string[] | undefined {
  if (index.length < 12 + hashBytes || index.toString('latin1', 0, 4) !== 'DIRC') return undefined
  const version = index.readUInt32BE(4)
  const count = index.readUInt32BE(8)
  const end = index.length - hashBytes
  if (version < 2 || version > 4) return undefined
  const paths: string[] = []
  let at = 12
  let previous = ''
  for (let entry = 0; entry < count; entry += 1) {
    const start = at
    const flagsAt = start + ENTRY_HEADER + hashBytes
    if (flagsAt + 4 > end) return undefined
    const isExtended = (index.readUInt16BE(flagsAt) & 0x4000) !== 0
    at = flagsAt + (isExtended && version >= 3 ? 4 : 2)
    if (version === 4) {
      const { value, next } = readOffset(index, at, end)
      at = next
      previous = previous.slice(0, Math.max(0, previous.length - value))
    } else previous = ''
    const nul = index.indexOf(0, at)
    if (nul === -1 || nul >= end) return undefined
    previous += index.toString('latin1', at, nul)
    const isFolder = index.readUInt32BE(start + 24) === FOLDER_MODE
    paths.push(isFolder && !previous.endsWith('/') ? `${previous}/` : previous)
    // Entries are padded with one to eight NULs, but not in version 4.
    at = version === 4 ? nul + 1 : start + (Math.floor((nul - start) / 8) + 1) * 8
  }
  return hasExtension(index, at, end, 'link') ? undefined : paths
}

/** The variable width encoding of "offset" pack entries. */
function readOffset(index: Buffer, start: number, end: number): { value: number; next: number } {
  let at = start
  let byte = index[at] ?? 0
  let value = byte & 0x7f
  while ((byte & 0x80) !== 0 && at + 1 < end) {
    at += 1
    byte = index[at] ?? 0
    value = (value + 1) * 128 + (byte & 0x7f)
  }
  return { value, next: at + 1 }
}

function hasExtension(index: Buffer, start: number, end: number, signature: string): boolean {
  for (let at = start; at + 8 <= end; at += 8 + index.readUInt32BE(at + 4)) {
    if (index.toString('latin1', at, at + 4) === signature) return true
  }
  return false
}
