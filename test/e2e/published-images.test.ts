import { mkdirSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
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

test('a release comes back from the registry after the engine has lost its image, without any build', async (t) => {
  // Not loopback as the engine knows it: it needs a door of its own.
  const berth = await installBerth(t, { BERTH_BIND: '127.0.0.2:0' })
  const first = await deploy(berth, 'one')
  t.match(first.artifact?.digest, /^sha256:/)
  t.match(first.steps.find(({ step }) => step === 'publish')?.status, 'done')
  await deploy(berth, 'two')
  t.equal(await visit(berth), 'two')
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
})
