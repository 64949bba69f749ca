import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { AppError } from '../../../src/lib/errors.ts'
import { createSlots } from '../../../src/lib/slots.ts'
import { createSystem } from '../../../src/lib/system.ts'
import { createUploadExpiry } from '../../../src/modules/uploads/upload-expiry.ts'
import { createUploadFiles } from '../../../src/modules/uploads/upload-files.ts'
import { createUploadStore } from '../../../src/modules/uploads/upload-store.ts'
import { openUploadApi, OTHER_SERVICE, SERVICE, until } from './upload-api.ts'
import { file, tarZst } from './tar-fixture.ts'

const BODY = tarZst(file('package.json', '{}'), file('src/a.js', 'x'.repeat(5000)))
const idle = new AbortController().signal

/** The real clock, set forward by the test. */
function movableClock() {
  const real = createSystem()
  let ahead = 0
  const now = (): number => real.now() + ahead
  return {
    ...real,
    now,
    nowIso: () => new Date(now()).toISOString(),
    move: (ms: number): void => void (ahead += ms),
  }
}

test('an upload is taken once, by a deployment of its own service', async (t) => {
  const api = await openUploadApi(t)
  const { body } = await api.upload(BODY)
  const id = String(body['upload_id'])
  const takeUpload = (...of: [string, string, string]) => api.operations.takeUpload(...of)
  t.throws(() => takeUpload(OTHER_SERVICE, id, 'd1'), { code: 'NOT_FOUND' })
  t.throws(() => takeUpload(SERVICE, 'unknown', 'd1'), { code: 'NOT_FOUND' })
  t.same(takeUpload(SERVICE, id, 'd1'), { sha256: body['sha256'], size_bytes: BODY.length })
  t.same(
    takeUpload(SERVICE, id, 'd1'),
    { sha256: body['sha256'], size_bytes: BODY.length },
    'again by the same one',
  )
  t.throws(() => takeUpload(SERVICE, id, 'd2'), { code: 'UPLOAD_USED' })
})

test('taking is undone with the transaction that it was part of', async (t) => {
  const api = await openUploadApi(t)
  const id = String((await api.upload(BODY)).body['upload_id'])
  t.throws(() =>
    api.database.transact(() => {
      api.operations.takeUpload(SERVICE, id, 'd1')
      throw new Error('no')
    }),
  )
  t.match(api.rows(), [{ deployment_id: null }])
})

test('what nothing takes in time cannot be taken any more and goes', async (t) => {
  const system = movableClock()
  const api = await openUploadApi(t, {}, system)
  const id = String((await api.upload(BODY)).body['upload_id'])
  await api.expiry.run(idle)
  t.equal(api.filesOnDisk().length, 1)
  system.move(3_600_001)
  t.throws(() => api.operations.takeUpload(SERVICE, id, 'd1'), { code: 'UPLOAD_USED' })
  await api.expiry.run(idle)
  t.same(api.filesOnDisk(), [])
  t.same(api.rows(), [])
})

test('what a deployment has stays until the deployment is over', async (t) => {
  const system = movableClock()
  const api = await openUploadApi(t, {}, system)
  const id = String((await api.upload(BODY)).body['upload_id'])
  api.openDeployments.add('d1')
  api.operations.takeUpload(SERVICE, id, 'd1')
  system.move(86_400_000)
  await api.expiry.run(idle)
  t.equal(api.filesOnDisk().length, 1)
  api.openDeployments.delete('d1')
  await api.expiry.run(idle)
  t.same(api.filesOnDisk(), [])
})

test('what a crash left is swept, what is there, arriving or foreign is not', async (t) => {
  const api = await openUploadApi(t)
  const kept = String((await api.upload(BODY)).body['upload_id'])
  const { sender, answer } = api.begin()
  sender.write(BODY.subarray(0, 50))
  await until(() => api.filesOnDisk().length === 2)
  const directory = join(api.dataDir, 'uploads')
  const stray = '01900000-0000-7000-8000-000000000000'
  for (const name of [`${stray}.tar.zst`, `${stray}.tar.part`, 'notes.txt'])
    writeFileSync(join(directory, name), 'x')
  await api.expiry.run(idle)
  const left = api.filesOnDisk()
  t.equal(left.length, 3)
  t.ok(left.includes(`${kept}.tar.zst`) && left.includes('notes.txt'))
  sender.end(BODY.subarray(50))
  t.equal((await answer).status, 201)
  // After a restart nothing is arriving any more.
  writeFileSync(join(directory, `${stray}.tar.zst.part`), 'x')
  const restarted = createUploadExpiry({
    store: createUploadStore(api.database),
    files: createUploadFiles({ dataDir: api.dataDir, diskReserveBytes: 0 }),
    system: createSystem(),
    isDeploymentOpen: () => false,
  })
  await restarted.run(idle)
  t.equal(api.filesOnDisk().length, 3)
})

