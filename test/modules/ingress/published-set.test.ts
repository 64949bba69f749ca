import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { createPublishedSet } from '../../../src/modules/ingress/published-set.ts'
import { ROUTES } from '../../../src/modules/ingress/set-kinds.ts'
import { route } from './proxy-fixture.ts'

test('workers get what the disk does not take, and the file follows when it does', async (t) => {
  const directory = t.testdir({})
  const file = join(directory, ROUTES.file)
  const pushed: number[] = []
  const routes = createPublishedSet(directory, ROUTES, async () => {
    pushed.push(routes.current().version)
    return []
  })
  const written = async () => (JSON.parse(await readFile(file, 'utf8')) as { version: number }).version
  await routes.open([])
  t.equal(await routes.publish([route('one.localhost')]), 1)
  await rm(file)
  // Nothing can take this one's place.
  await mkdir(join(file, 'in-the-way'), { recursive: true })
  await t.rejects(routes.publish([route('two.localhost')]), 'who asked is told that it would not survive')
  t.match(routes.current(), { version: 2, routes: [{ hostname: 'two.localhost' }] })
  await t.rejects(routes.publish([route('two.localhost')]))
  await t.rejects(routes.ensureFile())
  t.same(pushed, [1, 2], 'everyone has it: it is not handed over again')
  await rm(file, { recursive: true })
  await routes.ensureFile()
  t.equal(await written(), 2)
  t.equal(await routes.publish([route('two.localhost')]), 2)
  t.same(pushed, [1, 2])
})

test('a daemon that starts on a full disk goes on from the workers that run', async (t) => {
  const directory = t.testdir({ [ROUTES.file]: JSON.stringify({ version: 1, rules: [], routes: [] }) })
  const routes = createPublishedSet(directory, ROUTES, async () => [])
  // As root, too, no file can be made here.
  await rename(directory, `${directory}-away`)
  t.teardown(() => rm(`${directory}-away`, { recursive: true, force: true }))
  await routes.open([7])
  t.match(routes.current(), { version: 7 })
  await t.rejects(routes.publish([]), { code: 'ENOENT' })
  await rename(`${directory}-away`, directory)
  t.equal(await routes.publish([]), 8)
})
