import { setTimeout as delay } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { AppError } from '../../../src/lib/errors.ts'
import { createVolumeSizes } from '../../../src/modules/volumes/volume-size.ts'
import { createVolumeSync, syncFileSystem } from '../../../src/modules/volumes/volume-sync.ts'
import { LABELS } from '../../../src/runtime/labels.ts'
import { OPERATOR, until } from '../../support/delivery.ts'
import { createHurriedSystem } from '../../support/hurried-system.ts'
import { never, openVolumes, tarOf } from './volume-rows.ts'

type Volumes = ReturnType<typeof openVolumes>

/** Lets the next call of a verb with this first argument wait. */
function holdUp(
  { controls }: Volumes,
  verb: Parameters<Volumes['controls']['before']>[0],
  name: string,
): { reached: Promise<void>; letGo: () => void } {
  const { promise: reached, resolve: tell } = Promise.withResolvers<void>()
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
  const end = controls.before(verb, (first) => {
    if (first !== name) return undefined
    end()
    tell()
    return held
  })
  return { reached, letGo }
}

function isRestored(t: Test, world: Volumes): void {
  t.match(world.find(), { generation: 2 })
  t.ok(world.volumes.get(world.nameOf(2))?.contents.includes('restored'), 'what was restored is there')
}

test('a volume that a restore brings into use is not removed by a run that began before', async (t) => {
  const world = openVolumes(t)
  await world.start()
  world.store.addRemoval('older', '2000-01-01T00:00:00.000Z')
  // Of an attempt that did not end.
  world.store.addRemoval(world.nameOf(2), '2001-01-01T00:00:00.000Z')
  const older = holdUp(world, 'removeVolume', 'older')
  const removing = world.remove()
  await older.reached
  await world.restore('restored')
  older.letGo()
  await removing
  isRestored(t, world)
  t.same(world.store.listRemovals(), [world.nameOf(1)])
})

test('a restore waits for what removes the rest of the attempt before it', async (t) => {
  const world = openVolumes(t)
  await world.start()
  await world.runtime.ensureVolume({ name: world.nameOf(2), labels: {} })
  world.store.addRemoval(world.nameOf(2), '2001-01-01T00:00:00.000Z')
  const rest = holdUp(world, 'removeVolume', world.nameOf(2))
  const removing = world.remove()
  await rest.reached
  const restoring = world.restore('restored')
  await Promise.race([restoring, delay(20)])
  await t.rejects(world.restore('another'), { code: 'CONFLICT' })
  rest.letGo()
  await Promise.all([removing, restoring])
  isRestored(t, world)
})

test('a replica that is about to start with a volume keeps it, though a restore takes its place', async (t) => {
  const world = openVolumes(t)
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
  const { promise: reached, resolve: tell } = Promise.withResolvers<void>()
  const starting = world.start(() => (tell(), held))
  await reached
  await world.restore('restored')
  await world.remove()
  t.ok(world.volumes.has(world.nameOf(1)), 'it is kept')
  letGo()
  t.equal(await starting, true)
  await world.remove()
  t.same([...world.volumes.keys()], [world.nameOf(2)])
})

test('a backup that is about to read a volume keeps it, though a restore takes its place', async (t) => {
  const world = openVolumes(t)
  await world.start()
  await world.restore('before')
  await world.remove()
  const read = holdUp(world, 'readVolume', world.nameOf(2))
  const backingUp = world.operations.backupVolume(OPERATOR, 'web', 'data', never)
  await read.reached
  await world.restore('restored')
  await world.remove()
  read.letGo()
  const { stream } = await backingUp
  t.match(Buffer.concat(await stream.toArray()).toString(), /before/)
  await world.remove()
  t.same([...world.volumes.keys()], [world.nameOf(3)])
})

