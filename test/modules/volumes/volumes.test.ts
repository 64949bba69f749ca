import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { test } from 'tap'
import { type PackedEntry, packArchive } from '../../../src/lib/archive-pack.ts'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import {
  addService,
  ask,
  deploy,
  type Delivery,
  type DeliveryDaemon,
  openDelivery,
  OPERATOR,
  over,
  release,
  until,
} from '../../support/delivery.ts'

const never = new AbortController().signal
const VOLUMES = [{ name: 'data', mount_path: '/data' }]
const HOST = 'web.shop.localhost'

const archive = (text: string, root: PackedEntry[] = []): Promise<Buffer> =>
  buffer(packArchive([...root, { kind: 'file', name: 'file', mode: 0o644, content: Buffer.from(text) }]))

function writers(world: Delivery): string[] {
  return [...world.fakeEngine.containers.values()]
    .filter(({ phase, spec }) => phase === 'running' && spec.mounts?.some((mount) => !mount.read_only))
    .map(({ spec }) => spec.name)
}

/** Writes down whenever two containers could write into one volume. */
function watchWriters(world: Delivery): string[] {
  const broken: string[] = []
  world.controls.before('startContainer', (name) => {
    const others = writers(world).filter((other) => other !== name)
    if (others.length > 0) broken.push(`${String(name)} starts while ${others.join()} runs`)
  })
  return broken
}

/** Why the first replica of a service is not well. */
const reasonOf = (daemon: DeliveryDaemon, service: string): string =>
  daemon.stores.replicas.listByService(service)[0]?.reason ?? ''
const engineVolumes = (world: Delivery): string[] => [...world.fakeEngine.volumes.keys()]
const serves = (world: Delivery, id: string) =>
  until(`${id} serves`, () => world.ingress.upstreamsOf(HOST)?.join() === containerName(id, 0))

test('a volume is made with the first deployment and kept over the next, which stops the old release first', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  t.match(await daemon.volumes.listVolumes(OPERATOR, service, { limit: 10 }), {
    items: [{ name: 'data', mount_path: '/data', read_only: false, in_use: true, created_at: null }],
  })
  const first = await release(world, daemon, service)
  const [volume] = engineVolumes(world)
  t.match(world.controls.container(containerName(first, 0))?.spec.mounts, [
    { volume, path: '/data', read_only: false },
  ])
  const broken = watchWriters(world)
  const second = await release(world, daemon, service)
  t.same(engineVolumes(world), [volume])
  t.same(writers(world), [containerName(second, 0)])
  t.same(broken, [])
  t.match(world.logText(second), /Stopping the release before it first/)
  const stopping = world.ingress.tables.findIndex(
    (routes) => routes[0]?.upstreams.length === 0 && routes[0].hold_ms === 120_000,
  )
  t.ok(stopping > 0, 'the ingress was told to let requests wait')
})

test('a deployment that fails lets the old release start again', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  const first = await release(world, daemon, service)
  const broken = watchWriters(world)
  const bad = await deploy(world, daemon, service, { program: { exit: { code: 3 } } })
  t.match(await over(daemon, bad), { status: 'Failed' })
  t.match(world.logText(bad), /is started again/)
  await serves(world, first)
  t.same(writers(world), [containerName(first, 0)])
  t.same(broken, [])
})

test('a release that fails its bake time leaves its volume before the one before it starts', async (t) => {
  const world = await openDelivery(t, { drainUpgradedSeconds: 86_400 })
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES, bake_seconds: 3600 })
  const first = await release(world, daemon, service)
  const broken = watchWriters(world)
  let status = 200
  const bad = await deploy(world, daemon, service, {
    answer: (_, response) => void response.writeHead(status).end(),
    program: { sigterm: 'ignore' },
  })
  await until('it is watched', () => world.logText(bad).includes('Watching it'))
  t.same(world.containers(), [containerName(bad, 0)], 'the old one does not stand by')
  // A connection that could last for ever, while all requests wait.
  world.ingress.inFlight.set(containerName(bad, 0), { requests: 0, upgraded: 1 })
  const before = world.ingress.tables.length
  status = 503
  t.match(await over(daemon, bad), { status: 'Failed', reason: /^Rolled back to deployment 1/ })
  await serves(world, first)
  t.same(world.containers(), [containerName(first, 0)])
  t.same(broken, [])
  const since = world.ingress.tables.slice(before)
  t.ok(
    since.every(([route]) => (route?.upstreams.length ?? 0) > 0 || route?.hold_ms === 120_000),
    'requests waited',
  )
})

