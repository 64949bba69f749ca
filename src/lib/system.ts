import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * The daemon's only source of time, waiting, ids and randomness, so that a test can hand in its own.
 */
export interface System {
  /** Milliseconds since the Unix epoch. */
  now(): number
  /** The present instant as RFC 3339 UTC with milliseconds. */
  nowIso(): string
  /** A new UUIDv7 (RFC 9562, section 5.7): sorts by creation time. */
  newId(): string
  randomBytes(size: number): Buffer
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls `run` once after `ms` without keeping the process alive; the result cancels it. */
  later(ms: number, run: () => void): () => void
  /** A clock that never goes back, in milliseconds; for durations only. */
  monotonic(): number
}

/** Some 25 days. Node takes a longer one for one of a millisecond. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/**
 * The real clock, timers and randomness. `onLateError` is told what the callback of a timer throws, for whom nobody waits who could catch it; without it
 * that ends the process. A callback that sets the next timer does so also when it throws.
 */
export function createSystem(onLateError?: (error: unknown) => void): System {
  const newId = createIdSource(Date.now, randomBytes)
  return {
    now: Date.now,
    nowIso: () => new Date().toISOString(),
    newId,
    randomBytes,
    sleep: async (ms, signal) => {
      for (let left = ms; ; left -= LONGEST_TIMER_MS) {
        await delay(Math.min(left, LONGEST_TIMER_MS), undefined, signal ? { signal } : {})
        if (left <= LONGEST_TIMER_MS) return
      }
    },
    later: (ms, run) => {
      const due = onLateError === undefined ? run : () => runOrTell(run, onLateError)
      let timer: NodeJS.Timeout
      const wait = (left: number): void => {
        timer =
          left > LONGEST_TIMER_MS
            ? setTimeout(wait, LONGEST_TIMER_MS, left - LONGEST_TIMER_MS)
            : setTimeout(due, left)
        timer.unref()
      }
      wait(ms)
      return () => clearTimeout(timer)
    },
    monotonic: () => performance.now(),
  }
}

function runOrTell(run: () => void, onError: (error: unknown) => void): void {
  try {
    run()
  } catch (error) {
    onError(error)
  }
}

/** So many ids are made of what the kernel is asked for at a time. */
const IDS_AT_ONCE = 128

/**
 * Makes UUIDv7 values that rise strictly within one process, also within a millisecond: the 12 bits of rand_a are a
 * counter (RFC 9562, section 6.2, method 1).
 */
export function createIdSource(now: () => number, random: (size: number) => Buffer): () => string {
  let lastMs = 0
  let counter = 0
  let stock: Buffer = Buffer.alloc(0)
  return () => {
    if (stock.length === 0) stock = random(16 * IDS_AT_ONCE)
    const bytes = stock.subarray(0, 16)
    stock = stock.subarray(16)
    const ms = Math.max(now(), lastMs)
    counter = ms === lastMs ? counter + 1 : bytes.readUInt16BE(6) & 0x07ff
    lastMs = ms
    if (counter > 0x0fff) {
      lastMs += 1
      counter = 0
    }
    bytes.writeUIntBE(lastMs, 0, 6)
    bytes.writeUInt16BE(0x7000 | counter, 6)
    bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
    const hex = bytes.toString('hex')
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  }
}
