import type { System } from '../lib/system.ts'

/** The clock of a server, as its answers tell it (RFC 9110, section 6.6.1): to a second. */
export interface ServerClock {
  /** Takes note of an answer. */
  see(answer: Response): void
  /** Milliseconds since the epoch; undefined before the first answer that tells. */
  now(): number | undefined
}

export function createServerClock(system: System): ServerClock {
  let behind: number | undefined
  return {
    see: ({ headers }) => {
      const date = Date.parse(headers.get('date') ?? '')
      if (!Number.isNaN(date)) behind = date - system.monotonic()
    },
    now: () => (behind === undefined ? undefined : behind + system.monotonic()),
  }
}
