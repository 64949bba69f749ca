import { Readable } from 'node:stream'
import { type ArchiveFormat, decodeArchive } from '../../lib/archive-decode.ts'
import { badArchive } from '../../lib/archive-error.ts'
import { type ArchiveEntry, ArchiveReader } from '../../lib/archive-reader.ts'

export interface RestoreCount {
  entries: number
  bytes: number
}

const MAX_PATH_BYTES = 4096
const MAX_ENTRIES = 50_000_000
/** How much may unfold before the disk is looked at again. */
const ROOM_STEP = 64 * 1024 ** 2

/**
 * The tar stream in an archive that is to fill a volume, checked as it passes, in constant memory: an uncompressed one that ends as it should,
 * of files, folders and links whose names stay inside. Symlinks point where they like: they are data, the engine never follows one out of the
 * container that it unpacks in. Throws BAD_ARCHIVE.
 */
export function checkedContents(
  format: ArchiveFormat,
  body: Readable,
  count: RestoreCount,
  requireRoom: (bytes: number) => Promise<void>,
): Readable {
  const check = async function* (): AsyncGenerator<Buffer, void, undefined> {
    const reader = new ArchiveReader()
    let room = 0
    for await (const chunk of decodeArchive(format, body as AsyncIterable<Buffer>)) {
      for (const event of reader.push(chunk)) {
        if (event.type !== 'entry') continue
        count.entries += 1
        count.bytes += event.entry.size
        checkEntry(event.entry)
        if (count.entries > MAX_ENTRIES) throw badArchive(`more than ${MAX_ENTRIES} entries`)
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