test('the files of a deleted service go with it', async (t) => {
  const api = await openUploadApi(t)
  await api.upload(BODY)
  api.database.run('DELETE FROM services WHERE id = $id', { id: SERVICE })
  await api.expiry.run(idle)
  t.same(api.filesOnDisk(), [])
})

test('an upload is unpacked, and again after a crash', async (t) => {
  const api = await openUploadApi(t)
  const id = String((await api.upload(BODY)).body['upload_id'])
  const target = join(api.dataDir, 'work', 'source')
  mkdirSync(target, { recursive: true })
  writeFileSync(join(target, 'half'), 'of an earlier try')
  for (let round = 0; round < 2; round += 1) {
    const summary = await api.operations.unpackUpload(id, target, { signal: idle })
    t.same(summary, { entries: 3, unpacked_bytes: 5002 })
    t.equal(readFileSync(join(target, 'src/a.js'), 'utf8'), 'x'.repeat(5000))
    t.notOk(existsSync(join(target, 'half')))
  }
})

test('an upload that was damaged, removed or finds no room is not unpacked', async (t) => {
  const api = await openUploadApi(t, { disk_reserve_bytes: 0 })
  const id = String((await api.upload(BODY)).body['upload_id'])
  const path = join(api.dataDir, 'uploads', `${id}.tar.zst`)
  const target = join(api.dataDir, 'source')
  const unpack = () => api.operations.unpackUpload(id, target, { signal: idle })
  writeFileSync(path, tarZst(file('package.json', '[]')))
  await t.rejects(unpack(), { code: 'BAD_ARCHIVE', message: /damaged on the disk/ })
  api.database.run('UPDATE uploads SET unpacked_bytes = $huge', { huge: 2 ** 52 })
  await t.rejects(unpack(), { code: 'DISK_FULL' })
  api.database.run('UPDATE uploads SET unpacked_bytes = 1')
  api.database.exec('DELETE FROM uploads')
  await t.rejects(unpack(), { code: 'UPLOAD_USED' })
})

test('the file of an upload that someone removed reads as used', async (t) => {
  const api = await openUploadApi(t)
  const id = String((await api.upload(BODY)).body['upload_id'])
  api.database.run("UPDATE uploads SET format = 'tar.gz'")
  await t.rejects(api.operations.unpackUpload(id, join(api.dataDir, 'source'), { signal: idle }), {
    code: 'UPLOAD_USED',
  })
})

test('slots let in so many, the next in order, and refuse a queue that is too long', async (t) => {
  const slots = createSlots(createSystem(), { slots: 1, waiting: 2, waitMs: 60_000 })
  const release = await slots.acquire(idle)
  const order: string[] = []
  const second = slots.acquire(idle).then((give) => {
    order.push('second')
    give()
    give()
    return undefined
  })
  const leaver = new AbortController()
  const third = slots.acquire(leaver.signal)
  await t.rejects(slots.acquire(idle), { code: 'BUSY' })
  leaver.abort(new AppError('NOT_FOUND'))
  await t.rejects(third, { code: 'NOT_FOUND' })
  const fourth = slots.acquire(idle).then((give) => {
    order.push('fourth')
    return give
  })
  release()
  await second
  const give = await fourth
  t.same(order, ['second', 'fourth'])
  give()
  t.type(await slots.acquire(idle), 'function')
  const impatient = {
    ...createSystem(),
    later: (_: number, run: () => void) => (queueMicrotask(run), () => {}),
  }
  await t.rejects(createSlots(impatient, { slots: 0, waiting: 1, waitMs: 1 }).acquire(idle), { code: 'BUSY' })
})

test('one owner has no more than its share of the slots, and the others pass it by', async (t) => {
  const limits = { slots: 3, waiting: 4, waitMs: 60_000, ofOne: { slots: 2, waiting: 1 } }
  const slots = createSlots(createSystem(), limits)
  const { signal } = new AbortController()
  const [first] = [await slots.acquire(signal, 'one'), await slots.acquire(signal, 'one')]
  const entered: string[] = []
  const waiting = slots.acquire(signal, 'one').then(() => entered.push('one'))
  await t.rejects(slots.acquire(signal, 'one'), { code: 'BUSY' }, 'nor of the row')
  const leave = await slots.acquire(signal, 'two')
  const second = slots.acquire(signal, 'two').then(() => entered.push('two'))
  leave()
  await second
  t.same(entered, ['two'])
  first?.()
  await waiting
  t.same(entered, ['two', 'one'])
})
