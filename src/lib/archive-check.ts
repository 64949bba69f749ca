import { badArchive, tooLarge } from './archive-error.ts'
import { type ArchiveEvent, ArchiveReader } from './archive-reader.ts'
import { ArchiveTree, type PlacedEntry } from './archive-tree.ts'

export interface ArchiveLimits {
  /** Most bytes of the tar stream. */
  maxBytes: number
  /** Most files, links and folders. */
  maxEntries: number
}

export interface ArchiveSummary {
  /** Files, links and folders. */
  entries: number
  /** Bytes of all files. */
  unpacked_bytes: number
}

/** Up to here no compression is suspicious; the largest honest ratios (empty databases, logs) stay far below the one beyond. */
const RATIO_FREE_BYTES = 256 * 1024 ** 2
const MAX_RATIO = 500

export type CheckedEvent = ArchiveEvent & { placed?: PlacedEntry }

/** Reads a tar stream and lets through only what may be unpacked: the same for an upload that arrives and for one that is unpacked. */
export class ArchiveCheck {
  readonly #reader = new ArchiveReader()
  readonly #tree: ArchiveTree
  readonly #limits: ArchiveLimits
  readonly #packedBytes: (() => number) | undefined
  #unpackedBytes = 0

  /** `packedBytes` tells how many bytes the stream was made of so far, compressed. */
  constructor(limits: ArchiveLimits, packedBytes?: () => number) {
    this.#tree = new ArchiveTree(limits)
    this.#limits = limits
    this.#packedBytes = packedBytes
  }

  get summary(): ArchiveSummary {
    return { entries: this.#tree.entries, unpacked_bytes: this.#unpackedBytes }
  }

  /** Reads a chunk; throws BAD_ARCHIVE or PAYLOAD_TOO_LARGE. All events must be taken before the next chunk is given. */
  *push(chunk: Buffer): Generator<CheckedEvent, void, undefined> {
    this.#checkSize(this.#reader.position + chunk.length)
    for (const event of this.#reader.push(chunk)) {
      if (event.type !== 'entry') yield event
      else {
        // A huge file is refused by its header, before a byte of it is read.
        this.#unpackedBytes += event.entry.size
        if (this.#unpackedBytes > this.#limits.maxBytes) this.#refuseSize()
        yield { ...event, placed: this.#tree.add(event.entry) }
      }
    }
  }

  /** Says that the stream is over; throws when the archive is cut short, empty, or a link leads out of it. */
  async end(): Promise<ArchiveSummary> {
    this.#reader.end()
    if (this.#tree.entries === 0) throw badArchive('there is nothing in it')
    await this.#tree.finish()
    return this.summary
  }

  #checkSize(streamBytes: number): void {
    if (streamBytes > this.#limits.maxBytes) this.#refuseSize()
    if (!this.#packedBytes || streamBytes <= RATIO_FREE_BYTES) return
    if (streamBytes > this.#packedBytes() * MAX_RATIO)
      throw badArchive(`it unpacks to more than ${MAX_RATIO} times its size`)
  }

  #refuseSize(): never {
    throw tooLarge(`more than ${this.#limits.maxBytes} bytes unpacked`)
  }
}
