import { createMasker, type Masker } from '../../lib/redact.ts'
import type { System } from '../../lib/system.ts'
import { type JournalFile, openJournalFile } from './journal-file.ts'
import { createLiveTail, type LiveTail } from './live-tail.ts'
import { recordRest, splitLines, toRecord } from './log-line.ts'
import type { LogStream } from './log-schema.ts'

export interface DeploymentEntry {
  step: string | null
  stream: LogStream
  line: string
}

export interface DeploymentLogDeps {
  path: string
  system: System
  maxBytes: number
  onError: (error: unknown) => void
}

/** Room beyond the limit for what Berth itself says: why it failed must not be lost behind the output that drowned it. */
const STATUS_RESERVE = 1024 * 1024
/** Lines go to the disk in writes of about this many bytes. */
const WRITE_BYTES = 256 * 1024
const RETRY_MS = 1000
/** What the number of a line takes. */
const SEQ_ROOM = 24

interface Queued {
  rest: string
  bytes: number
}

/** The log of one deployment that is under way: lines go to the disk in order, in one write for all that came meanwhile. */
export class DeploymentLog {
  readonly #deps: DeploymentLogDeps
  #masked: readonly string[] = []
  #masker: Masker = createMasker([])
  #queue: Queued[] = []
  #queuedBytes = 0
  #dropped = 0
  #file: JournalFile | undefined
  #opening: Promise<LiveTail> | undefined
  #writing: Promise<void> | undefined

  constructor(deps: DeploymentLogDeps) {
    this.#deps = deps
  }

  setMasks(values: readonly string[]): void {
    this.#masked = values
    this.#masker = createMasker(values)
  }

  addMasks(values: readonly string[]): void {
    this.setMasks([...this.#masked, ...values])
  }

  /** Takes an entry; never throws. What cannot be written is told to `onError` and tried again. */
  append(entry: DeploymentEntry): void {
    for (const line of splitLines(this.#masker.mask(entry.line))) this.#enqueue({ ...entry, line })
    void this.flush()
  }

  /** Resolves when all that was appended is written, or could not be. */
  flush(): Promise<void> {
    this.#writing ??= this.#writeAll()
    return this.#writing
  }

  /** Opens the file; the newest lines to follow. */
  open(): Promise<LiveTail> {
    this.#opening ??= this.#open()
    return this.#opening
  }

  /** Writes the rest, lets go of the file, calls `released`, and tells those who follow how it ended, if it has. */
  async close(state: string | null | undefined, released: () => void): Promise<void> {
    if (this.#dropped > 0) this.#tellDropped()
    await this.flush()
    const tail = await this.open().catch(() => undefined)
    const file = this.#file
    this.#file = undefined
    released()
    if (state !== undefined) tail?.end(state)
    await file?.close()
  }

  #enqueue(entry: DeploymentEntry): void {
    const queued = this.#toQueued(entry)
    const isStatus = entry.stream === 'status'
    const limit = this.#deps.maxBytes + (isStatus ? STATUS_RESERVE : 0)
    if ((this.#file?.size ?? 0) + this.#queuedBytes + queued.bytes > limit) {
      this.#dropped += 1
      return
    }
    if (this.#dropped > 0 && isStatus) this.#tellDropped()
    this.#push(queued)
  }

  #tellDropped(): void {
    const line = `[${this.#dropped} lines were left out: this log is full at ${this.#deps.maxBytes} bytes]`
    this.#dropped = 0
    this.#push(this.#toQueued({ step: null, stream: 'status', line }))
  }

  #toQueued({ stream, step, line }: DeploymentEntry): Queued {
    const rest = recordRest({ ts: this.#deps.system.nowIso(), stream, step, line })
    return { rest, bytes: Buffer.byteLength(rest) + SEQ_ROOM }
  }

  #push(queued: Queued): void {
    this.#queue.push(queued)
    this.#queuedBytes += queued.bytes
  }

  async #open(): Promise<LiveTail> {
    try {
      this.#file = await openJournalFile(this.#deps.path)
      return createLiveTail(this.#deps.system, this.#file.lastSeq)
    } catch (error) {
      this.#opening = undefined
      throw error
    }
  }

  async #writeAll(): Promise<void> {
    try {
      const tail = await this.open()
      while (this.#queue.length > 0 && this.#file) await this.#writeSome(this.#file, tail)
    } catch (error) {
      this.#deps.onError(error)
      this.#deps.system.later(RETRY_MS, () => void (this.#queue.length > 0 && this.flush()))
    }
    // Together with the last look at the queue: an entry that comes now begins a new write.
    this.#writing = undefined
  }

  async #writeSome(file: JournalFile, tail: LiveTail): Promise<void> {
    let count = 0
    for (let bytes = 0; count < this.#queue.length && bytes < WRITE_BYTES; count += 1) {
      bytes += this.#queue[count]?.bytes ?? 0
    }
    const some = this.#queue.slice(0, count)
    const first = file.lastSeq + 1
    const last = file.lastSeq + count
    const lines = some.map(({ rest }, index) => toRecord(first + index, rest))
    await file.write(`${lines.join('\n')}\n`, last)
    this.#queue = this.#queue.slice(count)
    for (const { bytes } of some) this.#queuedBytes -= bytes
    tail.push({ first, last, lines })
  }
}
