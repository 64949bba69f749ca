import { test } from 'tap'
import { installBerth } from '../support/daemon.ts'
import { application, createService, deployFiles, readDeploymentLog, waitForEnd } from '../support/deploy.ts'
import { startLoad } from '../support/load.ts'

test('five redeployments and a bad one under load cost no request', async (t) => {
  const berth = await installBerth(t)
  const service = await createService(berth, 'web', {
    replicas: 2,
    health_check: { path: '/healthz', timeout_seconds: 8, interval_ms: 200 },
  })
  const first = await waitForEnd(berth, (await deployFiles(berth, service, application('version 0'))).id)
  t.equal(first.status, 'Healthy', first.reason ?? 'the first deployment is live')

  const load = startLoad(berth.httpPort(), 'web.default.localhost', { connections: 32, perSecond: 600 })
  for (let version = 1; version <= 5; version += 1) {
    const deployment = await deployFiles(berth, service, application(`version ${version}`))
    const ended = await waitForEnd(berth, deployment.id)
    t.equal(ended.status, 'Healthy', `version ${version} is live`)
  }
  const bad = await deployFiles(berth, service, application('bad version', { healthStatus: 503 }))
  const ended = await waitForEnd(berth, bad.id)
  const report = await load.stop()

  t.equal(ended.status, 'Failed')
  t.match(ended.reason, /did not pass its health check within 8 s \(GET \/healthz: 503\)/)
  const log = await readDeploymentLog(berth, bad.id)
  t.match(log, /GET \/healthz: 503/, 'the log has the outcome of the probes')
  t.match(log, /listening on 8080 bad version/, "the log has the container's last lines")

  t.equal(report.failed, 0, `no request failed (${report.failures.join('; ')})`)
  t.ok(report.per_second >= 500, `${Math.round(report.per_second)} requests a second`)
  t.notOk('bad version' in report.answers, 'no request reached the bad version')
  for (let version = 0; version <= 5; version += 1)
    t.ok(`version ${version}` in report.answers, `version ${version} answered`)
  t.equal((await berth.call<{ status: string }>('GET', `/v1/services/${service}`)).status, 'Running')
})