test('a container that has ended and not yet gone keeps the release before it from its volume', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES, bake_seconds: 3600 })
  const first = await release(world, daemon, service)
  const seen: string[][] = []
  let letGo = (): void => {}
  const held = new Promise<void>((resolve) => (letGo = resolve))
  const bad = await deploy(world, daemon, service, { program: { exit: { code: 9, after_ms: 10_000 } } })
  await until('it is watched', () => world.logText(bad).includes('Watching it'))
  world.controls.before('removeContainer', (name) => (name === containerName(bad, 0) ? held : undefined))
  world.controls.before('startContainer', (name) => {
    if (name === containerName(first, 0)) seen.push(world.containers())
  })
  t.match(await over(daemon, bad), { status: 'Failed', reason: /^Rolled back to deployment 1/ })
  const { runs } = daemon.reconciler.worker.status()
  await until('it was looked at', () => daemon.reconciler.worker.status().runs > runs + 3)
  t.same(seen, [], 'it is not started')
  letGo()
  await serves(world, first)
  t.same(seen, [[containerName(first, 0)]], 'only once the other is gone')
})

test('a deployment that is cancelled while requests end leaves the old release serving', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  const first = await release(world, daemon, service)
  world.ingress.inFlight.set(containerName(first, 0), { requests: 1, upgraded: 0 })
  const next = await deploy(world, daemon, service)
  await until('it drains', () => world.logText(next).includes('requests wait meanwhile'))
  daemon.deployments.cancelDeployment(OPERATOR, next)
  t.match(await over(daemon, next), { status: 'Cancelled' })
  await serves(world, first)
  t.equal(world.controls.container(containerName(first, 0))?.starts, 1, 'it was not even restarted')
})

test('nobody starts the old release by hand or by itself while another one takes over', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  await release(world, daemon, service)
  const broken = watchWriters(world)
  const next = await deploy(world, daemon, service, {
    answer: (_, response) => void response.writeHead(503).end(),
  })
  await until('it is checked', () => world.logText(next).includes('(waiting)'))
  const { runs } = daemon.reconciler.worker.status()
  daemon.reconciler.worker.nudge()
  await until('it was looked at', () => daemon.reconciler.worker.status().runs > runs + 1)
  t.same(writers(world), [containerName(next, 0)])
  daemon.deployments.cancelDeployment(OPERATOR, next)
  await over(daemon, next)
  t.same(broken, [])
})

test('a rollback keeps the volume, and read-only volumes allow several replicas beside each other', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', {
    volumes: [{ name: 'data', mount_path: '/data', read_only: true }],
    replicas: 2,
  })
  await release(world, daemon, service)
  const second = await release(world, daemon, service)
  t.notMatch(world.logText(second), /Stopping the release before it first/)
  const back = await ask(daemon, service, { type: 'rollback' })
  t.match(await over(daemon, back), { status: 'Healthy' })
  t.equal(engineVolumes(world).length, 1)
})

test('several writers are refused wherever they could come from', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const refused = { code: 'VALIDATION_ERROR', details: [{ field: 'replicas' }] }
  await t.rejects(addService(world, daemon, 'web', { volumes: VOLUMES, replicas: 2 }), refused)
  const service = await addService(world, daemon, 'web', { replicas: 2 })
  await t.rejects(daemon.services.updateService(OPERATOR, service, { volumes: VOLUMES }), refused)
  await daemon.services.updateService(OPERATOR, service, { volumes: VOLUMES, replicas: 1 })
  await t.rejects(daemon.services.scaleService(OPERATOR, service, 2), refused)
  const id = await release(world, daemon, service)
  // The release that runs still writes.
  await daemon.services.updateService(OPERATOR, service, { volumes: [] })
  await daemon.services.scaleService(OPERATOR, service, 3)
  const { runs } = daemon.reconciler.worker.status()
  await until('it was looked at', () => daemon.reconciler.worker.status().runs > runs + 2)
  t.same(writers(world), [containerName(id, 0)])
})

