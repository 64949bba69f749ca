import type { Test } from 'tap'
import { type Delivery, type DeliveryDaemon, openDelivery, until } from '../support/delivery.ts'
import { Killed, type Life } from '../support/mortality.ts'

export const HOST = 'web.shop.localhost'

/** Something that a daemon does, in the middle of which it may die. */
export interface Scenario<State> {
  /** Brings the world to where it begins; nobody dies here. */
  prepare(world: Delivery, daemon: DeliveryDaemon): Promise<State>
  /** Asks for it. */
  act(world: Delivery, daemon: DeliveryDaemon, state: State): Promise<unknown>
  /** Whether the world is as it should be in the end. */
  isSettled(world: Delivery, daemon: DeliveryDaemon, state: State): boolean
  /** What else must hold then. */
  check(t: Test, world: Delivery, daemon: DeliveryDaemon, state: State): void
}

export interface Death {
  /** Where each daemon dies, in the order in which they are booted; the one after the last lives on. */
  arms: ((life: Life, world: Delivery) => void)[]
  /** The whole machine goes down with it, and all containers with the machine. */
  takesMachine?: boolean
}

/** Each has a world of its own, and mostly waits for it. */
export const DEATHS_AT_ONCE = 3

/** Rules that hold at every instant; what breaks one is written down. */
function watchRules(world: Delivery): string[] {
  const broken: string[] = []
  const { publish } = world.ingress
  world.ingress.publish = async (routes) => {
    const known = JSON.stringify(world.ingress.tables.at(-1) ?? [])
    for (const { id, address } of routes.flatMap(({ upstreams }) => upstreams)) {
      const container = world.controls.container(id)
      const isThere = container?.phase === 'running' && container.address === address
      if (!isThere && known !== JSON.stringify(routes))
        broken.push(`${id} gets requests at ${address} and is ${container?.phase} at ${container?.address}`)
    }
    return publish(routes)
  }
  world.controls.before('stopContainer', (name) => {
    const isRouted = world.ingress.upstreamsOf(HOST)?.includes(String(name)) === true
    if (isRouted && world.controls.container(String(name))?.phase === 'running')
      broken.push(`${String(name)} is stopped while it gets requests`)
  })
  return broken
}

/**
 * Lets daemons die where they are told to, boots the next one each time, and waits until the world is as it should be. Answers how many
 * instants the first one lived through from the beginning of the act on.
 */
export async function crash<State>(
  t: Test,
  scenario: Scenario<State>,
  death: Death = { arms: [] },
): Promise<number> {
  const world = await openDelivery(t, { speed: 40 })
  let daemon = await world.start()
  const state = await scenario.prepare(world, daemon)
  const broken = watchRules(world)
  const { life } = daemon
  const before = life.instants.length
  let isAsked = false
  const [arm, ...others] = death.arms
  arm?.(life, world)
  scenario
    .act(world, daemon, state)
    .catch((error: unknown) => {
      if (!(error instanceof Killed)) world.errors.push(error)
    })
    .finally(() => {
      isAsked = true
    })
  const isDone = (): boolean => isAsked && scenario.isSettled(world, daemon, state)
  await until('the first daemon is dead or done', () => daemon.life.isDead || isDone())
  const lived = life.instants.length - before
  while (daemon.life.isDead) {
    isAsked = true
    if (death.takesMachine)
      for (const each of world.fakeEngine.containers.values()) world.fakeEngine.exit(each, 143)
    const place = JSON.stringify(daemon.life.instants.at(-1))
    daemon = world.boot()
    others.shift()?.(daemon.life, world)
    daemon.start().catch((error: unknown) => {
      if (!(error instanceof Killed)) world.errors.push(error)
    })
    await until(
      `the world is as it should be after a death at ${place}`,
      () => daemon.life.isDead || isDone(),
      30_000,
    )
  }
  scenario.check(t, world, daemon, state)
  t.same(broken, [], 'no rule was broken')
  t.same(world.errors, [], 'nobody met an error that they did not expect')
  return lived
}

/** Dies at the n-th instant from now. */
export function dieAfter(nth: number, tell: (where: string) => void = () => {}): (life: Life) => void {
  return (life) => {
    const first = life.instants.length
    life.dieWhen((instant, index) => {
      if (index !== first + nth) return false
      tell(`${instant.when} ${instant.effect}`)
      return true
    })
  }
}

/**
 * Dies at each instant of a scenario in turn, or at one in `every` of a long one; each time the daemon that follows may die too, at the
 * instants of `again`. `first`: only at so many instants from the beginning, where the rest is another scenario's.
 */
export async function sweep<State>(
  t: Test,
  scenario: Scenario<State>,
  options: { again?: number[]; every?: number; first?: number; takesMachine?: boolean } = {},
): Promise<void> {
  let instants = 0
  await t.test('nobody dies', async (t) => {
    instants = await crash(t, scenario)
    t.ok(instants > 0, `${instants} instants`)
  })
  const { again = [], every = 1, first: most = instants, ...rest } = options
  t.jobs = DEATHS_AT_ONCE
  const deaths: Promise<unknown>[] = []
  for (let nth = 0; nth < Math.min(instants, most); nth += every) {
    const death = t.test(`death at instant ${nth}`, { buffered: true }, async (t) => {
      let where = ''
      const first = dieAfter(nth, (there) => (where = there))
      await crash(t, scenario, { arms: [first, ...again.map((each) => dieAfter(each))], ...rest })
      t.comment(where)
    })
    deaths.push(death)
  }
  await Promise.all(deaths)
}
