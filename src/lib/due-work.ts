import type { System } from './system.ts'

/** Something that waits to be done; the same id is never under way twice. */
export interface DueWork {
  id: string
  /** On whose behalf. */
  owner: string | null
  act: () => Promise<void>
}

export interface DueWorkDeps {
  system: System
  /** What is due at this moment, what comes first in front. */
  due: () => DueWork[]
  /** Called when something has ended, and every few seconds while something is under way. */
  look: () => Promise<void>
}

/** At once, and of one owner: whose work takes minutes must not keep the others from theirs. */
const CONCURRENCY = 8
const OF_ONE = 4
const LOOK_EVERY_MS = 5000
/** Until the same is begun again in one run, whatever it came to. */
const AGAIN_MS = 60_000

/**
 * Works off what is due, also what becomes due meanwhile, until nothing is under way any more. Throws the first error that was not expected, or the
 * signal's reason, once everything that was begun has ended.
 */
export async function workOff({ system, due, look }: DueWorkDeps, signal: AbortSignal): Promise<void> {
  const running = new Map<string, { owner: string | null; ended: Promise<unknown> }>()
  const begun = new Map<string, number>()
  const failures: unknown[] = []

  const hasRoom = (owner: string | null): boolean =>
    [...running.values()].filter((each) => each.owner === owner).length < OF_ONE
  const begin = (): void => {
    for (const { id, owner, act } of due()) {
      if (running.size >= CONCURRENCY) return
      const now = system.monotonic()
      if (running.has(id) || now - (begun.get(id) ?? -AGAIN_MS) < AGAIN_MS || !hasRoom(owner)) continue
      begun.set(id, now)
      const ended = act()
        .catch((error: unknown) => failures.push(error))
        .finally(() => running.delete(id))
      running.set(id, { owner, ended })
    }
  }
  const ended = (): Promise<unknown>[] => [...running.values()].map((each) => each.ended)

  try {
    for (begin(); running.size > 0; begin()) {
      await firstOf(system, ended())
      if (signal.aborted || failures.length > 0) break
      await look()
    }
  } finally {
    await Promise.all(ended())
  }
  signal.throwIfAborted()
  if (failures.length > 0) throw failures[0]
}

async function firstOf(system: System, ended: readonly Promise<unknown>[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const cancelTimer = system.later(LOOK_EVERY_MS, resolve)
  await Promise.race([promise, ...ended]).finally(cancelTimer)
}
