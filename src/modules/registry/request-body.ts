import type { Readable } from 'node:stream'
import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'

/** Takes pieces of a body in order; the next ones come when the promise of the last has resolved. */
export type TakePieces = (pieces: Buffer[], bytes: number) => Promise<void>

export interface BodyLimits {
  maxBytes: number
  /** Pieces are gathered to this size, so that a large body costs few writes. */
  groupBytes: number
}

/** What is held while a write is under way. */
const GROUPS_HELD = 2
const STALL_MS = 60_000
/** How long a refused client may go on sending: closing at once would reset the connection before it reads the answer. */
const LINGER_MS = 30_000

/**
 * Passes a body on in groups, holding the client back when the taker is slow. Whatever arrived is passed on also when the client goes
 * away; then BLOB_UPLOAD_INVALID is thrown. Answers how many bytes came.
 */
export async function takeBody(
  body: Readable,
  take: TakePieces,
  limits: BodyLimits,
  system: System,
): Promise<number> {
  const intake = new Intake(body, take, limits)
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
  readonly #limits: BodyLimits
  readonly #outcome = Promise.withResolvers<number>()
  #pieces: Buffer[] = []
  #held = 0
  #isTaking = false
  #ended: { error?: unknown } | undefined

  constructor(body: Readable, take: TakePieces, limits: BodyLimits) {
    this.#body = body
    this.#take = take
    this.#limits = limits
    this.finished = this.#outcome.promise
    if (body.readableEnded || body.destroyed) {
      this.#ended = body.readableEnded ? {} : { error: goneAway() }
      this.#next()
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
    this.#pieces = []
  }

  readonly #onData = (piece: Buffer): void => {
    this.received += piece.length
    if (this.received > this.#limits.maxBytes) {
      this.#body.pause()
      this.#finish({ error: new AppError('PAYLOAD_TOO_LARGE') })
      return
    }
    this.#pieces.push(piece)
    this.#held += piece.length
    if (this.#held >= this.#limits.groupBytes * GROUPS_HELD) this.#body.pause()
    if (this.#held >= this.#limits.groupBytes) this.#next()
  }

  readonly #onEnd = (): void => this.#finish({})
  readonly #onError = (error: Error): void => this.#finish({ error: goneAway(error) })
  readonly #onClose = (): void => this.#finish({ error: goneAway() })

  #finish(ended: { error?: unknown }): void {
    if (this.#ended) return
    this.#ended = ended
    this.#next()
  }

  #next(): void {
    if (this.#isTaking) return
    if (this.#held === 0) {
      if (!this.#ended) return
      if ('error' in this.#ended) this.#outcome.reject(this.#ended.error)
      else this.#outcome.resolve(this.received)
      return
    }
    void this.#takeGroup()
  }

  async #takeGroup(): Promise<void> {
    this.#isTaking = true
    const pieces = this.#pieces
    const bytes = this.#held
    this.#pieces = []
    this.#held = 0
    try {
      await this.#take(pieces, bytes)
    } catch (error) {
      this.#ended = { error }
      this.#pieces = []
      this.#held = 0
    }
    this.#isTaking = false
    if (this.#ended || this.#held >= this.#limits.groupBytes) this.#next()
    if (!this.#ended && this.#body.isPaused() && this.#held < this.#limits.groupBytes * GROUPS_HELD)
      this.#body.resume()
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
