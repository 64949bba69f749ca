import type { Runtime } from '../../src/runtime/runtime.ts'
import type { Database } from '../../src/store/database.ts'
import type { System } from '../../src/lib/system.ts'

export type When = 'before' | 'after'

/** One instant at which a daemon can die: right before or right after something that the world would notice. */
export interface Instant {
  effect: string
  when: When
}

/** What is thrown where a dead daemon would go on synchronously. Nobody handles it: whatever does is as dead as the rest. */
export class Killed extends Error {
  constructor() {
    super('the daemon is dead')
    this.name = 'Killed'
  }
}

const NEVER = new Promise<never>(() => {})

/**
 * The life of one daemon in a test. What goes through it can be cut off at any instant, as by kill -9: promises never settle any more,
 * synchronous calls throw, timers do not fire, and nothing of this daemon changes the world again.
 */
export class Life {
  /** All instants so far. */
  readonly instants: Instant[] = []
  readonly died: Promise<void>
  #isDead = false
  #isDue: (instant: Instant, nth: number) => boolean = () => false
  #tellDeath: () => void = () => {}

  constructor() {
    this.died = new Promise((resolve) => {
      this.#tellDeath = resolve
    })
  }

  get isDead(): boolean {
    return this.#isDead
  }

  kill(): void {
    this.#isDead = true
    this.#tellDeath()
  }

  /** Dies at the first instant for which this is true; `nth` counts all instants from 0. */
  dieWhen(isDue: (instant: Instant, nth: number) => boolean): void {
    this.#isDue = isDue
  }

  /** Dies at the n-th time, from now, of this instant. */
  dieAt(effect: string, when: When, nth = 1): void {
    let left = nth
    this.dieWhen((instant) => {
      if (instant.effect === effect && instant.when === when) left -= 1
      return left === 0
    })
  }

  /** Runs what changes the world. */
  async act<T>(effect: string, run: () => Promise<T>): Promise<T> {
    if (this.#passes(effect, 'before')) return NEVER
    try {
      const result = await run()
      if (this.#isDead || this.#passes(effect, 'after')) return await NEVER
      return result
    } catch (error) {
      if (this.#isDead) return await NEVER
      throw error
    }
  }

  /** Runs what only looks at it. */
  async look<T>(run: () => Promise<T>): Promise<T> {
    if (this.#isDead) return NEVER
    try {
      const result = await run()
      return this.#isDead ? await NEVER : result
    } catch (error) {
      if (this.#isDead) return await NEVER
      throw error
    }
  }

  /** Throws when it is or becomes dead here. */
  requireAlive(effect?: string, when: When = 'before'): void {
    if (effect === undefined ? this.#isDead : this.#passes(effect, when)) throw new Killed()
  }

  #passes(effect: string, when: When): boolean {
    if (this.#isDead) return true
    const instant = { effect, when }
    this.instants.push(instant)
    if (this.#isDue(instant, this.instants.length - 1)) this.kill()
    return this.#isDead
  }
}

/** A database whose commits are instants. */
export function mortalDatabase(database: Database, life: Life): Database {
  let depth = 0
  const commit = <T>(work: () => T): T => {
    if (depth > 0) return work()
    life.requireAlive('commit')
    depth += 1
    try {
      return database.transact(() => {
        // First of all that follows the commit.
        database.afterCommit(() => life.requireAlive('commit', 'after'))
        return work()
      })
    } finally {
      depth -= 1
    }
  }
  return {
    all: (sql, parameters) => {
      life.requireAlive()
      return database.all(sql, parameters)
    },
    get: (sql, parameters) => {
      life.requireAlive()
      return database.get(sql, parameters)
    },
    lookUp: (sql, parameters) => {
      life.requireAlive()
      return database.lookUp(sql, parameters)
    },
    run: (sql, parameters) => {
      life.requireAlive()
      return commit(() => database.run(sql, parameters))
    },
    exec: (sql) => database.exec(sql),
    transact: commit,
    transactUnsettled: commit,
    settle: () => database.settle(),
    afterCommit: (effect) => database.afterCommit(() => (life.isDead ? undefined : effect())),
    close: () => {},
  }
}

const LOOKS = [
  'inspectEngine',
  'findImage',
  'listImages',
  'listTags',
  'inspectContainer',
  'readUsage',
  'listContainers',
  'listContainers',
  'listVolumes',
] as const
const ACTS = [
  'ensureNetwork',
  'removeNetwork',
  'importImage',
  'buildImage',
  'pushImage',
  'pullImage',
  'removeImage',
  'ensureContainer',
  'startContainer',
  'stopContainer',
  'removeContainer',
  'ensureVolume',
  'removeVolume',
  'writeVolume',
  'setVolumeRoot',
] as const

/** A runtime whose changes are instants. */
export function mortalRuntime(runtime: Runtime, life: Life): Runtime {
  type Verb = (...args: unknown[]) => Promise<unknown>
  const wrap = (
    names: readonly (keyof Runtime)[],
    around: (name: string, run: () => Promise<unknown>) => unknown,
  ) =>
    names.map((name) => [
      name,
      (...args: unknown[]) => around(name, () => (runtime[name] as unknown as Verb)(...args)),
    ])
  return {
    ...runtime,
    ...(Object.fromEntries([
      ...wrap(LOOKS, (_, run) => life.look(run)),
      ...wrap(ACTS, (name, run) => life.act(name, run)),
    ]) as Runtime),
    followLogs: (...args) => untilDeath(life, runtime.followLogs(...args)),
    watchEvents: (...args) => untilDeath(life, runtime.watchEvents(...args)),
  }
}

async function* untilDeath<T>(life: Life, source: AsyncIterable<T>): AsyncGenerator<T> {
  for await (const each of source) {
    if (life.isDead) await NEVER
    yield each
  }
  if (life.isDead) await NEVER
}

/** A clock that ends with the daemon. */
export function mortalSystem(system: System, life: Life): System {
  return {
    ...system,
    sleep: (ms, signal) => life.look(() => system.sleep(ms, signal)),
    later: (ms, run) => system.later(ms, () => (life.isDead ? undefined : run())),
  }
}
