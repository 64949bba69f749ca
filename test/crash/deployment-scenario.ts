import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { containerName } from '../../src/modules/replicas/container-spec.ts'
import { addService, ask, type Delivery, deploy, release } from '../support/delivery.ts'
import type { Source } from '../support/delivery-world.ts'
import type { ServiceSource } from '../../src/modules/services/service-schema.ts'
import { LABELS } from '../../src/runtime/labels.ts'
import { HOST, type Scenario } from './crash-run.ts'

export interface DeploymentState {
  service: string
  /** The release that is replaced; undefined for the first deployment. */
  old: string | undefined
}

type Kind =
  | 'first'
  | 'git'
  | 'external_image'
  | 'replacing'
  | 'rollback'
  | 'superseding'
  | 'with release command'

/** An application whose release command takes its time, and tells when it has ended. */
const migrating: Source = {
  program: ({ labels }) =>
    labels[LABELS.kind] === 'release_command'
      ? { lines: [{ stream: 'stdout', line: 'migrated' }], exit: { code: 0, after_ms: 200 } }
      : {},
}

const REPLICAS = [0, 1]
const namesOf = (id: string): string[] => REPLICAS.map((index) => containerName(id, index))

/** The releases that a host name led to, one after the other; empty where it led to none. */
export function ownersOf(world: Delivery): string[] {
  const owners = world.ingress
    .historyOf(HOST)
    .map((names) =>
      [...new Set(names?.map((name) => name.slice('berth-'.length, -'-0'.length)))].join(' and '),
    )
  return withoutRepeats(owners)
}

function withoutRepeats(values: readonly string[]): string[] {
  return values.filter((each, index) => each !== values[index - 1])
}

/** The release commands that the engine was asked to start. */
const begun = new WeakMap<object, string[]>()

function countReleaseCommands(world: Delivery): void {
  const names: string[] = []
  begun.set(world, names)
  world.controls.before('startContainer', (name) => {
    if (String(name).endsWith('-release') && world.controls.container(String(name))?.phase === 'created')
      names.push(String(name))
  })
}

const IMAGE = 'registry.example.com/shop/web:1'
const SOURCES: { [kind in Kind]?: ServiceSource } = {
  git: { type: 'git', repo_url: 'https://host/shop.git', git_ref: null, submodules: false },
  external_image: { type: 'external_image', image: IMAGE, auto_deploy: false },
}

/** A tag that leads elsewhere as soon as its digest is known: whoever goes on must not follow it. */
function moveOnce(world: Delivery): void {
  world.moveTag(IMAGE)
  const { obtain } = world.imageSource
  let isMoved = false
  world.imageSource.obtain = (...args) => {
    if (!isMoved) world.moveTag(IMAGE)
    isMoved = true
    return obtain(...args)
  }
}

/** A deployment of a service with two replicas that a request asked for, and perhaps died over. In the end it is live. */
export function deployment(kind: Kind, options: { machineDies?: boolean } = {}): Scenario<DeploymentState> {
  return {
    prepare: async (world, daemon) => {
      const release_command = kind === 'with release command' ? ['migrate'] : null
      const source = SOURCES[kind] ? { source: SOURCES[kind] } : {}
      const service = await addService(world, daemon, 'web', { replicas: 2, release_command, ...source })
      if (kind === 'with release command') countReleaseCommands(world)
      if (kind === 'git') world.push()
      if (kind === 'external_image') moveOnce(world)
      if (['first', 'git', 'external_image', 'with release command'].includes(kind))
        return { service, old: undefined }
      const first = await release(world, daemon, service)
      return { service, old: kind === 'rollback' ? await release(world, daemon, service) : first }
    },
    act: async (world, daemon, { service }) => {
      if (kind === 'rollback' || kind === 'git' || kind === 'external_image')
        return ask(daemon, service, { type: kind })
      const asked = [deploy(world, daemon, service, kind === 'with release command' ? migrating : {})]
      if (kind === 'superseding') asked.push(deploy(world, daemon, service), deploy(world, daemon, service))
      return Promise.all(asked)
    },
    isSettled: (world, { stores }, { service }) => {
      const [newest] = stores.deployments.listByService(service, null, 1)
      const live = stores.services.find(service)?.live_deployment_id ?? undefined
      const names = live === undefined ? [] : namesOf(live)
      const rows = stores.replicas.listAll()
      return (
        stores.deployments.listOpen().length === 0 &&
        // When it died before the row was written, whoever asked was never answered.
        live === newest?.id &&
        world.running().join() === names.join() &&
        world.containers().join() === names.join() &&
        rows.map(({ container_name }) => container_name).join() === names.join() &&
        (world.ingress.upstreamsOf(HOST) ?? []).join() === names.join()
      )
    },
    check: (t, world, { stores }, { service, old }) => {
      const rows = stores.deployments.listByService(service, null, 10)
      const live = stores.services.find(service)?.live_deployment_id
      t.same(
        rows.filter(({ status }) => status === 'Healthy').map(({ id }) => id),
        live === null ? [] : [live],
        'exactly one is live',
      )
      t.same(world.containers(), world.running(), 'nothing is left')
      t.ok(stores.replicas.listAll().every(({ status }) => status === 'Healthy'))
      const owners = ownersOf(world)
      const releases = rows.filter(({ status }) => ['Healthy', 'Inactive'].includes(status)).toReversed()
      const expected = releases.slice(releases.findIndex(({ id }) => id === (old ?? id))).map(({ id }) => id)
      t.same(
        withoutRepeats(owners.filter((each) => each !== '')).slice(-expected.length),
        expected,
        'one release after the other',
      )
      if (old !== undefined && options.machineDies !== true)
        t.notOk(owners.includes(''), 'there was always one')
      t.same(
        [...world.fakeEngine.images.values()].flatMap(({ tags }) => tags).toSorted(),
        [...new Set(rows.flatMap(({ image }) => image ?? []))].toSorted(),
      )
      const work = join(world.dataDir, 'work')
      t.same(existsSync(work) ? readdirSync(work) : [], [])
      for (const { id } of releases) {
        t.match(world.logText(id), /It is live/)
        if (kind === 'external_image')
          t.ok((world.logText(id).match(/ is sha256:/g) ?? []).length < 2, 'its digest was found out once')
        if (kind !== 'with release command') continue
        t.match(world.logText(id), /migrated/)
        t.equal(begun.get(world)?.length, 1, 'the release command ran once')
      }
    },
  }
}
