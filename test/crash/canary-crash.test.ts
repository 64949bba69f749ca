import { test } from 'tap'
import { containerName } from '../../src/modules/replicas/container-spec.ts'
import {
  addService,
  type DeliveryDaemon,
  OPERATOR,
  over,
  release,
  type Delivery,
} from '../support/delivery.ts'
import { HOST, type Scenario, sweep } from './crash-run.ts'

interface State {
  service: string
  live: string
  canary: string | undefined
}

const names = (id: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => containerName(id, index))

const askCanary = async (world: Delivery, daemon: DeliveryDaemon, service_id: string): Promise<string> => {
  const source = { type: 'upload', upload_id: world.upload() } as const
  const request = { service_id, source, canary_percent: 50 }
  return (await daemon.deployments.createDeployment(OPERATOR, request)).id
}

/** What happens to a service of two replicas, with a canary or still without. `runs` are the containers that there are in the end. */
function happening(
  kind: 'begun' | 'promoted' | 'ended',
  runs: (daemon: DeliveryDaemon, state: State) => string[],
): Scenario<State> {
  return {
    prepare: async (world, daemon) => {
      const service = await addService(world, daemon, 'web', { replicas: 2 })
      const live = await release(world, daemon, service)
      if (kind === 'begun') return { service, live, canary: undefined }
      const canary = await askCanary(world, daemon, service)
      await over(daemon, canary)
      return { service, live, canary }
    },
    act: (world, daemon, { service }) => {
      if (kind === 'begun') return askCanary(world, daemon, service)
      if (kind === 'promoted') return daemon.deployments.promoteCanary(OPERATOR, service)
      return daemon.deployments.abortCanary(OPERATOR, service)
    },
    isSettled: (world, daemon, state) => {
      const expected = runs(daemon, state).toSorted().join()
      return (
        daemon.stores.deployments.listOpen().length === 0 &&
        world.containers().join() === expected &&
        daemon.stores.replicas
          .listAll()
          .map((row) => row.container_name)
          .join() === expected &&
        world.ingress.upstreamsOf(HOST)?.toSorted().join() === expected
      )
    },
    check: (t, world, { stores }, { service, live }) => {
      t.ok(stores.replicas.listAll().every(({ status }) => status === 'Healthy'))
      const upstreams = world.ingress.historyOf(HOST).filter((each) => each !== undefined)
      t.ok(
        upstreams.slice(1).every((each) => each.length > 0),
        'there was always a replica',
      )
      const { canary_deployment_id, live_deployment_id } = stores.services.find(service) ?? {}
      const healthy = stores.deployments
        .listByService(service, null, 10)
        .filter(({ status }) => status === 'Healthy')
      t.same(
        new Set(healthy.map(({ id }) => id)),
        new Set([canary_deployment_id, live_deployment_id].filter((id) => id !== null)),
        'nothing else counts as healthy',
      )
      if (kind !== 'promoted') t.equal(live_deployment_id, live)
    },
  }
}

/** When it died before the row was written, whoever asked was never answered. */
const begun = happening('begun', ({ stores }, { service, live }) => {
  const canary = stores.services.find(service)?.canary_deployment_id ?? null
  const wasAsked = stores.deployments.listByService(service, null, 1)[0]?.id !== live
  if (wasAsked !== (canary !== null)) return ['not there yet']
  return [...names(live, 2), ...(canary === null ? [] : names(canary, 1))]
})
const promoted = happening('promoted', ({ stores }, { service, live, canary = '' }) => {
  const now = stores.services.find(service)
  if (now?.live_deployment_id === live) return [...names(live, 2), ...names(canary, 1)]
  return names(now?.live_deployment_id ?? '', 2)
})
const ended = happening('ended', ({ stores }, { service, live, canary = '' }) => {
  const isThere = stores.services.find(service)?.canary_deployment_id === canary
  return [...names(live, 2), ...(isThere ? names(canary, 1) : [])]
})

for (const [title, scenario, every] of [
  ['begun', begun, 3],
  ['promoted', promoted, 4],
  ['ended', ended, 1],
] as const)
  test(`all is as it should be wherever the daemon dies when a canary is ${title}`, (t) =>
    sweep(t, scenario, { every }))
