import { test } from 'tap'
import { containerName } from '../../src/modules/replicas/container-spec.ts'
import {
  addService,
  type Delivery,
  type DeliveryDaemon,
  deploy,
  OPERATOR,
  release,
  until,
} from '../support/delivery.ts'
import { HOST, type Scenario, sweep } from './crash-run.ts'

interface State {
  service: string
  id: string
}

const names = (id: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => containerName(id, index))

/** Whether just these replicas run, are known to be well, and get the requests. */
function runs(world: Delivery, { stores }: DeliveryDaemon, wanted: string[]): boolean {
  const rows = stores.replicas.listAll()
  return (
    world.running().join() === wanted.join() &&
    world.containers().join() === wanted.join() &&
    rows.map(({ container_name }) => container_name).join() === wanted.join() &&
    rows.every(({ status }) => status === 'Healthy') &&
    (world.ingress.upstreamsOf(HOST) ?? []).join() === wanted.join()
  )
}

/** Something that happens to a service with two replicas, and how many of them there are in the end. */
function happening(
  act: (world: Delivery, daemon: DeliveryDaemon, state: State) => Promise<unknown>,
  count: number | ((daemon: DeliveryDaemon, state: State) => number),
): Scenario<State> {
  const countOf = typeof count === 'number' ? () => count : count
  return {
    prepare: async (world, daemon) => {
      const service = await addService(world, daemon, 'web', { replicas: 2 })
      const id = await release(world, daemon, service)
      return { service, id }
    },
    act,
    isSettled: (world, daemon, state) => runs(world, daemon, names(state.id, countOf(daemon, state))),
    check: (t, _, { stores }, { service, id }) => {
      t.match(stores.services.find(service), { live_deployment_id: id })
      t.match(stores.deployments.find(id), { status: 'Healthy' })
    },
  }
}

/** What was asked for, if the request got that far. */
const wanted = ({ stores }: DeliveryDaemon, { service }: State): number => {
  const row = stores.services.find(service)
  return row?.desired_state === 'running' ? row.replicas : 0
}

const HAPPENINGS: [title: string, scenario: Scenario<State>][] = [
  [
    'a replica exits',
    happening(async (world, _, { id }) => {
      world.controls.exit(containerName(id, 1), 1)
      await until('it is noticed', () => world.controls.container(containerName(id, 1))?.phase === 'exited')
    }, 2),
  ],
  [
    'someone removes a container',
    happening(async (world, _, { id }) => world.controls.removeByHand(containerName(id, 0)), 2),
  ],
  [
    'a service is scaled up',
    happening((_, daemon, { service }) => daemon.services.scaleService(OPERATOR, service, 4), wanted),
  ],
  [
    'a service is scaled down',
    happening((_, daemon, { service }) => daemon.services.scaleService(OPERATOR, service, 1), wanted),
  ],
  [
    'a service is stopped',
    happening((_, daemon, { service }) => daemon.services.stopService(OPERATOR, service), wanted),
  ],
  [
    'a service is stopped and started again',
    happening(async (_, daemon, { service }) => {
      await daemon.services.stopService(OPERATOR, service)
      await daemon.services.startService(OPERATOR, service)
    }, wanted),
  ],
]

for (const [title, scenario] of HAPPENINGS) {
  test(`replicas are as they should be wherever the daemon dies when ${title}`, (t) => sweep(t, scenario))
}

/** A service with requests in its replica is scaled to nothing; the requests end once it is seen to drain. */
const draining: Scenario<State> = {
  ...happening(async () => {}, 0),
  prepare: async (world, daemon) => {
    const service = await addService(world, daemon)
    const id = await release(world, daemon, service)
    world.ingress.inFlight.set(containerName(id, 0), { requests: 1, upgraded: 0 })
    world.controls.before('stopContainer', (name) => {
      if (world.ingress.inFlight.has(String(name)))
        world.errors.push(new Error('stopped with a request in it'))
    })
    return { service, id }
  },
  act: async (_, daemon, { service, id }) => {
    await daemon.services.scaleService(OPERATOR, service, 0)
    await until(
      'it drains',
      () => daemon.life.isDead || daemon.stores.replicas.find(containerName(id, 0))?.status === 'Draining',
    )
  },
  isSettled: (world, daemon, state) => {
    const name = containerName(state.id, 0)
    if (wanted(daemon, state) === 1) return runs(world, daemon, [name])
    const seen = world.database.get<{ status: string }>(
      'SELECT status FROM replicas WHERE container_name = $name',
      { name },
    )
    // Not before the daemon of this moment has had a look at it.
    if (seen?.status === 'Draining' && (daemon.reconciler.worker.status().runs ?? 0) > 2)
      world.ingress.inFlight.clear()
    return runs(world, daemon, [])
  },
}

test('requests end before their replica does, wherever the daemon dies while it drains', (t) =>
  sweep(t, draining))

/** A service with a release and a deployment under way is deleted. */
const removal: Scenario<State> = {
  prepare: async (world, daemon) => {
    const service = await addService(world, daemon, 'web', { replicas: 2 })
    const id = await release(world, daemon, service)
    const next = await deploy(world, daemon, service, {
      answer: (_, response) => void response.writeHead(503).end(),
    })
    await until('it is checked', () => world.logText(next).includes('(waiting)'))
    return { service, id }
  },
  act: (_, daemon, { service }) => daemon.services.deleteService(OPERATOR, service, { keepImages: false }),
  isSettled: (_, daemon, { service }) => {
    // Whoever asked and was not answered asks again.
    if (daemon.stores.services.find(service)?.desired_state === 'running') {
      daemon.services.deleteService(OPERATOR, service, { keepImages: false }).catch(() => {})
    }
    return daemon.stores.services.findAny(service) === undefined
  },
  check: (t, world, { stores }, { id }) => {
    t.same(world.containers(), [])
    t.same([...world.fakeEngine.images.keys()], [])
    t.same([...world.fakeEngine.networks.keys()], [])
    t.same(world.ingress.tables.at(-1), [])
    t.same(stores.replicas.listAll(), [])
    t.equal(stores.deployments.find(id), undefined)
  },
}

test('a deleted service leaves nothing wherever the daemon dies', (t) => sweep(t, removal))
test('a deleted service leaves nothing when the next daemons die, too', (t) =>
  sweep(t, removal, { again: [2, 4] }))
