import { Readable } from 'node:stream'
import { test } from 'tap'
import { gatherBaseContents, ownSources } from '../../../src/modules/builds/base-image/base-contents.ts'
import { writeRootfs } from '../../../src/modules/builds/base-image/rootfs.ts'
import { dockerHarness } from '../../support/docker-harness.ts'
import { ask, build, engineBuilds, SERVER } from './engine-builds-suite.ts'

engineBuilds('BuildKit', false)

void test('a base image of the operator without our folders and users serves as well', async (t) => {
  const harness = await dockerHarness(t)
  const contents = await gatherBaseContents(ownSources())
  const entries = contents.entries.filter(({ name }) => !/^(app|home|home\/node)$/.test(name))
  const archive = Readable.from(writeRootfs(entries), { objectMode: false })
  const tag = `${harness.prefix}/node:1`
  await harness.runtime.importImage(archive, {
    tag,
    labels: {},
    env: contents.env,
    entrypoint: ['/no/such/entrypoint'],
  })
  for (const classicBuilder of [false, true]) {
    const other = { ...harness, runtime: (await dockerHarness(t, { classicBuilder })).runtime }
    const tree = { 'package.json': '{"scripts":{"build":"true"}}', 'server.js': SERVER }
    const { image_id } = await build(t, other, tree, {}, tag)
    t.match(JSON.parse((await ask(other, image_id)).body), { uid: 1000, cwd: '/app' })
    await other.runtime.removeContainer(`${harness.prefix}-app`)
    await other.runtime.removeNetwork(`${harness.prefix}-net`)
  }
})

void test('a build that fails says what npm said', async (t) => {
  const harness = await dockerHarness(t)
  const tree = { 'package.json': '{"scripts":{"build":"echo it is broken >&2; exit 4","start":"node ."}}' }
  const failure = await build(t, harness, tree).catch((error: unknown) => error)
  t.match(failure, { name: 'BuildFailed', message: /RUN npm run build.*failed with exit code 4/ })
})
