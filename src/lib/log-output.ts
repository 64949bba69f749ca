import { write, writeSync } from 'node:fs'
import { systemCodeOf } from './errors.ts'

/** Where pino puts its lines. */
export interface LogOutput {
  /** Takes one whole line; never throws and never waits. What cannot be written is dropped and counted. */
  write(line: string): void
  /** Calls `done` once all lines so far are written or dropped; with an error when nothing was taken for two seconds. */
  flush(done: (error?: Error) => void): void
  /** Writes the rest before it returns, as far as that succeeds at once: for the exit of the process. */
  end(): void
}

/** What is written at a time. Its first bytes may be ours: they end a torn line, and tell of lost ones. */
interface Batch {
  bytes: Buffer
  own: number
  /** So many lost lines are told of. */
  told: number
  done: number
}

/** What waits for a slow reader, in characters. */
const MOST_QUEUED = 1024 * 1024
/** Written at a time, so that a slow reader is seen to read. */
const PIECE_BYTES = 64 * 1024
const RETRY_MS = 100
const FLUSH_MS = 2000
/** Between two lines about lost ones: a disk that is full now and then is not to be filled with them. */
const TELL_EVERY_MS = 10_000
const NEWLINE = 0x0a

/**
 * Writes lines to `descriptor` in their order without holding up the thread. A full disk, or a reader that is gone or takes nothing, costs lines and
 * nothing else; once lines can be written again, `lostLine` is asked for one about those that were lost.
 */
export function createLogOutput(descriptor: number, lostLine: (count: number) => string): LogOutput {
  let queue = ''
  let lost = 0
  let toldAt = -Infinity
  /** The last thing written is a part of a line. */
  let isTorn = false
  let current: Batch | undefined
  /** `current` is in the hands of a thread, rather than waiting to be tried again. */
  let isUnderWay = false
  const waiting = new Set<{ goesOn: () => void; written: () => void }>()

  const take = (): Batch => {
    const tells = lost > 0 && (waiting.size > 0 || performance.now() - toldAt >= TELL_EVERY_MS)
    const own = `${isTorn ? '\n' : ''}${tells ? lostLine(lost) : ''}`
    const bytes = Buffer.from(own + queue)
    queue = ''
    return { bytes, own: Buffer.byteLength(own), told: tells ? lost : 0, done: 0 }
  }

  /** Counts what was lost of a batch that goes no further. */
  const settle = ({ bytes, own, told, done }: Batch): void => {
    if (done > 0) isTorn = bytes[done - 1] !== NEWLINE
    if (told > 0 && done >= own) {
      lost -= told
      toldAt = performance.now()
    }
    for (let at = Math.max(done, own); at < bytes.length; at += 1) if (bytes[at] === NEWLINE) lost += 1
  }

  const put = (batch: Batch): void => {
    current = batch
    isUnderWay = true
    const length = Math.min(PIECE_BYTES, batch.bytes.length - batch.done)
    write(descriptor, batch.bytes, batch.done, length, null, (error, count) => {
      isUnderWay = false
      if (!error) {
        batch.done += count
        for (const flush of waiting) flush.goesOn()
      }
      const code = systemCodeOf(error)
      if (code === 'EAGAIN') setTimeout(put, RETRY_MS, batch).unref()
      else if (!error && batch.done < batch.bytes.length) put(batch)
      else {
        settle(batch)
        current = undefined
        next()
      }
    })
  }

  const next = (): void => {
    if (current) return
    if (queue !== '') put(take())
    else for (const { written } of waiting) written()
  }

  const putNow = (batch: Batch): void => {
    while (batch.done < batch.bytes.length)
      batch.done += writeSync(descriptor, batch.bytes, batch.done, null, null)
  }

  return {
    write: (line) => {
      if (queue.length + line.length > MOST_QUEUED) lost += 1
      else {
        queue += line
        next()
      }
    },
    flush: (done) => {
      const finish = (error?: Error): void => {
        clearTimeout(timer)
        waiting.delete(flush)
        done(error)
      }
      const timer = setTimeout(finish, FLUSH_MS, new Error('the log is not taken'))
      const flush = { goesOn: () => void timer.refresh(), written: () => finish() }
      waiting.add(flush)
      if (!current && lost > 0) put(take())
      else next()
    },
    end: () => {
      try {
        if (current && !isUnderWay) putNow(current)
        if (queue !== '') putNow(take())
      } catch {
        // There is nobody left to tell.
      }
    },
  }
}
