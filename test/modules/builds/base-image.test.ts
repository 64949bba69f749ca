import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { createBaseImages } from '../../../src/modules/builds/base-image/base-image.ts'
import { gatherBaseContents, ownSources } from '../../../src/modules/builds/base-image/base-contents.ts'
import { readElf } from '../../../src/modules/builds/base-image/elf-file.ts'
import { completeRootfs, writeRootfs } from '../../../src/modules/builds/base-image/rootfs.ts'
import { findLinkedLibraries } from '../../../src/modules/builds/base-image/shared-libraries.ts'
import { createFakeRuntime } from '../../../src/runtime/fake-runtime.ts'
import { writeSource } from './source-tree.ts'

const never = AbortSignal.any([])

void test('the libraries that are found are those that the loader itself would load', async (t) => {
  const { loader, libraries } = await findLinkedLibraries(process.execPath)
  const { stdout } = await promisify(execFile)(loader?.path ?? '', ['--list', process.execPath])
  const listed = [...stdout.matchAll(/^\s*(\S+) => (\S+)/gm)].map(([, name, path]) => `${name} ${path}`)
  t.ok(listed.length > 3)
  t.same(
    libraries.map(({ name, path }) => `${name} ${path}`).toSorted(),
    listed.filter((line) => !line.endsWith(` ${loader?.path}`)).toSorted(),
  )
})

void test('a static program needs nothing, and what is no program is refused', async (t) => {
  t.same(await findLinkedLibraries('/bin/busybox'), { loader: undefined, libraries: [] })
  const root = await writeSource(t, { script: '#!/bin/sh\n', short: '\u007fELF', empty: '' })
  for (const name of ['script', 'short', 'empty']) t.equal(await readElf(join(root, name)), undefined, name)
  await t.rejects(findLinkedLibraries(join(root, 'script')), /not a 64-bit ELF program/)
})

void test('the base image has Node.js, npm, a shell, users and folders', async (t) => {
  const { entries, env, has_shell } = await gatherBaseContents(ownSources())
  const of = (name: string) => entries.find((entry) => entry.name === name)
  t.equal(has_shell, true)
  t.match(of('usr/bin/node'), { kind: 'file', mode: 0o755 })
  t.match(of('usr/bin/npm'), { kind: 'symlink', target: '../lib/node_modules/npm/bin/npm-cli.js' })
  t.match(of('usr/lib/node_modules/npm/bin/npm-cli.js'), { kind: 'file', mode: 0o755 })
  t.match(of('usr/bin/sh'), { kind: 'symlink', target: 'busybox' })
  t.match(of('usr/bin/env'), { kind: 'symlink', target: 'busybox' })
  t.match(of('tmp'), { kind: 'directory', mode: 0o1777 })
  t.match(of('app'), { kind: 'directory', owner: 1000 })
  t.match(of('lib'), { kind: 'symlink', target: 'usr/lib' })
  t.ok(of('etc/passwd') && of('etc/group') && of('etc/nsswitch.conf'))
  t.notOk(entries.some(({ name }) => name.startsWith('usr/lib/node_modules/npm/docs/')))
  t.match(env, { PATH: /\/usr\/bin/, NODE_VERSION: process.versions.node })
})

void test('every entry comes after the folder that it is in, and the same contents make the same bytes', async (t) => {
  const entries = completeRootfs([
    { kind: 'file', name: 'b/c/d', mode: 0o644, content: Buffer.from('x') },
    { kind: 'directory', name: 'b', mode: 0o700 },
    { kind: 'symlink', name: 'a', target: 'b', mode: 0o777 },
  ])
  t.same(
    entries.map(({ name, mode }) => [name, mode]),
    [
      ['a', 0o777],
      ['b', 0o700],
      ['b/c', 0o755],
      ['b/c/d', 0o644],
    ],
  )
  const write = async () => Buffer.concat(await Array.fromAsync(writeRootfs(entries)))
  t.ok((await write()).equals(await write()))
})

