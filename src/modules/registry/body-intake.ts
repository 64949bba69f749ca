import type { BodySink, BodySource } from '../../lib/body-source.ts'
import { AppError } from '../../lib/errors.ts'
import { letGoOf } from '../../lib/young-garbage.ts'
import { joined } from '../../lib/joined.ts'
import type { SharedBlock, SharedBlocks } from '../../lib/shared-blocks.ts'

/**
 * Takes pieces of a body, in order; they are its own until its promise resolves. Called again before that: the work on one piece need not wait for
 * the last one's.
 */
export type TakePiece = (piece: Buffer, block: SharedBlock | undefined) => Promise<void>

/** Bodies up to this size are handed over as they came. */
const SMALL_BYTES = 64 * 1024
/** Pieces that may be worked on while another is being filled. */
export const PIECES_TAKEN = 2

/** Gathers a body in blocks and passes them on, holding the client back when the taker is slow. */
export class BodyIntake implements BodySink {
  received = 0
  /** How often the client was held back. */
  holds = 0
  readonly finished: Promise<number>
  readonly #source: BodySource
  readonly #take: TakePiece
  readonly #maxBytes: number
  readonly #blocks: SharedBlocks
  readonly #outcome = Promise.withResolvers<number>()
  #small: Buffer[] | undefined
  #block: SharedBlock | undefined
  /** The memory of the block, or where all blocks are in use a small place of its own. */
  #place: Buffer | undefined
  #filled = 0
  /** The network may write into the block. */
  #isLent = false
  #taking = 0
  #isHeld = false
  #ended: { error?: unknown } | undefined

  constructor(source: BodySource, take: TakePiece, maxBytes: number, blocks: SharedBlocks) {
    this.#source = source
    this.#take = take
    this.#maxBytes = maxBytes
    this.#blocks = blocks
    this.finished = this.#outcome.promise
    this.#small = (source.length ?? 0) > SMALL_BYTES ? undefined : []
    source.start(this)
  }

  /** The taker is at work: it is not the client who is slow. */
  get isHeldBack(): boolean {
    return this.#isHeld
  }

  room(): Buffer | undefined {
    this.#isLent = false
    if (this.#ended || this.#small) return undefined
    this.#isLent = true
    return this.#openPlace().subarray(this.#filled)
  }

  filled(bytes: number): void {
    this.#isLent = false
    if (!this.#count(bytes)) return
    this.#filled += bytes
    if (this.#filled === this.#place?.length) this.#pass()
  }

  take(bytes: Buffer): void {
    if (!this.#count(bytes.length)) return
    if (this.#small && this.received <= SMALL_BYTES) {
      this.#small.push(Buffer.from(bytes))
      return
    }
    this.#gatherSmall()
    this.#gather(bytes)
  }

  end(error?: Error): void {
    this.#finish(error ? { error: goneAway(error) } : {})
  }

  /** Ends the intake as if the client had gone. */
  giveUp(error: AppError): void {
    // What is left is the taker's work.
    if (this.#ended) return
    this.#finish({ error })
    this.#source.destroy()
  }

  #count(bytes: number): boolean {
    if (this.#ended) return false
    this.received += bytes
    if (this.received <= this.#maxBytes) return true
    this.#finish({ error: new AppError('PAYLOAD_TOO_LARGE') })
    return false
  }

  #openPlace(): Buffer {
    if (this.#place) return this.#place
    this.#block = this.#blocks.take()
    this.#place = this.#block?.bytes ?? Buffer.allocUnsafeSlow(SMALL_BYTES)
    this.#filled = 0
    return this.#place
  }

  #gatherSmall(): void {
    const small = this.#small
    this.#small = undefined
    for (const each of small ?? []) this.#gather(each)
  }

  #gather(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      const place = this.#openPlace()
      const copied = bytes.copy(place, this.#filled, at)
      at += copied
      this.#filled += copied
      if (this.#filled === place.length) this.#pass()
    }
  }

  /** Passes on what the present place holds. */
  #pass(): void {
    const [place, block, filled] = [this.#place, this.#block, this.#filled]
    this.#place = undefined
    this.#block = undefined
    this.#filled = 0
    if (place && filled > 0) void this.#work(place.subarray(0, filled), block)
    else if (block) this.#blocks.giveBack(block)
  }

  async #work(piece: Buffer, block: SharedBlock | undefined): Promise<void> {
    this.#taking += 1
    if (this.#taking >= PIECES_TAKEN && !this.#isHeld && !this.#ended) {
      this.#isHeld = true
      this.holds += 1
      this.#source.pause()
    }
    try {
      await this.#take(piece, block)
    } catch (error) {
      // A client that went away is the lesser news.
      this.#ended = { error }
      this.#drop()
    }
    if (block) this.#blocks.giveBack(block)
    else letGoOf(piece.length)
    this.#taking -= 1
    if (this.#ended) this.#settle()
    else if (this.#isHeld) {
      this.#isHeld = false
      this.#source.resume()
    }
  }

  #finish(ended: { error?: unknown }): void {
    if (this.#ended) return
    this.#ended = ended
    const small = joined(this.#small ?? [])
    this.#small = undefined
    if (small.length > 0) void this.#work(small, undefined)
    // What arrived is passed on also when the client has gone.
    else if (this.#isLent) {
      this.#passCopy()
    } else this.#pass()
    this.#settle()
  }

  /** The network may still write into the block, so what it holds goes on in other memory. */
  #passCopy(): void {
    const [place, filled] = [this.#place, this.#filled]
    this.#drop()
    if (place && filled > 0) void this.#work(Buffer.from(place.subarray(0, filled)), undefined)
  }

  #settle(): void {
    if (this.#taking > 0 || !this.#ended) return
    if ('error' in this.#ended) this.#outcome.reject(this.#ended.error)
    else this.#outcome.resolve(this.received)
  }

  #drop(): void {
    const block = this.#block
    this.#place = undefined
    this.#block = undefined
    this.#filled = 0
    this.#small = undefined
    if (!block) return
    if (this.#isLent) this.#blocks.abandon(block)
    else this.#blocks.giveBack(block)
  }
}

function goneAway(cause: unknown): AppError {
  return new AppError('BLOB_UPLOAD_INVALID', { message: 'The client went away.', cause })
}
