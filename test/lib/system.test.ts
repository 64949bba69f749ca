import { mkdtemp, readdir, readFile, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mock } from 'node:test'
import { test } from 'tap'
import { writeDurableFile } from '../../src/lib/durable-file.ts'
import { createIdSource, createSystem } from '../../src/lib/system.ts'

test('ids are UUIDv7 and rise within one millisecond, also when the clock goes back', async (t) => {
  let now = 1_700_000_000_000
  const newId = createIdSource(
    () => now,
    (size) => Buffer.alloc(size, 0xff),
  )
  const ids = Array.from({ length: 10_000 }, () => newId())
  now -= 5_000
  ids.push(newId())
  t.same(ids.toSorted(), ids)
  t.equal(new Set(ids).size, ids.length)
  for (const id of ids) {
    if (!/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)) t.fail(id)
  }
})

test('a sleep ends with the reason of its signal', async (t) => {
  const abort = new AbortController()
  const sleeping = createSystem().sleep(60_000, abort.signal)
  abort.abort(new Error('enough'))
  await t.rejects(sleeping, /aborted|enough/)
})

test('a wait that is longer than one timer can be is not cut short', async (t) => {
  const longest = 2 ** 31 - 1
  const system = createSystem()
  const abort = new AbortController()
  const slept = system.sleep(longest + 1000, abort.signal).then(
    () => 'slept',
    () => 'aborted',
  )
  // Such a timer of Node's ends after a millisecond.
  await system.sleep(20)
  abort.abort()
  t.equal(await slept, 'aborted')

  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let runs = 0
  system.later(longest + 1000, () => (runs += 1))
  const cancel = system.later(longest + 1000, () => (runs += 100))
  mock.timers.tick(longest)
  t.equal(runs, 0)
  cancel()
  mock.timers.tick(1000)
  t.equal(runs, 1)
})

test('what a timer meets is told to the one who was named for it, and the process lives', async (t) => {
  const told = Promise.withResolvers<unknown>()
  createSystem(told.resolve).later(0, () => {
    throw new Error('no room')
  })
  // A timer of that kind keeps no process alive.
  const alive = setTimeout(() => {}, 30_000)
  t.match(await told.promise, { message: 'no room' })
  clearTimeout(alive)
})

test('a durable file is replaced whole, with its mode, and leaves no other file', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'berth-file-'))
  const file = join(directory, 'state.json')
  await writeDurableFile(file, 'one')
  await writeDurableFile(file, 'two', { mode: 0o640 })
  t.equal(await readFile(file, 'utf8'), 'two')
  t.equal((await stat(file)).mode & 0o777, 0o640)
  t.same(await readdir(directory), ['state.json'])
  await t.rejects(writeDurableFile(join(directory, 'missing', 'x'), 'x'))
})
