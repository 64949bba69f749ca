import { badArchive } from './archive-error.ts'

/** 128 MiB: what `zstd -d` itself takes without being asked. */
export const MAX_WINDOW_LOG = 27
const MAX_WINDOW = 2 ** MAX_WINDOW_LOG

const FRAME_MAGIC = 0xfd2fb528
/** The low four bits are free (RFC 8878, section 3.1.2). */
const SKIPPABLE_MAGIC = 0x184d2a50
/** The longest part that is read at once: descriptor, window, content size. */
const LONGEST_PART = 1 + 1 + 8

/** `skipped` is the body of a skippable frame; `block` and `checksum` are passed on unread. */
type Part =
  | 'magic'
  | 'descriptor'
  | 'header'
  | 'block header'
  | 'block'
  | 'checksum'
  | 'skipped size'
  | 'skipped'

/**
 * Cuts a zstd stream (RFC 8878) at its frames, because Node's decompressor drops in silence what follows a frame within one write. It also
 * learns each frame's window before any memory is taken for it, and leaves skippable frames out.
 */
export class ZstdFrames {
  #part: Part = 'magic'
  readonly #bytes = Buffer.alloc(LONGEST_PART)
  #fill = 0
  /** Bytes of the present part that are still to come. */
  #left = 4
  #hasChecksum = false
  #isLastBlock = false
  #frames = 0

  /** Says that the stream is over; throws BAD_ARCHIVE when a frame is not. */
  end(): void {
    if (this.#part !== 'magic' || this.#fill > 0 || this.#frames === 0)
      throw badArchive('the zstd data is cut short')
  }

  /** The pieces of the chunk, none of which reaches over the end of a frame; throws BAD_ARCHIVE. */
  *split(chunk: Buffer): Generator<Buffer, void, undefined> {
    let from = 0
    let at = 0
    while (at < chunk.length) {
      const part = this.#part
      const taken = Math.min(this.#left, chunk.length - at)
      if (part !== 'block' && part !== 'checksum' && part !== 'skipped') {
        chunk.copy(this.#bytes, this.#fill, at, at + taken)
        this.#fill += taken
      }
      at += taken
      this.#left -= taken
      if (this.#left === 0) this.#next(part)
      // Until its magic is whole a frame may be one to skip, so the magic is passed on apart.
      if (part === 'magic' && this.#part === 'descriptor') yield Buffer.from(this.#bytes.subarray(0, 4))
      if (isInFrame(part) && this.#part === 'magic') yield chunk.subarray(from, at)
      if (!isInFrame(part) || this.#part === 'magic') from = at
    }
    if (from < at && isInFrame(this.#part)) yield chunk.subarray(from, at)
  }

  #next(part: Part): void {
    switch (part) {
      case 'magic':
        return this.#endMagic(this.#bytes.readUInt32LE(0))
      case 'descriptor':
        return this.#endDescriptor(this.#bytes.readUInt8(0))
      case 'header':
        return this.#endHeader(this.#bytes.readUInt8(0))
      case 'block header':
        return this.#endBlockHeader(this.#bytes.readUIntLE(0, 3))
      case 'block':
        if (!this.#isLastBlock) return this.#begin('block header', 3)
        return this.#hasChecksum ? this.#begin('checksum', 4) : this.#begin('magic', 4)
      case 'skipped size':
        return this.#begin('skipped', this.#bytes.readUInt32LE(0))
      default:
        return this.#begin('magic', 4)
    }
  }

  /** What has no bytes is over at once. */
  #begin(part: Part, length: number): void {
    this.#part = part
    this.#left = length
    this.#fill = 0
    if (length === 0) this.#next(part)
  }

  #endMagic(magic: number): void {
    if (magic === FRAME_MAGIC) {
      this.#frames += 1
      this.#begin('descriptor', 1)
    } else if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      this.#begin('skipped size', 4)
    } else {
      throw badArchive(
        this.#frames === 0 ? 'this is not zstd data' : 'there is something behind the zstd data',
      )
    }
  }

  #endDescriptor(descriptor: number): void {
    if ((descriptor & 0x08) !== 0) throw badArchive('the zstd data is damaged')
    if ((descriptor & 0x03) !== 0) throw badArchive('the zstd data needs a dictionary')
    const isSingleSegment = (descriptor & 0x20) !== 0
    this.#hasChecksum = (descriptor & 0x04) !== 0
    this.#part = 'header'
    // The descriptor stays in front, to know how to read the rest.
    this.#left = (isSingleSegment ? 0 : 1) + contentSizeLength(descriptor)
    if (this.#left === 0) this.#next('header')
  }

  #endHeader(descriptor: number): void {
    const isSingleSegment = (descriptor & 0x20) !== 0
    const window = isSingleSegment
      ? readContentSize(this.#bytes, contentSizeLength(descriptor))
      : readWindow(this.#bytes.readUInt8(1))
    if (window > MAX_WINDOW) {
      throw badArchive(
        `the zstd data needs a window of ${Math.ceil(window / 2 ** 20)} MiB, at most ${MAX_WINDOW / 2 ** 20} MiB are given`,
      )
    }
    this.#begin('block header', 3)
  }

  #endBlockHeader(header: number): void {
    const type = (header >> 1) & 3
    if (type === 3) throw badArchive('the zstd data is damaged')
    this.#isLastBlock = (header & 1) !== 0
    // One byte stands for all of a run-length block.
    this.#begin('block', type === 1 ? 1 : header >> 3)
  }
}

function isInFrame(part: Part): boolean {
  return part !== 'magic' && part !== 'skipped size' && part !== 'skipped'
}

/** RFC 8878, section 3.1.1.1.1. */
function contentSizeLength(descriptor: number): number {
  const flag = descriptor >> 6
  if (flag === 0) return (descriptor & 0x20) === 0 ? 0 : 1
  return 2 ** flag
}

function readContentSize(header: Buffer, length: number): number {
  if (length === 8) return Number(header.readBigUInt64LE(1))
  return header.readUIntLE(1, length) + (length === 2 ? 256 : 0)
}

/** RFC 8878, section 3.1.1.1.2. */
function readWindow(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3))
  return base + (base / 8) * (descriptor & 7)
}
