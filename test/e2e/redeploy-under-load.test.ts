import { test } from 'tap'
import { installBerth } from '../support/daemon.ts'
import { application, createService, deployFiles, readDeploymentLog, waitForEnd } from '../support/deploy.ts'
import { startLoad } from '../support/load.ts'
import { waitFor } from '../support/wait.ts'

test('redeployments, a bad one and canaries under load cost no request', async (t) => {
  const berth = await installBerth(t)
  const service = await createService(berth, 'web', {
    replicas: 2,
    health_check: { path: '/healthz', timeout_seconds: 8, interval_ms: 200 },
  })
  const first = await waitForEnd(berth, (await deployFiles(berth, service, application('version 0'))).id)
  t.equal(first.status, 'Healthy', first.reason ?? 'the first deployment is live')

  const load = startLoad(berth.httpPort(), 'web.default.localhost', { connections: 32, perSecond: 600 })
  for (let version = 1; version <= 4; version += 1) {
    const deployment = await deployFiles(berth, service, application(`version ${version}`))
    const ended = await waitForEnd(berth, deployment.id)
    t.equal(ended.status, 'Healthy', `version ${version} is live`)
  }
  const bad = await deployFiles(berth, service, application('bad version', { healthStatus: 503 }))
  const ended = await waitForEnd(berth, bad.id)
  const canary = await deployFiles(berth, service, application('canary'), { canary_percent: 20 })
  const begun = await waitForEnd(berth, canary.id)
  t.equal(begun.status, 'Healthy', begun.reason ?? 'the canary runs')
  const url = `/v1/services/${service}`
  const set = await berth.berth('canary', 'set', 'web', '30', '-o', 'json')
  t.match(JSON.parse(set.stdout), { percent: 30, replicas: 1, healthy_replicas: 1 })
  const since = new Date().toISOString()
  const shareOf = async (id: string): Promise<number> => {
    const noted = await berth.call<{ deployment_id: string }[]>(
      'GET',
      `${url}/requests?since=${since}&limit=1000`,
    )
    return noted.length < 1000 ? -1 : noted.filter((each) => each.deployment_id === id).length / noted.length
  }
  const share = await waitFor('the log has a thousand requests', async () => {
    const found = await shareOf(canary.id)
    return found >= 0 && { found }
  })
  t.ok(Math.abs(share.found - 0.3) < 0.05, `${share.found} of the requests are in the log as the canary's`)
  t.match((await berth.berth('canary', 'promote', 'web')).stdout, /web\.default\.localhost/)
  const given = await deployFiles(berth, service, application('given up'), { canary_percent: 50 })
  t.equal((await waitForEnd(berth, given.id)).status, 'Healthy')
  await berth.berth('canary', 'abort', 'web', '--yes')
  const report = await load.stop()

  t.equal(ended.status, 'Failed')
  t.match(ended.reason, /did not pass its health check within 8 s \(GET \/healthz: 503\)/)
  const log = await readDeploymentLog(berth, bad.id)
  t.match(log, /GET \/healthz: 503/, 'the log has the outcome of the probes')
  t.match(log, /listening on 8080 bad version/, "the log has the container's last lines")

  t.equal(report.failed, 0, `no request failed (${report.failures.join('; ')})`)
  t.ok(report.per_second >= 500, `${Math.round(report.per_second)} requests a second`)
  t.notOk('bad version' in report.answers, 'no request reached the bad version')
  for (let version = 0; version <= 4; version += 1)
    t.ok(`version ${version}` in report.answers, `version ${version} answered`)
  t.ok('canary' in report.answers && 'given up' in report.answers, 'the canaries answered')
  t.equal((await berth.call<{ status: string }>('GET', `/v1/services/${service}`)).status, 'Running')
})
