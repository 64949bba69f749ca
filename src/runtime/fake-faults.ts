import { AppError } from '../lib/errors.ts'
import type { FakeEngine } from './fake-engine.ts'
import type { Runtime } from './runtime.ts'

export type RuntimeVerb = keyof Runtime

/** What a test can do to a runtime: count, hook, break and kill it. */
export interface FakeFaults {
  /** How often the verb was called. */
  calls(verb: RuntimeVerb): number
  /** The next `times` calls of the verb fail with this error before they do anything. */
  fail(verb: RuntimeVerb, error: Error, times?: number): void
  /** Runs before each call of the verb takes effect; what it throws, the verb throws. The result takes the hook away. */
  before(verb: RuntimeVerb, hook: Hook): () => void
  /** Runs after each call of the verb took effect and before it returns; what it throws, the verb throws. */
  after(verb: RuntimeVerb, hook: Hook): () => void
  /**
   * The daemon dies in the n-th call of the verb from now: neither that call nor any later one of this runtime ever settles, as for a
   * process that was killed. Resolves when it has died.
   */
  dieAt(verb: RuntimeVerb, when: 'before' | 'after', nth?: number): Promise<void>
}

export type Hook = (...args: unknown[]) => void | Promise<void>

export interface FaultyVerbs {
  faults: FakeFaults
  /** Carries out one call of a verb with all that was arranged for it. */
  around<T>(verb: RuntimeVerb, args: unknown[], run: () => Promise<T> | T): Promise<T>
  isDead(): boolean
}

interface Arranged {
  calls: number
  failures: Error[]
  before: Set<Hook>
  after: Set<Hook>
}

const NEVER = new Promise<never>(() => {})

export function createFaultyVerbs(engine: FakeEngine): FaultyVerbs {
  const arranged = new Map<RuntimeVerb, Arranged>()
  let dead = false

  const of = (verb: RuntimeVerb): Arranged => {
    const known = arranged.get(verb)
    if (known) return known
    const fresh: Arranged = { calls: 0, failures: [], before: new Set(), after: new Set() }
    arranged.set(verb, fresh)
    return fresh
  }

  const hookOnto = (hooks: Set<Hook>, hook: Hook): (() => void) => {
    hooks.add(hook)
    return () => void hooks.delete(hook)
  }

  const run = async (hooks: Set<Hook>, args: unknown[]): Promise<void> => {
    for (const hook of hooks) await hook(...args)
    if (dead) await NEVER
  }

  return {
    isDead: () => dead,

    around: async (verb, args, effect) => {
      if (dead) return NEVER
      const { before, after, failures } = of(verb)
      of(verb).calls += 1
      await run(before, args)
      const failure = failures.shift()
      if (failure) throw failure
      if (engine.away) throw engineAway()
      const result = await effect()
      await run(after, args)
      return result
    },

    faults: {
      calls: (verb) => of(verb).calls,
      fail: (verb, error, times = 1) => {
        of(verb).failures.push(...Array.from({ length: times }, () => error))
      },
      before: (verb, hook) => hookOnto(of(verb).before, hook),
      after: (verb, hook) => hookOnto(of(verb).after, hook),
      dieAt: (verb, when, nth = 1) =>
        new Promise((resolve) => {
          let left = nth
          of(verb)[when].add(() => {
            left -= 1
            if (left > 0 || dead) return
            dead = true
            engine.notify()
            resolve()
          })
        }),
    },
  }
}

/** What every verb throws while the engine is away. */
export function engineAway(): AppError {
  return new AppError('RUNTIME_UNAVAILABLE', { cause: new Error('fake: the engine is away') })
}
