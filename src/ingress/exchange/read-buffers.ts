const SHARED_BYTES = 64 * 1024
/** As much as a socket mostly holds: fewer reads and writes for each byte. */
const BULK_BYTES = 128 * 1024
/** Buffers kept for the next large body: 2 MiB. They go round: memory that the processor has at hand, and no new page. */
const FREE_BUFFERS = 16
/** A smaller piece is copied: it would hold a whole buffer for as long as a slow client takes. */
const KEPT_BYTES = 16 * 1024

/** Bytes that may be kept after the read that brought them, until `release`. */
export interface KeptPiece {
  bytes: Buffer
  /** To be called once the bytes have been written; they must not be looked at after. */
  release: ((error?: Error | null) => void) | undefined
}

/** A buffer for large bodies: lent to a connection, and held by the pieces that are on their way to a client. */
class BulkBuffer {
  readonly bytes = Buffer.allocUnsafeSlow(BULK_BYTES)
  holds = 0
  readonly release: (error?: Error | null) => void
  private lent = true
  private readonly owner: ReadBuffers

  constructor(owner: ReadBuffers) {
    this.owner = owner
    this.release = (error) => {
      // A piece that could not be written keeps its hold: the buffer is left to the garbage collector.
      if (!error) this.holds -= 1
      this.recycle()
    }
  }

  lend(): this {
    this.lent = true
    return this
  }

  giveBack(): void {
    this.lent = false
    this.owner.lent -= 1
    this.recycle()
  }

  private recycle(): void {
    if (this.holds === 0 && !this.lent) this.owner.keep(this)
  }
}

/** The read buffers of one worker: one that all connections share for what is small, and a few that go round for what is large. */
export class ReadBuffers {
  /** Valid only during the call that hands it out. */
  readonly shared: Buffer = Buffer.allocUnsafeSlow(SHARED_BYTES)
  /** Large ones that connections have at the moment. */
  lent = 0
  private readonly free: BulkBuffer[] = []

  borrow(): BulkBuffer {
    this.lent += 1
    return this.free.pop()?.lend() ?? new BulkBuffer(this)
  }

  keep(buffer: BulkBuffer): void {
    if (this.free.length < FREE_BUFFERS) this.free.push(buffer)
  }
}

/** Where one connection reads into: the shared buffer, or while it carries a large body one of its own. */
export class ConnectionBuffer {
  bulk = false
  private readonly buffers: ReadBuffers
  private own: BulkBuffer | null = null

  constructor(buffers: ReadBuffers) {
    this.buffers = buffers
  }

  get current(): Buffer {
    return this.own?.bytes ?? this.buffers.shared
  }

  /**
   * A tunnel says of no message how long it is: more is likely to come behind a read that filled its place, while a connection that is about to
   * be idle must not keep a large buffer.
   */
  expectMoreBehind(buffer: Buffer, length: number): void {
    this.bulk = length === buffer.length
  }

  /** Chooses the buffer for the next read: called behind each one. */
  next(): Buffer {
    const { own } = this
    if (own !== null && (!this.bulk || own.holds > 0)) {
      this.own = null
      own.giveBack()
    }
    if (this.bulk) this.own ??= this.buffers.borrow()
    return this.current
  }

  /** A piece of what was read that outlives the read. */
  keep(buffer: Buffer, start: number, end: number): KeptPiece {
    const { own } = this
    const bytes = buffer.subarray(start, end)
    if (own === null || buffer !== own.bytes || bytes.length < KEPT_BYTES) {
      return { bytes: Buffer.from(bytes), release: undefined }
    }
    own.holds += 1
    return { bytes, release: own.release }
  }
}
