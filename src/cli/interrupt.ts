import { Interrupted } from './cli-error.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Aborts when the user or the system wants the command to end. The second time it ends at once. */
export function watchInterrupts(): AbortSignal {
  const abort = new AbortController()
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      const reason = new Interrupted(signal)
      if (abort.signal.aborted) process.exit(reason.exit)
      abort.abort(reason)
    })
  }
  return abort.signal
}