/** A machine with a small program in the place of Node.js, so that these tests are quick. */
async function smallSources(t: { teardown: (run: () => unknown) => void }) {
  const folder = await mkdtemp(join(tmpdir(), 'berth-base-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await copyFile('/bin/busybox', join(folder, 'node'))
  await writeFile(join(folder, 'package.json'), '{"name":"npm"}')
  return { node: join(folder, 'node'), npm: folder, busybox: '/bin/busybox' }
}

void test('the base image is imported once, found again by its contents, and replaced when they change', async (t) => {
  const { runtime, controls, engine } = createFakeRuntime({ system: createSystem() })
  const sources = await smallSources(t)
  const said: string[] = []
  const open = (each = sources) => createBaseImages({ runtime, configured: undefined, sources: each })
  const images = open()
  const [first, second] = await Promise.all(
    [1, 2].map(() => images.ensureBaseImage((line) => said.push(line), never)),
  )
  t.same(first, second)
  t.match(first?.reference, /^berth\/base:node\d+-[0-9a-f]{12}$/)
  t.equal(controls.calls('importImage'), 1)
  t.equal(said.length, 1)
  await open().ensureBaseImage(() => {}, never)
  t.equal(controls.calls('importImage'), 1, 'the next daemon finds it')
  await writeFile(join(sources.npm, 'package.json'), '{"name":"npm","version":"2"}')
  const changed = await open().ensureBaseImage(() => {}, never)
  t.not(changed.reference, first?.reference)
  t.equal(controls.calls('importImage'), 2)
  t.same(
    [...engine.images.values()].flatMap(({ tags }) => tags),
    [changed.reference],
    'the old one is gone',
  )
  await runtime.removeImage(changed.reference)
  await open().ensureBaseImage(() => {}, never)
  t.equal(controls.calls('importImage'), 3, 'one that someone removed is made again')
})

void test("someone else's image under the same tag is not taken for ours", async (t) => {
  const { runtime, controls } = createFakeRuntime({ system: createSystem() })
  const sources = await smallSources(t)
  const base = await createBaseImages({ runtime, configured: undefined, sources }).ensureBaseImage(
    () => {},
    never,
  )
  controls.addImage(base.reference, { id: 'sha256:foreign' })
  await createBaseImages({ runtime, configured: undefined, sources }).ensureBaseImage(() => {}, never)
  t.equal(controls.calls('importImage'), 2)
})

void test('files that change between digest and import do not become an image', async (t) => {
  const { runtime, controls } = createFakeRuntime({ system: createSystem() })
  const sources = await smallSources(t)
  controls.before('importImage', () => writeFile(sources.node, Buffer.alloc(1_982_256)))
  const images = createBaseImages({ runtime, configured: undefined, sources })
  await t.rejects(
    images.ensureBaseImage(() => {}, never),
    /changed while/,
  )
  t.same(await runtime.listImages({}), [])
})

void test('a machine without busybox gets a base without a shell, and is told', async (t) => {
  const { runtime } = createFakeRuntime({ system: createSystem() })
  const said: string[] = []
  const sources = { ...(await smallSources(t)), busybox: '/nonexistent/busybox' }
  const base = await createBaseImages({ runtime, configured: undefined, sources }).ensureBaseImage(
    (line) => said.push(line),
    never,
  )
  t.equal(base.has_shell, false)
  t.match(said.join('\n'), /no \/bin\/busybox.*no shell/)
})

void test('a base image that the operator names is used as it is', async (t) => {
  const { runtime, controls } = createFakeRuntime({ system: createSystem() })
  const base = await createBaseImages({ runtime, configured: 'node:24-slim' }).ensureBaseImage(
    () => {},
    never,
  )
  t.same(base, { reference: 'node:24-slim', has_shell: true })
  t.equal(controls.calls('importImage') + controls.calls('findImage'), 0)
})