const WRONG: [field: string, volume: object][] = [
  ['volumes.0.mount_path', { name: 'data', mount_path: '/' }],
  ['volumes.0.mount_path', { name: 'data', mount_path: 'data' }],
  ['volumes.0.mount_path', { name: 'data', mount_path: '/a/../b' }],
  ['volumes.0.mount_path', { name: 'data', mount_path: '/a//b' }],
  ['volumes.0.mount_path', { name: 'data', mount_path: '/proc/x' }],
  ['volumes.0.mount_path', { name: 'data', mount_path: '/dev' }],
  ['volumes.0.mount_path', { name: 'data', mount_path: '/a:rw' }],
]
for (const [field, volume] of WRONG) {
  test(`${JSON.stringify(volume)} is refused`, async (t) => {
    const world = await openDelivery(t)
    const daemon = await world.start()
    await t.rejects(addService(world, daemon, 'web', { volumes: [volume as never] }), {
      code: 'VALIDATION_ERROR',
      details: [{ field }],
    })
  })
}

test('a restore takes the place of what was there, and replicas are replaced by ones that have it', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  const id = await release(world, daemon, service)
  const [before] = engineVolumes(world)
  const broken = watchWriters(world)
  const plain = await archive('restored')
  const sent = [
    { format: 'tar', bytes: plain },
    { format: 'tar.gz', bytes: gzipSync(plain) },
    { format: 'tar.zst', bytes: zstdCompressSync(plain) },
  ] as const
  const busy = world.ingress.inFlight.set(containerName(id, 0), { requests: 1, upgraded: 0 })
  for (const { format, bytes } of sent) {
    const restored = await daemon.volumes.restoreVolume(
      OPERATOR,
      service,
      'data',
      { format, stream: Readable.from([bytes], { objectMode: false }) },
      never,
    )
    t.match(restored, { name: 'data', in_use: true, restored_at: /^2/ })
    t.same(world.ingress.upstreamsOf(HOST), [], 'who is told of it writes into the new contents')
    busy.clear()
    await serves(world, id)
  }
  await until('only the newest is left', () => engineVolumes(world).length === 1)
  t.not(engineVolumes(world)[0], before)
  await serves(world, id)
  t.equal(world.controls.container(containerName(id, 0))?.spec.mounts?.[0]?.volume, engineVolumes(world)[0])
  const { stream, file_name } = await daemon.volumes.backupVolume(OPERATOR, service, 'data', never)
  t.ok((await buffer(stream)).includes(plain))
  t.match(file_name, /^web-data-\d{4}-\d\d-\d\d\.tar$/)
  t.same(broken, [])
  t.match(world.audited, [
    { action: 'restoreVolume', details: { volume: 'data', entries: 1, bytes: 8 } },
    { action: 'restoreVolume' },
    { action: 'restoreVolume' },
    { action: 'backupVolume' },
  ])
})

test('a restore while a deployment checks its replica is what that release serves', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  await release(world, daemon, service)
  let status = 503
  const second = await deploy(world, daemon, service, {
    answer: (_, response) => void response.writeHead(status).end(),
  })
  await until('it is checked', () => world.logText(second).includes('GET /: 503'))
  const stream = Readable.from([await archive('restored')], { objectMode: false })
  await daemon.volumes.restoreVolume(OPERATOR, service, 'data', { format: 'tar', stream }, never)
  const name = containerName(second, 0)
  const busy = world.ingress.inFlight.set(name, { requests: 1, upgraded: 0 })
  status = 200
  t.match(await over(daemon, second), { status: 'Healthy' })
  t.same(world.ingress.upstreamsOf(HOST), [], 'the replica that has the old contents gets no request')
  busy.clear()
  await serves(world, second)
  await until('only the newest is left', () => engineVolumes(world).length === 1)
  t.equal(world.controls.container(name)?.spec.mounts?.[0]?.volume, engineVolumes(world)[0])
})

