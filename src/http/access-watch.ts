import type { FastifyRequest } from 'fastify'
import type { AppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'

const TICK_MS = 400
/** How many open requests are checked before other work of the event loop gets its turn. */
const SLICE = 200

/** Tells long-lived answers (event streams, consoles) when their caller may no longer have them. */
export interface AccessWatch {
  /**
   * Watches an open request until `release`. `onLost` is called once, within a second of the loss, with the reason: credentials that
   * ended, a role that changed, a resource that is gone.
   */
  watch(request: FastifyRequest, onLost: (reason: AppError) => void): () => void
  /** How many are watched. */
  size(): number
}

export interface AccessWatchDeps {
  system: System
  /** Rises whenever someone's access may have changed. */
  accessRevision: () => number
  /** The refusal that the request would get now; undefined while it may go on. */
  lossOf: (request: FastifyRequest) => AppError | undefined
}

interface Watched {
  request: FastifyRequest
  onLost: (reason: AppError) => void
  /** Of the last look. */
  revision: number
}

export function createAccessWatch(deps: AccessWatchDeps): AccessWatch {
  const { system } = deps
  const watched = new Set<Watched>()
  let ticking = false

  const isDue = (each: Watched): boolean =>
    each.revision !== deps.accessRevision() || each.request.accessUntil <= system.now()

  const check = (each: Watched): void => {
    const revision = deps.accessRevision()
    const reason = deps.lossOf(each.request)
    each.revision = revision
    if (reason === undefined) return
    watched.delete(each)
    each.onLost(reason)
  }

  const tick = (): void => {
    const due = [...watched].filter(isDue).slice(0, SLICE)
    try {
      for (const each of due) if (watched.has(each)) check(each)
    } finally {
      ticking = watched.size > 0
      if (ticking) system.later(due.length === SLICE ? 1 : TICK_MS, tick)
    }
  }

  return {
    watch: (request, onLost) => {
      const each = { request, onLost, revision: deps.accessRevision() }
      watched.add(each)
      if (!ticking) system.later(TICK_MS, tick)
      ticking = true
      return () => watched.delete(each)
    },
    size: () => watched.size,
  }
}
