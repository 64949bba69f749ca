import { test } from 'tap'
import { installBerth } from '../support/daemon.ts'
import { application, createService, deployFiles, waitForEnd } from '../support/deploy.ts'
import { startLoad } from '../support/load.ts'
import { startOwnEngine } from '../support/own-engine.ts'
import { waitFor } from '../support/wait.ts'

test('an engine that stops and starts under load costs no request, and the deployment in the middle of it goes on', async (t) => {
  const engine = await startOwnEngine(t)
  const berth = await installBerth(t, { BERTH_DOCKER_SOCKET: engine.socket, BERTH_NETWORK_POOL: engine.pool })
  const service = await createService(berth, 'web', {
    health_check: { path: '/healthz', timeout_seconds: 120, interval_ms: 200 },
  })
  const first = await waitForEnd(berth, (await deployFiles(berth, service, application('one'))).id)
  t.equal(first.status, 'Healthy', first.reason ?? 'the first deployment is live')

  const load = startLoad(berth.httpPort(), 'web.default.localhost', { connections: 8, perSecond: 200 })
  const second = await deployFiles(berth, service, application('two'))
  await waitFor('the deployment is under way', async () => {
    const { status } = await berth.call<{ status: string }>('GET', `/v1/deployments/${second.id}`)
    return status !== 'Pending'
  })
  await engine.stop()
  const ready = await fetch(`${berth.api()}/readyz`)
  t.equal(ready.status, 503)
  t.match(await ready.text(), /runtime/, 'the daemon says what is away')
  await engine.start()
  const ended = await waitForEnd(berth, second.id)
  if (ended.status !== 'Healthy') {
    t.equal(ended.status, 'Failed')
    t.ok(ended.reason, 'it says why')
    const third = await deployFiles(berth, service, application('three'))
    t.equal((await waitForEnd(berth, third.id)).status, 'Healthy')
  }
  await waitFor('the service runs', async () => {
    const { status } = await berth.call<{ status: string }>('GET', `/v1/services/${service}`)
    return status === 'Running'
  })
  const report = await load.stop()
  t.comment(`${ended.status}: ${ended.reason ?? ''}; ${JSON.stringify(report.answers)}`)
  t.equal(report.failed, 0, `no request failed (${report.failures.join('; ')})`)
  t.ok('one' in report.answers)
})
