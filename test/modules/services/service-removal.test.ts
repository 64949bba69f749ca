import { test } from 'tap'
import {
  createServiceRemoval,
  type ServiceRemovalDeps,
} from '../../../src/modules/services/service-removal.ts'
import type { ServiceSummary } from '../../../src/modules/services/service-schema.ts'
import { createSystem } from '../../../src/lib/system.ts'
import { createFakeRuntime } from '../../../src/runtime/fake-runtime.ts'
import type { ContainerSpec } from '../../../src/runtime/runtime.ts'
import { LABELS } from '../../../src/runtime/labels.ts'

const never = new AbortController().signal

/** Services that are being deleted, over an engine in memory. */
function openRemoval(names: string[], deps: Partial<ServiceRemovalDeps> = {}) {
  const removed: string[] = []
  const told: unknown[] = []
  let ahead = 0
  const fake = createFakeRuntime({ system: createSystem() })
  const services = names.map((id) => ({ id, name: `~${id}`, project_id: 'p' }) as ServiceSummary)
  const run = createServiceRemoval({
    runtime: fake.runtime,
    system: { monotonic: () => ahead },
    log: { warn: (...args: unknown[]) => void told.push(args[0]) },
    listDeleting: () => services.filter(({ id }) => !removed.includes(id)),
    countByProject: () => 2,
    endDeployments: async () => {},
    listImages: async () => [],
    removeLogs: async () => {},
    removeVolumes: async () => undefined,
    networkOf: (id) => id,
    removeRow: ({ id }) => void removed.push(id),
    removed: () => {},
    ...deps,
  })
  return { ...fake, removed, told, run: () => run(never), advance: (ms: number) => (ahead += ms) }
}

test('a service that cannot be removed yet does not keep the others', async (t) => {
  const { run, removed } = openRemoval(['stuck', 'other'], {
    removeLogs: async (id) => {
      if (id === 'stuck') throw new Error('the disk refuses')
    },
  })
  await t.rejects(run(), /the disk refuses/, 'it is told')
  t.same(removed, ['other'])
})

const spec = (name: string, image: string): ContainerSpec => ({
  name,
  image,
  labels: {},
  env: {},
  network: 'n',
  aliases: [],
  cpu_millis: 1,
  memory_bytes: 1,
  pids: 1,
  read_only: false,
  stop_grace_seconds: 1,
})

test("someone's own container of its image keeps the image only; the log says so, once", async (t) => {
  const image = 'berth/shop/web:d1'
  const labels = { [LABELS.kind]: 'image', [LABELS.service]: 'web', [LABELS.node]: 'node' }
  let volumes = 1
  const { engine, controls, runtime, removed, told, run, advance } = openRemoval(['web'], {
    listImages: async () => [image],
    removeVolumes: async () => void (volumes = 0),
  })
  controls.addImage(image, { labels })
  // What the engine makes of `docker run`: a container with the labels of the image.
  await runtime.ensureContainer(spec('debugging', image))
  const container = controls.container('debugging')
  if (!container) throw new Error('there is no container')
  container.labels = labels
  await run()
  t.equal(volumes, 0, 'volumes do not wait for it')
  t.same([removed, told], [[], []], 'it may be leaving')
  advance(60_000)
  await run()
  await run()
  t.match(told, [{ service_id: 'web', held_by: /berth\/shop\/web:d1/ }])
  t.equal(told.length, 1)
  t.equal(engine.containers.has('debugging'), true, 'it is left alone')
  engine.remove(container)
  await run()
  t.same(removed, ['web'])
  t.same([...engine.images], [])
})

test('names that others gave to its images stay, and so do the images', async (t) => {
  const image = 'berth/shop/web:d1'
  const { controls, runtime, removed, run } = openRemoval(['web'], { listImages: async () => [image] })
  const labels = { [LABELS.kind]: 'image', [LABELS.service]: 'web', [LABELS.node]: 'node' }
  controls.addImage(image, { id: 'sha256:1', labels })
  controls.addImage('backup/web:keep', { id: 'sha256:1' })
  controls.addImage('tool/mine:1', { id: 'sha256:2', labels })
  await run()
  t.same(removed, ['web'])
  t.same((await runtime.findImage('sha256:1'))?.tags, ['backup/web:keep'])
  t.same((await runtime.findImage('sha256:2'))?.tags, ['tool/mine:1'])
})

test("someone's container in the network of a project keeps it, until the project has a service again", async (t) => {
  let services = 1
  const { runtime, controls, engine, removed, told, run, advance } = openRemoval(['web'], {
    countByProject: () => services,
  })
  await runtime.ensureNetwork({ name: 'p', labels: {} })
  controls.addImage('psql:1')
  await runtime.ensureContainer({ ...spec('psql', 'psql:1'), network: 'p' })
  await runtime.startContainer('psql')
  await run()
  advance(60_000)
  await run()
  t.match(told, [{ held_by: /^network p: / }])
  t.same([removed, engine.networks.size], [[], 1])
  services = 2
  await run()
  t.same([removed, engine.networks.size], [['web'], 1])
})