test("a deleted service's volumes wait for the start of a replica, and for who reads them", async (t) => {
  const world = openVolumes(t)
  const name = world.nameOf(1)
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
  const { promise: reached, resolve: tell } = Promise.withResolvers<void>()
  const starting = world.start(() => (tell(), held))
  await reached
  const removing = world.removeOfService()
  await Promise.race([removing, delay(20)])
  t.ok(world.volumes.has(name), 'a start that was let in before has its volume')
  const read = holdUp(world, 'readVolume', name)
  const backingUp = world.operations.backupVolume(OPERATOR, 'web', 'data', never)
  await read.reached
  letGo()
  t.equal(await starting, true)
  t.match(await removing, name, 'a backup is about to read it')
  t.ok(world.volumes.has(name))
  read.letGo()
  const { stream } = await backingUp
  await stream.toArray()
  t.equal(await world.removeOfService(), undefined)
  t.same([...world.volumes.keys()], [])
})

test('a backup that cannot be audited hands out nothing', async (t) => {
  const world = openVolumes(t)
  await world.start()
  const { readVolume } = world.runtime
  const streams: { destroyed: boolean }[] = []
  world.runtime.readVolume = async (...args) => {
    const stream = await readVolume(...args)
    streams.push(stream)
    return stream
  }
  world.audit.record = () => {
    throw new Error('the disk is full')
  }
  await t.rejects(world.operations.backupVolume(OPERATOR, 'web', 'data', never), /full/)
  t.match(streams, [{ destroyed: true }])
})

test('a volume that cannot be removed keeps no other from it', async (t) => {
  const world = openVolumes(t)
  for (const name of ['one', 'two']) {
    await world.runtime.ensureVolume({ name, labels: {} })
    world.store.addRemoval(name, '2000-01-01T00:00:00.000Z')
  }
  world.controls.fail('removeVolume', new AppError('INTERNAL', { cause: new Error('stuck') }))
  await t.rejects(world.remove(), { code: 'INTERNAL' })
  t.same(world.store.listRemovals(), ['one'])
  world.controls.fail('removeVolume', new AppError('RUNTIME_UNAVAILABLE'))
  await t.rejects(world.remove(), { code: 'RUNTIME_UNAVAILABLE' })
  t.equal(world.controls.calls('removeVolume'), 3)
})

test('few volumes are restored at once, the others wait', async (t) => {
  const world = openVolumes(t, ['one', 'two', 'three'])
  const held = Promise.withResolvers<void>()
  let writing = 0
  world.controls.before('writeVolume', () => ((writing += 1), held.promise))
  const restores = ['one', 'two', 'three'].map((name) => world.restore('restored', name))
  await until('two are filled', () => writing === 2)
  await Promise.race([Promise.all(restores), delay(20)])
  t.equal(writing, 2)
  held.resolve()
  for (const view of await Promise.all(restores)) t.match(view, { restored_at: /^20/ })
  t.equal(writing, 3)
})

test('sizes are measured beside each other, few at a time, and an answer waits for them so long', async (t) => {
  const fast = createHurriedSystem(10)
  const walks = new Map<string, (bytes: number | null) => void>()
  const sizes = createVolumeSizes(fast, (directory) => {
    const { promise, resolve } = Promise.withResolvers<number | null>()
    walks.set(directory, resolve)
    return promise
  })
  const first = sizes.measure(['/a', '/b', null, '/c'], 'shop')
  const same = sizes.measure(['/a'], 'shop')
  const other = sizes.measure(['/d'], 'other')
  await until('three are measured', () => walks.size === 3)
  t.same([...walks.keys()], ['/a', '/b', '/d'], 'of one project two, and one of another')
  walks.get('/a')?.(1)
  t.same(await same, [1], 'what is being measured is not measured again')
  walks.get('/d')?.(4)
  t.same(await other, [4])
  await until('the next one has its turn', () => walks.has('/c'))
  // Its deadline keeps nothing alive.
  const [late] = await Promise.all([first, delay(1100)])
  t.same(late, [1, null, null, null], 'what took too long is not known')
  walks.get('/b')?.(2)
  walks.get('/c')?.(3)
  t.same(await sizes.measure(['/a', '/b', '/c'], 'shop'), [1, 2, 3], 'the walks went on')
  t.equal(walks.size, 4)
})

