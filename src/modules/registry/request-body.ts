import type { Readable } from 'node:stream'
import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { letGoOf } from '../../lib/young-garbage.ts'
import { BLOCK_BYTES, returnBlock, takeBlock } from './block-pool.ts'

/** Takes pieces of a body in order; they are its own only until its promise resolves, then the next ones come. */
export type TakePieces = (pieces: Buffer[], bytes: number) => Promise<void>

/** Bodies up to this size are handed over as they came. */
const SMALL_BYTES = 64 * 1024
/** Full blocks that may wait while another is being written. */
const BLOCKS_WAITING = 1
const STALL_MS = 60_000
/** How long a refused client may go on sending: closing at once would reset the connection before it reads the answer. */
const LINGER_MS = 30_000

/**
 * Passes a body on in pieces of up to a mebibyte, holding the client back when the taker is slow. Whatever arrived is passed on also when the client goes
 * away; then BLOB_UPLOAD_INVALID is thrown. Answers how many bytes came.
 */
export async function takeBody(
  body: Readable,
  take: TakePieces,
  maxBytes: number,
  system: System,
): Promise<number> {
  const intake = new Intake(body, take, maxBytes)
  const cancelStallCheck = watchForStall(intake, system)
  try {
    return await intake.finished
  } catch (error) {
    discardRest(body, system)
    throw error
  } finally {
    cancelStallCheck()
    intake.detach()
  }
}

class Intake {
  received = 0
  readonly finished: Promise<number>
  readonly #body: Readable
  readonly #take: TakePieces
  readonly #maxBytes: number
  readonly #outcome = Promise.withResolvers<number>()
  /** A small body needs no block. */
  #pieces: Buffer[] = []
  #pieceBytes = 0
  #block: Buffer | undefined
  #filled = 0
  readonly #full: Buffer[] = []
  #isTaking = false
  #ended: { error?: unknown } | undefined

  constructor(body: Readable, take: TakePieces, maxBytes: number) {
    this.#body = body
    this.#take = take
    this.#maxBytes = maxBytes
    this.finished = this.#outcome.promise
    if (body.readableEnded || body.destroyed) {
      this.#finish(body.readableEnded ? {} : { error: goneAway() })
      return
    }
    body.on('data', this.#onData)
    body.on('end', this.#onEnd)
    body.on('error', this.#onError)
    body.on('close', this.#onClose)
  }

  get isHeldBack(): boolean {
    return this.#isTaking
  }

  /** Ends the intake as if the client had gone. */
  giveUp(error: AppError): void {
    this.#finish({ error })
    this.#body.destroy()
  }

  detach(): void {
    this.#body.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose)
    this.#drop()
  }

  readonly #onData = (piece: Buffer): void => {
    this.received += piece.length
    if (this.received > this.#maxBytes) {
      this.#body.pause()
      this.#finish({ error: new AppError('PAYLOAD_TOO_LARGE') })
      return
    }
    if (this.#block === undefined && this.received <= SMALL_BYTES) {
      this.#pieces.push(piece)
      this.#pieceBytes += piece.length
      return
    }
    for (const each of this.#pieces) this.#gather(each)
    this.#pieces = []
    this.#pieceBytes = 0
    this.#gather(piece)
    letGoOf(piece.length)
    if (this.#full.length > 0) this.#next()
    if (this.#full.length >= BLOCKS_WAITING) this.#body.pause()
  }

  readonly #onEnd = (): void => this.#finish({})
  readonly #onError = (error: Error): void => this.#finish({ error: goneAway(error) })
  readonly #onClose = (): void => this.#finish({ error: goneAway() })

  #gather(piece: Buffer): void {
    let at = 0
    while (at < piece.length) {
      this.#block ??= takeBlock()
      const copied = piece.copy(this.#block, this.#filled, at)
      at += copied
      this.#filled += copied
      if (this.#filled < BLOCK_BYTES) continue
      this.#full.push(this.#block)
      this.#block = undefined
      this.#filled = 0
    }
  }

  #finish(ended: { error?: unknown }): void {
    if (this.#ended) return
    this.#ended = ended
    this.#next()
  }

  #next(): void {
    if (this.#isTaking) return
    const full = this.#full.shift()
    if (full) {
      void this.#takeBlock(full, BLOCK_BYTES)
      return
    }
    if (!this.#ended) return
    if (this.#block && this.#filled > 0) {
      const [block, filled] = [this.#block, this.#filled]
      this.#block = undefined
      this.#filled = 0
      void this.#takeBlock(block, filled)
    } else if (this.#pieceBytes > 0) {
      const [pieces, bytes] = [this.#pieces, this.#pieceBytes]
      this.#pieces = []
      this.#pieceBytes = 0
      void this.#takeThese(pieces, bytes)
    } else if ('error' in this.#ended) this.#outcome.reject(this.#ended.error)
    else this.#outcome.resolve(this.received)
  }

  async #takeBlock(block: Buffer, bytes: number): Promise<void> {
    await this.#takeThese([block.subarray(0, bytes)], bytes)
    returnBlock(block)
  }

  async #takeThese(pieces: Buffer[], bytes: number): Promise<void> {
    this.#isTaking = true
    try {
      await this.#take(pieces, bytes)
    } catch (error) {
      this.#ended = { error }
      this.#drop()
    }
    this.#isTaking = false
    if (!this.#ended && this.#body.isPaused() && this.#full.length < BLOCKS_WAITING) this.#body.resume()
    this.#next()
  }

  #drop(): void {
    for (const block of this.#full.splice(0)) returnBlock(block)
    if (this.#block) returnBlock(this.#block)
    this.#block = undefined
    this.#filled = 0
    this.#pieces = []
    this.#pieceBytes = 0
  }
}

function goneAway(cause?: unknown): AppError {
  return new AppError('BLOB_UPLOAD_INVALID', { message: 'The client went away.', cause })
}

/** A client that sends nothing would hold its upload for ever. */
function watchForStall(intake: Intake, system: System): () => void {
  let seen = -1
  const look = (): void => {
    if (intake.received === seen && !intake.isHeldBack) {
      intake.giveUp(new AppError('REQUEST_TIMEOUT'))
      return
    }
    seen = intake.received
    cancel = system.later(STALL_MS, look)
  }
  let cancel = system.later(STALL_MS, look)
  return () => cancel()
}

/** Reads on without keeping, so that the client sees the answer; for a bounded time. */
export function discardRest(body: Readable, system: System): void {
  if (body.readableEnded || body.destroyed) return
  body.on('error', () => {})
  body.resume()
  const cancel = system.later(LINGER_MS, () => body.destroy())
  body.once('close', cancel)
  body.once('end', cancel)
}
