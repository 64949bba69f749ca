import { test } from 'tap'
import { installBerth } from '../support/daemon.ts'
import { application, createService, type Deployment, deployFiles, waitForEnd } from '../support/deploy.ts'
import { startLoad } from '../support/load.ts'
import { waitFor } from '../support/wait.ts'

test('a daemon killed in the middle of a build finishes the deployment after its start, and no request fails', async (t) => {
  const berth = await installBerth(t)
  const service = await createService(berth, 'web', { health_check: { path: '/' } })
  const files = application('version 1')
  await waitForEnd(berth, (await deployFiles(berth, service, files)).id)

  const load = startLoad(berth.httpPort(), 'web.default.localhost', { connections: 16, perSecond: 500 })
  const slow = {
    ...application('version 2'),
    'package.json': JSON.stringify({
      name: 'app',
      scripts: { start: 'node server.mjs', build: 'node -e "setTimeout(() => {}, 4000)"' },
    }),
  }
  const { id } = await deployFiles(berth, service, slow)
  await waitFor(
    'the build',
    async () => (await berth.call<Deployment>('GET', `/v1/deployments/${id}`)).step === 'build',
  )
  await berth.stop('SIGKILL')
  await berth.start()
  const ended = await waitForEnd(berth, id)
  const report = await load.stop()

  t.equal(ended.status, 'Healthy', ended.reason ?? '')
  t.equal(report.failed, 0, `no request failed (${report.failures.join('; ')})`)
  t.ok(report.per_second >= 400, `${Math.round(report.per_second)} requests a second`)
  t.ok('version 1' in report.answers && 'version 2' in report.answers)
})

test('a daemon killed again and again during cut-overs under load costs no request', async (t) => {
  const berth = await installBerth(t)
  const service = await createService(berth, 'web', {
    replicas: 2,
    health_check: { path: '/', interval_ms: 100 },
  })
  await waitForEnd(berth, (await deployFiles(berth, service, application('version 0', { delayMs: 20 }))).id)
  const load = startLoad(berth.httpPort(), 'web.default.localhost', { connections: 16, perSecond: 500 })

  for (const [version, step] of (['start', 'check', 'route', 'retire'] as const).entries()) {
    const { id } = await deployFiles(berth, service, application(`version ${version + 1}`, { delayMs: 20 }))
    // The steps are short: to have passed the one before is as good.
    await waitFor(`the ${step} step`, async () => {
      const seen = await berth.call<Deployment & { steps: { step: string }[] }>(
        'GET',
        `/v1/deployments/${id}`,
      )
      return seen.steps.some((each) => each.step === step)
    })
    await berth.stop('SIGKILL')
    await berth.start()
    const ended = await waitForEnd(berth, id)
    t.equal(ended.status, 'Healthy', `killed at ${step}: ${ended.reason ?? 'it went on'}`)
  }
  const report = await load.stop()
  t.equal(report.failed, 0, `no request failed (${report.failures.join('; ')})`)
  t.ok('version 4' in report.answers)
  const running = await berth.call<{ status: string }>('GET', `/v1/services/${service}`)
  t.equal(running.status, 'Running')
})
