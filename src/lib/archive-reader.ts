import { badArchive, SPARSE } from './archive-error.ts'
import { ArchiveExtensions, type FullHeader } from './archive-extension.ts'
import { BLOCK, readHeader } from './archive-header.ts'

export type EntryKind = 'file' | 'directory' | 'symlink' | 'link' | 'pipe'

/** One entry of a tar archive as the archive tells it: nothing of it is trusted yet. */
export interface ArchiveEntry {
  kind: EntryKind
  name: string
  /** Of a symlink or link: where it points. */
  target: string
  size: number
  mode: number
  uid: number
  gid: number
  /** From 1970 to the end of the year 9999, whatever the archive says. */
  mtime_ms: number
}

export type ArchiveEvent =
  | { type: 'entry'; entry: ArchiveEntry }
  /** A piece of the present entry's contents; valid only until the next chunk is given. */
  | { type: 'data'; bytes: Buffer }
  /** The present entry's contents are complete. */
  | { type: 'end' }

const KINDS: Readonly<Record<string, EntryKind>> = {
  '0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '5': 'directory',
}

/** Beside these, what only contents that nobody interprets may have. */
const DATA_KINDS: typeof KINDS = { ...KINDS, '6': 'pipe' }

/** What is refused, by type flag (POSIX and GNU). */
const REFUSED: Readonly<Record<string, string>> = {
  '3': 'character devices are not accepted',
  '4': 'block devices are not accepted',
  '6': 'named pipes are not accepted',
  S: SPARSE,
  M: 'archives in several volumes are not supported',
  D: 'incremental archives are not supported',
}

const ZEROS = Buffer.alloc(64 * 1024)

/**
 * Reads a tar stream chunk by chunk, in constant memory. Stricter than tar itself: whatever two readers could take for different things
 * is refused, because the engine's builder reads the files again with its own.
 *
 * Contents of a volume are data that is put back as it was: with `ofVolume` names may be any bytes (they read as UTF-8 with replacements, the
 * ASCII in them is as it stands) and named pipes are entries, too.
 */
export class ArchiveReader {
  readonly #extensions: ArchiveExtensions
  readonly #kinds: typeof KINDS
  readonly #block = Buffer.alloc(BLOCK)
  #blockFill = 0
  /** Contents of the present entry or extended header that are still to come, and the padding behind them. */
  #contentsLeft = 0
  #paddingLeft = 0
  #extension: { typeflag: string; body: Buffer; fill: number } | undefined
  #inEntry = false
  #ended = false
  #position = 0

  constructor({ ofVolume = false } = {}) {
    this.#extensions = new ArchiveExtensions(ofVolume)
    this.#kinds = ofVolume ? DATA_KINDS : KINDS
  }

  /** Bytes of the tar stream that were read. */
  get position(): number {
    return this.#position
  }

  /** Reads a chunk; throws BAD_ARCHIVE. All events must be taken before the next chunk is given. */
  *push(chunk: Buffer): Generator<ArchiveEvent, void, undefined> {
    let at = 0
    while (at < chunk.length) {
      const before = at
      if (this.#ended) at += this.#takeZeros(chunk.subarray(at))
      else if (this.#extension) at += this.#takeExtension(chunk.subarray(at))
      else if (this.#contentsLeft > 0) {
        const bytes = chunk.subarray(at, at + this.#contentsLeft)
        at += bytes.length
        this.#contentsLeft -= bytes.length
        yield { type: 'data', bytes }
      } else if (this.#paddingLeft > 0) {
        const skipped = Math.min(this.#paddingLeft, chunk.length - at)
        at += skipped
        this.#paddingLeft -= skipped
      } else {
        at += this.#takeBlock(chunk.subarray(at))
        const entry = this.#finishBlock()
        if (entry) yield { type: 'entry', entry }
      }
      this.#position += at - before
      if (this.#inEntry && this.#contentsLeft === 0) {
        this.#inEntry = false
        yield { type: 'end' }
      }
    }
  }

  /** Says that the stream is over; throws BAD_ARCHIVE when the archive is not. */
  end(): void {
    if (!this.#ended) throw badArchive('the archive is cut short')
  }

  /** Behind the end mark tar fills its record with zeros; anything else would be read by some and not by others. */
  #takeZeros(chunk: Buffer): number {
    for (let at = 0; at < chunk.length; at += ZEROS.length) {
      const piece = chunk.subarray(at, at + ZEROS.length)
      if (!piece.equals(ZEROS.subarray(0, piece.length)))
        throw badArchive('there is something behind its end')
    }
    return chunk.length
  }

  #takeBlock(chunk: Buffer): number {
    const copied = chunk.copy(this.#block, this.#blockFill, 0, BLOCK - this.#blockFill)
    this.#blockFill += copied
    return copied
  }

  #finishBlock(): ArchiveEntry | undefined {
    if (this.#blockFill < BLOCK) return undefined
    this.#blockFill = 0
    if (this.#block.equals(ZEROS.subarray(0, BLOCK))) {
      if (this.#extensions.pending) throw badArchive('it ends behind an extended header')
      this.#ended = true
      return undefined
    }
    const header = readHeader(this.#block)
    if (this.#extensions.isExtension(header)) {
      this.#extension = { typeflag: header.typeflag, body: Buffer.alloc(header.size), fill: 0 }
      this.#paddingLeft = padding(header.size)
      if (header.size === 0) this.#takeExtension(ZEROS.subarray(0, 0))
      return undefined
    }
    const entry = toEntry(this.#extensions.apply(header), this.#kinds)
    this.#contentsLeft = entry.size
    this.#paddingLeft = padding(entry.size)
    this.#inEntry = true
    return entry
  }

  #takeExtension(chunk: Buffer): number {
    const extension = this.#extension
    if (!extension) return 0
    const copied = chunk.copy(extension.body, extension.fill)
    extension.fill += copied
    if (extension.fill === extension.body.length) {
      this.#extension = undefined
      this.#extensions.take(extension.typeflag, extension.body)
    }
    return copied
  }
}

/** The end of the year 9999. File systems end earlier and take the nearest they have, but far beyond this they refuse. */
const LAST_MTIME_MS = 253_402_300_799_000

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK
}

function toEntry(header: FullHeader, kinds: typeof KINDS): ArchiveEntry {
  const { name, size, mode, uid, gid, mtime_ms } = header
  const known = kinds[header.typeflag]
  if (!known) {
    throw badArchive(
      REFUSED[header.typeflag] ?? `entries of type ${JSON.stringify(header.typeflag)} are not supported`,
      name,
    )
  }
  // Archives older than POSIX mark a directory by a slash at the end of its name.
  const kind = known === 'file' && name.endsWith('/') ? 'directory' : known
  if (kind !== 'file' && size > 0) throw badArchive(`a ${kind} with contents`, name)
  return {
    kind,
    name,
    target: kind === 'link' || kind === 'symlink' ? header.linkname : '',
    size,
    mode,
    uid,
    gid,
    mtime_ms: Math.min(Math.max(0, mtime_ms), LAST_MTIME_MS),
  }
}