test('a restore of a volume that the release does not have leaves its replicas alone', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web')
  const id = await release(world, daemon, service)
  await daemon.services.updateService(OPERATOR, service, { volumes: VOLUMES })
  const before = world.ingress.tables.length
  const stream = Readable.from([await archive('restored')], { objectMode: false })
  await daemon.volumes.restoreVolume(OPERATOR, service, 'data', { format: 'tar', stream }, never)
  await daemon.routes.publish()
  t.ok(
    world.ingress
      .historyOf(HOST)
      .slice(before)
      .every((upstreams) => upstreams?.join() === containerName(id, 0)),
  )
  t.equal(world.ingress.upstreamsOf(HOST)?.join(), containerName(id, 0))
})

test('a restored folder belongs to whom the archive says, and to everyone when it says nothing', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  const restore = async (bytes: Buffer): Promise<unknown> => {
    const sent = { format: 'tar', stream: Readable.from([bytes], { objectMode: false }) } as const
    await daemon.volumes.restoreVolume(OPERATOR, service, 'data', sent, never)
    return [...world.fakeEngine.volumes.values()].at(-1)?.root
  }
  const root = {
    kind: 'directory',
    name: '.',
    mode: 0o700,
    mtime_ms: 5000,
    owner: 70,
    group: 300_000,
  } as const
  t.same(await restore(await archive('x', [root])), { uid: 70, gid: 300_000, mode: 0o700, mtime_ms: 5000 })
  t.match(await restore(await archive('x')), { uid: 0, gid: 0, mode: 0o777 })
  const pipe = await archive('x', [{ kind: 'symlink', name: 'pipe', mode: 0o644, target: '' }])
  // The type flag of a named pipe instead of a link's.
  pipe[156] = 0x36
  pipe.write((Number.parseInt(pipe.toString('latin1', 148, 154), 8) + 4).toString(8).padStart(6, '0'), 148)
  t.ok(await restore(pipe))
})

test('a restore that fails changes nothing and leaves nothing', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  await release(world, daemon, service)
  const volumes = engineVolumes(world)
  const whole = await archive('restored')
  const bad: [string, Buffer][] = [
    ['cut short', whole.subarray(0, 600)],
    ['something else', Buffer.from('not a tar at all'.repeat(100))],
    [
      'absolute',
      await buffer(packArchive([{ kind: 'file', name: '/etc/x', mode: 0o644, content: Buffer.from('x') }])),
    ],
    [
      '..',
      await buffer(
        packArchive([{ kind: 'file', name: 'a/../../x', mode: 0o644, content: Buffer.from('x') }]),
      ),
    ],
  ]
  for (const [what, bytes] of bad) {
    const stream = Readable.from([bytes], { objectMode: false })
    const restoring = daemon.volumes.restoreVolume(
      OPERATOR,
      service,
      'data',
      { format: 'tar', stream },
      never,
    )
    await t.rejects(restoring, { code: 'BAD_ARCHIVE' }, what)
  }
  await until('nothing is left', () => engineVolumes(world).length === 1)
  t.same(engineVolumes(world), volumes)
  t.same(world.audited, [])
})

test('one restore of a volume runs at a time', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  const slow = new Readable({ read: () => {} })
  const first = daemon.volumes.restoreVolume(
    OPERATOR,
    service,
    'data',
    { format: 'tar', stream: slow },
    never,
  )
  const other = { format: 'tar', stream: Readable.from([await archive('x')]) } as const
  await t.rejects(daemon.volumes.restoreVolume(OPERATOR, service, 'data', other, never), { code: 'CONFLICT' })
  slow.push(await archive('first'))
  slow.push(null)
  t.match(await first, { size_bytes: 5 })
})

