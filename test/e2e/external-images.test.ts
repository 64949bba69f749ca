import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import { busyboxRootfs } from '../support/busybox-image.ts'
import { type Installation, installBerth } from '../support/daemon.ts'
import { readDeploymentLog } from '../support/deploy.ts'
import { dockerHarness } from '../support/docker-harness.ts'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { waitFor } from '../support/wait.ts'
import { RegistryClient } from '../conformance/registry/registry-client.ts'

const run = promisify(execFile)

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

/** A way to a registry on which requests for some paths can be kept waiting for ever. */
async function openWay(t: Test, origin: string) {
  let held: RegExp | undefined
  let reached = Promise.withResolvers<void>()
  const server = createServer((request, response) => {
    const { method, headers, url = '' } = request
    if (held?.test(url) === true) return reached.resolve()
    const onward = send(new URL(url, origin), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => (server.closeAllConnections(), server.close()))
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold: (paths: RegExp): void => {
      held = paths
      reached = Promise.withResolvers()
    },
    reached: () => reached.promise,
    release: () => (held = undefined),
  }
}

test("an image of somebody else's registry runs, whenever the daemon is killed meanwhile, and a push to this node's deploys itself", async (t) => {
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
  const way = await openWay(t, registry.origin)
  const theirs = await add('theirs', { type: 'external_image', image: `${way.host}/team/app:v1` })
  /** Deploys, kills the daemon while it waits for the registry, and has something happen before the next one goes on. */
  const deployKilled = async (
    type: string,
    held: RegExp,
    meanwhile: () => Promise<unknown>,
  ): Promise<Deployment> => {
    way.hold(held)
    const body = { service_id: theirs, source: { type } }
    const { id } = await berth.call<Deployment>('POST', '/v1/deployments', body)
    await way.reached()
    await berth.stop('SIGKILL')
    await meanwhile()
    way.release()
    await berth.start()
    const ended = await over(id)
    t.match(await readDeploymentLog(berth, id), /Going on after an interruption/)
    return ended
  }
  const asked = await deployKilled('external_image', /\/blobs\//, () =>
    push('moved', { host, repository: 'team/app', token: 'x' }),
  )
  t.match(asked, { status: 'Healthy', reason: null, artifact: { digest } }, 'the image that it began with')
  const again = await deployKilled('redeploy', /\/manifests\/v1$/, () => registry.stop())
  t.match(again, { status: 'Healthy', artifact: { digest } }, 'the other registry is not needed any more')
  await waitFor('one replica of the release', async () => {
    const { stdout } = await run('docker', ['ps', '-aq', '--filter', `label=berth.service=${theirs}`])
    const { status } = await berth.call<{ status: string }>('GET', `/v1/services/${theirs}`)
    return status === 'Running' && stdout.trim().split('\n').length === 1
  })

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
