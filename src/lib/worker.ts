import type { System } from './system.ts'
import { messageOf } from './errors.ts'

/** What the operator is shown of a background loop. Instants are RFC 3339. */
export interface WorkerStatus {
  name: string
  runs: number
  failures: number
  running: boolean
  last_run_at: string | null
  last_duration_ms: number | null
  last_error: string | null
}

export interface Worker {
  /** Runs soon. During a run: exactly one more run follows it. */
  nudge(): void
  /** Begins the periodic runs; the first comes at once. */
  start(): void
  /** Aborts the present run's signal and waits until it has ended. */
  stop(): Promise<void>
  status(): WorkerStatus
}

export interface WorkerOptions {
  name: string
  system: System
  /** Reads what should be, looks at what is, and closes the gap. */
  run: (signal: AbortSignal) => Promise<void>
  /** Pause between runs in milliseconds; without it the worker runs only when nudged. */
  everyMs?: number
  onError?: (error: unknown) => void
}

/** A background loop: one run at a time, an error is counted and the loop lives on. */
export function createWorker(options: WorkerOptions): Worker {
  const { system } = options
  const status: WorkerStatus = {
    name: options.name,
    runs: 0,
    failures: 0,
    running: false,
    last_run_at: null,
    last_duration_ms: null,
    last_error: null,
  }
  const abort = new AbortController()
  let started = false
  let again = false
  let current: Promise<void> = Promise.resolve()
  let cancelTimer: () => void = () => {}

  const runOnce = async (): Promise<void> => {
    const startedAt = system.monotonic()
    status.last_run_at = system.nowIso()
    try {
      await options.run(abort.signal)
      status.last_error = null
    } catch (error) {
      if (abort.signal.aborted) return
      status.failures += 1
      status.last_error = messageOf(error)
      options.onError?.(error)
    } finally {
      status.runs += 1
      status.last_duration_ms = Math.round(system.monotonic() - startedAt)
    }
  }

  const loop = async (): Promise<void> => {
    status.running = true
    do {
      again = false
      await runOnce()
    } while (again && !abort.signal.aborted)
    status.running = false
    if (options.everyMs !== undefined && !abort.signal.aborted) {
      cancelTimer = system.later(options.everyMs, nudge)
    }
  }

  const nudge = (): void => {
    if (!started || abort.signal.aborted) return
    if (status.running) {
      again = true
      return
    }
    cancelTimer()
    status.running = true
    current = loop()
  }

  return {
    nudge,
    start: () => {
      started = true
      nudge()
    },
    stop: async () => {
      abort.abort()
      cancelTimer()
      await current
    },
    status: () => ({ ...status }),
  }
}
