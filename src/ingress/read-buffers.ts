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
  private readonly free: BulkBuffer[]

  constructor(free: BulkBuffer[]) {
    this.free = free
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
    this.recycle()
  }

  private recycle(): void {
    if (this.holds === 0 && !this.lent && this.free.length < FREE_BUFFERS) this.free.push(this)
  }
}

/** The read buffers of one worker: one that all connections share for what is small, and a few that go round for what is large. */
export class ReadBuffers {
  /** Valid only during the call that hands it out. */
  readonly shared: Buffer = Buffer.allocUnsafeSlow(SHARED_BYTES)
  private readonly free: BulkBuffer[] = []

  borrow(): BulkBuffer {
    return this.free.pop()?.lend() ?? new BulkBuffer(this.free)
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
