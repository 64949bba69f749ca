import { posix } from 'node:path'
import type { Readable } from 'node:stream'
import { packArchive, type PackedEntry } from '../../../lib/archive-pack.ts'
import { openUnfollowed } from '../source-folder.ts'

/** One thing in a root file system. `name` is absolute in the image, without the slash in front. */
export type RootfsEntry = { name: string; mode: number; owner?: number } & (
  | { kind: 'directory' }
  | { kind: 'symlink'; target: string }
  | { kind: 'file'; content: Buffer }
  | { kind: 'file'; file: string; size: number }
)

/** One instant for all, so that the same contents make the same archive. */
const MTIME_MS = Date.UTC(2000, 0, 1)
const PIECE_BYTES = 64 * 1024

/** The folders that things lie in and that nobody named, and everything in one order: parents first. A later entry of a name wins. */
export function completeRootfs(entries: readonly RootfsEntry[]): RootfsEntry[] {
  const all = new Map<string, RootfsEntry>()
  for (const { name } of entries) {
    for (let parent = posix.dirname(name); parent !== '.'; parent = posix.dirname(parent))
      all.set(parent, { kind: 'directory', name: parent, mode: 0o755 })
  }
  for (const entry of entries) all.set(entry.name, entry)
  return [...all.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** The archive of a completed root file system. Files are read as they come; one that changed its size is an error. */
export function writeRootfs(entries: readonly RootfsEntry[]): Readable {
  return packArchive(
    entries.map((entry): PackedEntry => {
      if (entry.kind !== 'file' || 'content' in entry) return { ...entry, mtime_ms: MTIME_MS }
      const { file, ...rest } = entry
      return { ...rest, mtime_ms: MTIME_MS, read: () => readFilePieces(file, entry.size) }
    }),
  )
}

/** Exactly `size` bytes of a regular file. Throws when it is shorter, longer, or not a file any more. */
export async function* readFilePieces(path: string, size: number): AsyncGenerator<Buffer> {
  const file = await openUnfollowed(path)
  try {
    const status = await file.stat()
    if (!status.isFile() || status.size !== size) throw new Error(`${path} changed while it was read`)
    let position = 0
    while (position < size) {
      const length = Math.min(PIECE_BYTES, size - position)
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, position)
      if (bytesRead === 0) throw new Error(`${path} changed while it was read`)
      position += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await file.close()
  }
}