test('a volume that the engine has lost is never replaced by an empty one: it is restored, or given up', async (t) => {
  const world = await openDelivery(t)
  let daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  const id = await release(world, daemon, service)
  const lose = async (): Promise<void> => {
    await daemon.services.stopService(OPERATOR, service)
    await until('nothing runs', () => world.containers().length === 0)
    world.fakeEngine.volumes.clear()
  }
  const isLost = async (): Promise<boolean | undefined> =>
    (await daemon.volumes.listVolumes(OPERATOR, service, { limit: 1 })).items[0]?.lost
  t.equal(await isLost(), false)
  await lose()
  await daemon.services.startService(OPERATOR, service)
  await until('it is told', () => /lost volume data of shop\/web/.test(reasonOf(daemon, service)))
  t.equal(await isLost(), true)
  const again = await deploy(world, daemon, service)
  t.match(await over(daemon, again), { status: 'Failed', reason: /lost volume data of shop\/web.*Restore/ })
  t.match(world.logText(again), /lost volume data of shop\/web/)
  t.same(engineVolumes(world), [], 'none is made, not even for a moment')
  const stream = Readable.from([await archive('restored')], { objectMode: false })
  await daemon.volumes.restoreVolume(OPERATOR, service, 'data', { format: 'tar', stream }, never)
  await serves(world, id)
  t.equal(await isLost(), false)

  // As on a new machine with the data directory of the old one.
  await lose()
  await daemon.stop()
  daemon = await world.start()
  await daemon.services.startService(OPERATOR, service)
  await until('it is told', () => /lost volume data/.test(reasonOf(daemon, service)))
  await daemon.volumes.deleteVolume(OPERATOR, service, 'data')
  await serves(world, id)
  t.equal(engineVolumes(world).length, 1)
  t.equal(await isLost(), false)
})

test('the release that runs is not stopped for one whose volume is lost', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  const id = await release(world, daemon, service)
  world.fakeEngine.volumes.clear()
  const next = await deploy(world, daemon, service)
  t.match(await over(daemon, next), { status: 'Failed', reason: /lost volume data of shop\/web/ })
  t.notMatch(world.logText(next), /Stopping the release before/)
  await serves(world, id)
})

test('a volume is removed only when nothing names it, and then with all that is in it', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  await release(world, daemon, service)
  const remove = () => daemon.volumes.deleteVolume(OPERATOR, service, 'data')
  await t.rejects(remove(), { code: 'IN_USE' })
  await daemon.services.updateService(OPERATOR, service, { volumes: [] })
  await t.rejects(remove(), { code: 'IN_USE' }, 'the release that runs has it')
  await release(world, daemon, service)
  t.match(await daemon.volumes.listVolumes(OPERATOR, service, { limit: 10 }), {
    items: [{ name: 'data', mount_path: null, in_use: false }],
  })
  world.fakeEngine.away = true
  await remove()
  await t.rejects(remove(), { code: 'NOT_FOUND' })
  world.fakeEngine.away = false
  await until('it is gone', () => engineVolumes(world).length === 0)
  t.same(await daemon.volumes.listVolumes(OPERATOR, service, { limit: 10 }), { items: [] })
  await t.rejects(daemon.volumes.backupVolume(OPERATOR, service, 'data', never), { code: 'NOT_FOUND' })
})

test('a volume stays while the release that names it can come back, and is what it comes back to', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  const first = await release(world, daemon, service)
  const volumes = engineVolumes(world)
  await daemon.services.updateService(OPERATOR, service, { volumes: [], bake_seconds: 3600 })
  let status = 200
  const bad = await deploy(world, daemon, service, {
    answer: (_, response) => void response.writeHead(status).end(),
  })
  await until('it is watched', () => world.logText(bad).includes('Watching it'))
  await t.rejects(daemon.volumes.deleteVolume(OPERATOR, service, 'data'), { code: 'IN_USE' })
  status = 503
  t.match(await over(daemon, bad), { status: 'Failed', reason: /^Rolled back to deployment 1/ })
  await serves(world, first)
  t.same(engineVolumes(world), volumes)
  t.match(world.controls.container(containerName(first, 0))?.spec.mounts, [{ volume: volumes[0] }])
})

test('deleting a service with volumes must be asked for, and leaves nothing then', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { volumes: VOLUMES })
  await release(world, daemon, service)
  await t.rejects(daemon.services.deleteService(OPERATOR, service, { keepImages: false }), {
    code: 'NOT_EMPTY',
    details: [{ message: 'volume data' }],
  })
  await daemon.services.deleteService(OPERATOR, service, { keepImages: false, deleteVolumes: true })
  await until('it is gone', () => daemon.stores.services.findAny(service) === undefined)
  t.same(engineVolumes(world), [])
  t.same(world.containers(), [])
  t.same(world.database.all('SELECT * FROM volumes'), [])
})
