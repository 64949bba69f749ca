import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { untilAborted } from '../../lib/abortable.ts'
import { systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { type JournalFile, openJournalFile } from './journal-file.ts'
import { createLiveTail, type LiveTail } from './live-tail.ts'
import { type LineBatch, toRecord } from './log-line.ts'
import { type OutputLine, type OutputPlace, passLine } from './output-place.ts'
import { memorySource, readBatchAfter, type RecordSource, withFileSource } from './record-search.ts'
import { compressSegment, isCompressed, plainName, type Segment, SEGMENT_BYTES } from './segment.ts'
import { readSegmentIndex, widen } from './segment-index.ts'
import { originKey, type OutputOrigin, type Places, placesNote, serviceRest } from './service-record.ts'

export interface ServiceLogDeps {
  directory: string
  system: System
  maxBytes: number
  onError: (error: unknown) => void
  /** Reads a closed segment, or answers it from memory. */
  readClosed: (directory: string, segment: Segment) => Promise<Buffer>
  /** Lets one segment of all services be compressed at a time. */
  inTurn: <T>(work: () => Promise<T>) => Promise<T>
}

interface Queued {
  rest: string
  origin: OutputOrigin
  line: OutputLine
}

/** Lines go to the disk in writes of about this many characters. */
const WRITE_CHARACTERS = 256 * 1024
/** From here on one who adds lines is held back. */
const QUEUE_CHARACTERS = 1024 * 1024
const RETRY_MS = 1000

/** The output of one service: the segment that is written to, and closed ones before it. */
export class ServiceLog {
  readonly tail: LiveTail
  readonly #deps: ServiceLogDeps
  /** Closed ones, oldest first. */
  readonly #closed: Segment[]
  readonly #places: Places
  readonly #segmentBytes: number
  /** The segment that is written to; its file is made with its first line. */
  #current: Segment
  #file: JournalFile | undefined
  #isRotationDue = false
  #queue: Queued[] = []
  #queuedCharacters = 0
  #writing: Promise<void> | undefined
  #isOver = false

  /** Opens the log of a service, which need not have one yet. */
  static async open(deps: ServiceLogDeps): Promise<ServiceLog> {
    const { segments, places } = await readSegmentIndex(deps.directory, deps.system)
    const last = segments.at(-1)
    const current = last && !isCompressed(last) ? segments.pop() : undefined
    return new ServiceLog(deps, segments, places, current ?? emptySegment((last?.last ?? 0) + 1))
  }

  private constructor(deps: ServiceLogDeps, closed: Segment[], places: Places, current: Segment) {
    this.#deps = deps
    this.#closed = closed
    this.#places = places
    this.#current = current
    this.#segmentBytes = Math.min(SEGMENT_BYTES, deps.maxBytes / 4)
    this.tail = createLiveTail(deps.system, current.last)
  }

  /** Where a container's output was left off. */
  placeOf(origin: OutputOrigin): OutputPlace {
    return structuredClone(this.#places.get(originKey(origin)) ?? {})
  }

  /** Takes a line. Whoever gets a promise should wait for it before the next: the disk is behind. */
  append(origin: OutputOrigin, line: OutputLine): Promise<void> | undefined {
    if (this.#isOver) return undefined
    const queued = { rest: serviceRest(origin, line), origin, line }
    this.#queue.push(queued)
    this.#queuedCharacters += queued.rest.length
    const written = this.flush()
    return this.#queuedCharacters >= QUEUE_CHARACTERS ? written : undefined
  }

  /** Resolves when all that was appended is written; what cannot be is tried again until it can, or the log is closed. */
  flush(): Promise<void> {
    if (this.#queue.length === 0 && !this.#writing && !this.#isRotationDue) return Promise.resolve()
    this.#writing ??= this.#writeAll()
    return this.#writing
  }

  /** The stored lines behind `after`; undefined when there are none. */
  async readAfter(after: number): Promise<LineBatch | undefined> {
    for (let from = after; ;) {
      const segment = [...this.#closed, this.#current].find(({ last }) => last > from)
      if (!segment) return undefined
      const batch = await this.useSegment(segment, (source) => readBatchAfter(source, from))
      if (batch) return batch
      // Removed meanwhile, or nothing but damage.
      from = segment.last
    }
  }

  /** All segments with lines in them, newest first. */
  segments(): Segment[] {
    return [...this.#closed, this.#current].filter(({ first, last }) => last >= first).toReversed()
  }

  /** Runs `use` over the records of a segment; undefined when the segment is gone. */
  async useSegment<T>(segment: Segment, use: (source: RecordSource) => Promise<T>): Promise<T | undefined> {
    // What was plain may be compressed by now, and what was there may be removed.
    for (let tries = 0; tries < 3; tries += 1) {
      const now = [...this.#closed, this.#current].find(({ first }) => first === segment.first)
      if (!now) return undefined
      try {
        if (now === this.#current)
          return await withFileSource(join(this.#deps.directory, now.name), now.bytes, use)
        return await use(memorySource(await this.#deps.readClosed(this.#deps.directory, now)))
      } catch (error) {
        if (systemCodeOf(error) !== 'ENOENT') throw error
      }
    }
    return undefined
  }

  /** Removes what is older than an instant, in milliseconds since the epoch. Waits for the disk until the signal aborts. */
  async expire(beforeMs: number, signal: AbortSignal): Promise<void> {
    if (this.#current.last >= this.#current.first && this.#current.max_ms < beforeMs) {
      this.#isRotationDue = true
      await untilAborted(this.flush(), signal)
    }
    const old = this.#closed.filter(({ max_ms }) => max_ms < beforeMs)
    for (const segment of old) await this.#drop(segment)
  }

  /** Writes what is left and closes the file, at the end of the daemon. */
  async close(): Promise<void> {
    this.#isOver = true
    await this.flush()
    await this.#file?.close()
    this.#file = undefined
  }

  /** Removes everything; those who follow are told that it is over. */
  async remove(): Promise<void> {
    this.#queue = []
    await this.close()
    this.tail.end('Deleted')
    // Behind a compression that may be under way, which would write into the directory once more.
    await this.#deps.inTurn(() => rm(this.#deps.directory, { recursive: true, force: true }))
  }

  async #writeAll(): Promise<void> {
    do {
      try {
        await this.#writeSome()
      } catch (error) {
        this.#deps.onError(error)
        if (this.#isOver) break
        await this.#deps.system.sleep(RETRY_MS)
      }
    } while (this.#queue.length > 0)
    // Together with the last look at the queue: a line that comes now begins a new write.
    this.#writing = undefined
  }

  async #writeSome(): Promise<void> {
    this.#file ??= await this.#openCurrent()
    const file = this.#file
    const current = this.#current
    const some = this.#takeSome()
    if (some.length > 0) {
      const first = current.last + 1
      const last = current.last + some.length
      const lines = some.map(({ rest }, index) => toRecord(first + index, rest))
      await file.write(`${lines.join('\n')}\n`, last)
      this.#queue = this.#queue.slice(some.length)
      for (const each of some) this.#pass(each)
      current.last = last
      current.bytes = file.size
      this.tail.push({ first, last, lines })
    }
    if (this.#isRotationDue || file.size >= this.#segmentBytes) await this.#rotate(file)
  }

  #takeSome(): Queued[] {
    let count = 0
    for (let characters = 0; count < this.#queue.length && characters < WRITE_CHARACTERS; count += 1) {
      characters += this.#queue[count]?.rest.length ?? 0
    }
    return this.#queue.slice(0, count)
  }

  #pass({ rest, origin, line }: Queued): void {
    this.#queuedCharacters -= rest.length
    widen(this.#current, Date.parse(line.ts))
    const key = originKey(origin)
    const place = this.#places.get(key) ?? {}
    passLine(place, line)
    this.#places.set(key, place)
  }

  async #openCurrent(): Promise<JournalFile> {
    const file = await openJournalFile(join(this.#deps.directory, this.#current.name))
    try {
      if (file.size === 0) {
        await file.write(`${placesNote(this.#places)}\n`, this.#current.last)
        await file.sync()
      }
    } catch (error) {
      await file.close()
      throw error
    }
    // Only now: until the new segment holds the places, the ones before it must tell them.
    for (const segment of this.#closed) if (!isCompressed(segment)) this.#compress(segment)
    return file
  }

  async #rotate(file: JournalFile): Promise<void> {
    this.#isRotationDue = false
    this.#file = undefined
    this.#closed.push(this.#current)
    this.#current = emptySegment(this.#current.last + 1)
    await file.close()
    this.#file = await this.#openCurrent()
    let bytes = this.#closed.reduce((sum, segment) => sum + segment.bytes, 0)
    for (const oldest of this.#closed.slice()) {
      if (bytes <= this.#deps.maxBytes - this.#segmentBytes) break
      bytes -= oldest.bytes
      await this.#drop(oldest)
    }
  }

  #compress(segment: Segment): void {
    const { directory, inTurn, onError } = this.#deps
    inTurn(async () => {
      const at = this.#closed.indexOf(segment)
      if (at === -1 || isCompressed(segment)) return
      const compressed = await compressSegment(directory, segment)
      const now = this.#closed.indexOf(segment)
      if (now >= 0) this.#closed[now] = compressed
      // Removed meanwhile: then both go.
      else await rm(join(directory, compressed.name), { force: true })
      await rm(join(directory, segment.name), { force: true })
    }).catch((error: unknown) => {
      if (!this.#isOver) onError(error)
    })
  }

  async #drop(segment: Segment): Promise<void> {
    const at = this.#closed.indexOf(segment)
    if (at >= 0) this.#closed.splice(at, 1)
    await rm(join(this.#deps.directory, segment.name), { force: true })
  }
}

function emptySegment(first: number): Segment {
  return { name: plainName(first), first, last: first - 1, min_ms: Infinity, max_ms: 0, bytes: 0 }
}
