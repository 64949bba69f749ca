import { test } from 'tap'
import { busyboxRootfs } from '../support/busybox-image.ts'
import { type Installation, installBerth } from '../support/daemon.ts'
import { dockerHarness } from '../support/docker-harness.ts'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { RegistryClient } from '../conformance/registry/registry-client.ts'

interface Deployment {
  id: string
  status: string
  step: string | null
  reason: string | null
  trigger: { kind: string }
  artifact: { digest: string } | null
}

/** Runs a web server that says where it comes from. */
const CMD = (text: string) => [
  'sh',
  '-c',
  `mkdir /www; echo ${text} > /www/index.html; exec httpd -f -p 8080 -h /www`,
]

test("an image of somebody else's registry runs, and a push to this node's deploys itself", async (t) => {
  const { runtime, prefix, system } = await dockerHarness(t)
  const registry = await startDockerRegistry()
  t.teardown(() => registry.stop())
  const { host } = new URL(registry.origin)
  const berth = await installBerth(t, { BERTH_IMAGE_PRIVATE_RANGES: '127.0.0.0/8' })
  const push = async (
    text: string,
    to: { host: string; repository: string; token: string },
  ): Promise<string> => {
    const tag = `${prefix}/${text}:1`
    const env = { PATH: '/bin' }
    await runtime.importImage(await busyboxRootfs(), { tag, labels: {}, env, cmd: CMD(text) })
    const pushed = await runtime.pushImage(tag, { ...to, tag: 'v1' }, AbortSignal.timeout(60_000))
    // A deployment may have begun already, of the very image: nobody takes it from under that.
    if (to.host === host) await runtime.removeImage(tag)
    else t.teardown(() => runtime.removeImage(tag))
    return pushed.digest
  }
  const over = async (id: string): Promise<Deployment> => {
    for (;;) {
      const found = await berth.call<Deployment>('GET', `/v1/deployments/${id}`)
      if (found.step === null) return found
      await system.sleep(50)
    }
  }
  const add = async (name: string, source: object): Promise<string> =>
    (await berth.call<{ id: string }>('POST', '/v1/services', { name, internal_port: 8080, source })).id

  const digest = await push('theirs', { host, repository: 'team/app', token: 'x' })
  const theirs = await add('theirs', { type: 'external_image', image: `${host}/team/app:v1` })
  const asked = await berth.call<Deployment>('POST', '/v1/deployments', {
    service_id: theirs,
    source: { type: 'external_image' },
  })
  t.match(await over(asked.id), { status: 'Healthy', reason: null, artifact: { digest } })
  await registry.stop()
  const again = await berth.call<Deployment>('POST', '/v1/deployments', {
    service_id: theirs,
    source: { type: 'redeploy' },
  })
  t.match(
    await over(again.id),
    { status: 'Healthy', artifact: { digest } },
    'the other registry is not needed any more',
  )

  const own = { host: new URL(berth.api()).host, repository: 'default/base', token: berth.token() }
  const mine = await add('mine', { type: 'external_image', image: 'default/base:v1', auto_deploy: true })
  const first = await push('one', own)
  const deployed = await pushed(berth, mine, first)
  t.match(await over(deployed.id), {
    status: 'Healthy',
    artifact: { digest: first },
    trigger: { kind: 'push' },
  })
  const client = new RegistryClient(berth.api(), `Bearer ${berth.token()}`)
  const refused = await client.send('DELETE', `/v2/default/base/manifests/${first}`)
  t.match(refused, { status: 409, text: /service mine/ })
  const second = await push('two', own)
  t.match(await over((await pushed(berth, mine, second)).id), { status: 'Healthy' })

  /** The deployment that a push has led to. */
  async function pushed(berth: Installation, service: string, wanted: string): Promise<Deployment> {
    for (;;) {
      const [newest] = await berth.call<Deployment[]>('GET', `/v1/services/${service}/deployments`)
      if (newest?.artifact?.digest === wanted) return newest
      await system.sleep(50)
    }
  }
})
