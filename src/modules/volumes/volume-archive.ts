import { Readable } from 'node:stream'
import { type ArchiveFormat, decodeArchive } from '../../lib/archive-decode.ts'
import { badArchive } from '../../lib/archive-error.ts'
import { type ArchiveEntry, ArchiveReader } from '../../lib/archive-reader.ts'
import type { VolumeRoot } from '../../runtime/volume-root.ts'

/** An archive on its way in. */
export interface SentArchive {
  stream: Readable
  format: ArchiveFormat
}

export interface RestoreCount {
  entries: number
  bytes: number
}

export interface RestoreSummary extends RestoreCount {
  /** What the archive says of the folder itself, in an entry `./`. */
  root?: VolumeRoot
}

const MAX_PATH_BYTES = 4096
const MAX_ENTRIES = 50_000_000
/** How much may unfold before the disk is looked at again. */
const ROOM_STEP = 64 * 1024 ** 2

/**
 * The tar stream in an archive that is to fill a volume, checked as it passes, in constant memory: an uncompressed one that ends as it should,
 * of files, folders, named pipes and links whose names stay inside. Symlinks point where they like: they are data, the engine never follows one out of the
 * container that it unpacks in. Throws BAD_ARCHIVE.
 */
export function checkedContents(
  format: ArchiveFormat,
  body: AsyncIterable<Buffer>,
  found: RestoreSummary,
  requireRoom: (bytes: number) => Promise<void>,
): Readable {
  const check = async function* (): AsyncGenerator<Buffer, void, undefined> {
    const reader = new ArchiveReader({ ofVolume: true })
    let room = 0
    for await (const chunk of decodeArchive(format, body)) {
      for (const event of reader.push(chunk)) {
        if (event.type !== 'entry') continue
        const { entry } = event
        found.entries += 1
        found.bytes += entry.size
        checkEntry(entry)
        const { uid, gid, mode, mtime_ms } = entry
        if (isRoot(entry)) found.root = { uid, gid, mode, mtime_ms }
        if (found.entries > MAX_ENTRIES) throw badArchive(`more than ${MAX_ENTRIES} entries`)
      }
      if (reader.position >= room) {
        await requireRoom(ROOM_STEP)
        room = reader.position + ROOM_STEP
      }
      yield chunk
    }
    reader.end()
  }
  return Readable.from(check(), { objectMode: false })
}

/** Whether an entry is the folder itself. */
export function isRoot({ kind, name }: ArchiveEntry): boolean {
  return kind === 'directory' && name.split('/').every((part) => part === '' || part === '.')
}

function checkEntry({ kind, name, target }: ArchiveEntry): void {
  checkPath(name, name)
  // A hard link names another entry, from the root of the archive.
  if (kind === 'link') checkPath(target, name)
  if (kind === 'symlink' && Buffer.byteLength(target) > MAX_PATH_BYTES)
    throw badArchive(`a link of more than ${MAX_PATH_BYTES} bytes`, name)
}

function checkPath(path: string, name: string): void {
  if (path.startsWith('/')) throw badArchive('an absolute path', name)
  if (path.includes('\0')) throw badArchive('a NUL in a name', name)
  if (path.split('/').includes('..')) throw badArchive('a path with ..', name)
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw badArchive(`a path of more than ${MAX_PATH_BYTES} bytes`, name)
}