test('a restore that the disk does not take changes nothing', async (t) => {
  const world = openVolumes(t)
  await world.start()
  world.disk.sync = () => Promise.reject(new AppError('INTERNAL', { cause: new Error('EIO') }))
  await t.rejects(world.restore('restored'), { code: 'INTERNAL' })
  t.match(world.find(), { generation: 1, restored_at: null })
  await world.remove()
  t.same([...world.volumes.keys()], [world.nameOf(1)])
})

test('a volume is brought to the disk where its directory can be seen, and an error of that is one', async (t) => {
  const { runtime, volumes } = openVolumes(t)
  const name = 'some'
  await runtime.ensureVolume({ name, labels: { 'berth.kind': 'volume' } })
  const synced: string[] = []
  const sync = createVolumeSync(runtime, async (directory) => void synced.push(directory))
  await sync(name)
  const at = (directory: string): void => {
    const volume = volumes.get(name)
    if (volume) volume.directory = directory
  }
  at('/nonexistent/volumes/some')
  await sync(name)
  t.same(synced, [])
  const directory = t.testdir()
  at(directory)
  await sync(name)
  t.same(synced, [directory])
  await t.rejects(sync('gone'), { code: 'NOT_FOUND' })
  await syncFileSystem(directory)
  await t.rejects(syncFileSystem('/nonexistent'), { code: 'INTERNAL' })
})

test('the folder of a volume is opened to everyone unless something is in it', async (t) => {
  const OPEN = { uid: 0, gid: 0, mode: 0o777 }
  const device = await tarOf('x')
  // The type flag of a device instead of a file's.
  device[156] = 0x33
  device.write(
    (Number.parseInt(device.toString('latin1', 148, 154), 8) + 3).toString(8).padStart(6, '0'),
    148,
  )
  const cases = [
    { what: 'new', contents: undefined, root: OPEN },
    { what: 'made before, empty', contents: Buffer.alloc(1024), root: OPEN },
    { what: 'made before, in use', contents: await tarOf('data'), root: undefined },
    { what: 'made before, with a device', contents: device, root: undefined },
  ]
  for (const { what, contents, root } of cases) {
    const world = openVolumes(t)
    const name = world.nameOf(1)
    if (contents) {
      await world.runtime.ensureVolume({ name, labels: {} })
      Object.assign(world.volumes.get(name) ?? {}, { contents })
    }
    await world.start()
    t.match(world.volumes.get(name)?.root, root, what)
    t.match(world.find(), { prepared: 1 })
  }
  const world = openVolumes(t)
  await world.start()
  // By hand.
  world.volumes.clear()
  await t.rejects(world.start(), /lost volume data of shop\/web/, 'or never again')
  t.same([...world.volumes], [])
})

test('what the engine makes late of a service that is gone goes, while it is empty', async (t) => {
  const { controls, runtime, volumes, removeOrphans } = openVolumes(t)
  const folder = t.testdir({ empty: {}, full: { file: '' } })
  for (const [name, service, directory] of [
    ['late', 'gone', `${folder}/empty`],
    ['late-too', 'gone', `${folder}/empty`],
    ['full', 'gone', `${folder}/full`],
    ['hidden', 'gone', null],
    ['kept', 'web', `${folder}/empty`],
  ] as const) {
    const labels = { [LABELS.kind]: 'volume', [LABELS.service]: service }
    await runtime.ensureVolume({ name, labels })
    Object.assign(volumes.get(name) ?? {}, { directory })
  }
  controls.setAway(true)
  await removeOrphans()
  t.equal(volumes.size, 5, 'others tell that the engine is away')
  controls.setAway(false)
  await removeOrphans()
  t.same([...volumes.keys()], ['full', 'hidden', 'kept'])
})
