import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import { createSystem } from '../../src/lib/system.ts'
import { createDockerRuntime } from '../../src/runtime/docker-runtime.ts'
import { type Installation, installBerth } from '../support/daemon.ts'
import { ENGINE_SOCKET } from '../support/engine.ts'

interface Deployment {
  id: string
  status: string
  artifact: { digest: string } | null
  steps: { step: string; status: string }[]
}

const run = promisify(execFile)
const system = createSystem()
const engine = createDockerRuntime({ socketPath: ENGINE_SOCKET, nodeId: 'a look from outside', system })

async function deploy(berth: Installation, content: string): Promise<Deployment> {
  const folder = join(berth.dataDir, 'site')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'index.html'), content)
  await berth.berth('deploy', folder, '--project', 'default', '--service', 'site', '--yes')
  const [service] = await berth.call<{ id: string }[]>('GET', '/v1/services')
  const [newest] = await berth.call<Deployment[]>('GET', `/v1/services/${service?.id}/deployments`)
  if (!newest) throw new Error('there is no deployment')
  return newest
}

/** `fetch` does not let its host header be set. */
function visit(berth: Installation): Promise<string> {
  const options = { host: '127.0.0.1', port: berth.httpPort(), headers: { host: 'site.default.localhost' } }
  return new Promise((resolve, reject) => {
    request({ ...options, agent: false }, (response) => void text(response).then(resolve, reject))
      .once('error', reject)
      .end()
  })
}

async function untilOver(berth: Installation, id: string): Promise<void> {
  for (;;) {
    const { step } = await berth.call<{ step: string | null }>('GET', `/v1/deployments/${id}`)
    if (step === null) return
    await system.sleep(50)
  }
}

/** The names of the service's images in the engine. */
const tagsOf = async (prefix: string): Promise<string[]> =>
  (await engine.listTags('berth/default/site:')).filter((tag) => tag.includes(prefix))

/** What people make of an image of Berth's: another name, a container, and an image of that with all labels. Answers whether all is there. */
async function makeOfImage(t: Test, image: string): Promise<() => Promise<boolean>> {
  const mine = `bt-mine-${randomBytes(4).toString('hex')}`
  const images = [`${mine}/backup:keep`, `${mine}/tool:1`] as const
  t.teardown(() => run('docker', ['rm', mine]).then(() => run('docker', ['rmi', ...images])))
  await run('docker', ['tag', image, images[0]])
  await run('docker', ['create', '--name', mine, image])
  await run('docker', ['commit', mine, images[1]])
  return () =>
    run('docker', ['inspect', mine, ...images]).then(
      () => true,
      () => false,
    )
}

/** Resolves when a worker of the daemon that runs now has run. */
async function untilRun(berth: Installation, worker: string): Promise<void> {
  for (;;) {
    const workers = await berth.call<{ name: string; runs: number }[]>('GET', '/v1/system/workers')
    if (workers.some(({ name, runs }) => name === worker && runs > 0)) return
    await system.sleep(50)
  }
}

test('a release comes back from the registry after the engine has lost its image, without any build', async (t) => {
  // Not loopback as the engine knows it: it needs a door of its own.
  const berth = await installBerth(t, { BERTH_BIND: '127.0.0.2:0' })
  const first = await deploy(berth, 'one')
  t.match(first.artifact?.digest, /^sha256:/)
  t.match(first.steps.find(({ step }) => step === 'publish')?.status, 'done')
  const second = await deploy(berth, 'two')
  t.equal(await visit(berth), 'two')
  const isMineThere = await makeOfImage(t, `berth/default/site:${second.id}`)
  await berth.stop()
  await berth.start()
  for (const worker of ['images', 'replicas']) await untilRun(berth, worker)
  t.equal(await isMineThere(), true, 'nobody loses what they made of its images')
  await engine.removeImage(`berth/default/site:${first.id}`)
  t.same(await tagsOf(first.id), [])
  const [repository] = await berth.call<{ name: string; manifests: number }[]>(
    'GET',
    '/v1/registry/repositories',
  )
  t.match(repository, { name: 'default/site', manifests: 2 })
  await t.rejects(
    berth.call('DELETE', `/v1/registry/repositories/default/site/manifests/${first.artifact?.digest}`),
    /409.*service site \(release 1\)/,
  )
  const [service] = await berth.call<{ id: string }[]>('GET', '/v1/services')
  const back = await berth.call<Deployment>('POST', `/v1/services/${service?.id}/rollback`)
  await untilOver(berth, back.id)
  t.equal(await visit(berth), 'one')
  t.match(await berth.call<Deployment>('GET', `/v1/deployments/${back.id}`), {
    status: 'Healthy',
    artifact: { digest: first.artifact?.digest },
  })
  await berth.call('DELETE', `/v1/services/${service?.id}`)
  t.same(await berth.call('GET', '/v1/registry/repositories'), [], 'the repository goes with the service')
  for (let look = 0; look < 600 && (await tagsOf('')).length > 0; look += 1) await system.sleep(50)
  t.same(await tagsOf(''), [], 'and so do the images in the engine')
  t.equal(await isMineThere(), true, 'but what others made of them')
})
