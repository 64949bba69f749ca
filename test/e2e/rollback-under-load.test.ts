import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
import { installBerth } from '../support/daemon.ts'
import { application, createService, type Deployment, deployFiles, waitForEnd } from '../support/deploy.ts'
import { startLoad } from '../support/load.ts'
import { waitFor } from '../support/wait.ts'

test('rollbacks under load cost no request, and neither does a release that is given up in its bake time', async (t) => {
  const berth = await installBerth(t)
  const service = await createService(berth, 'web', {
    replicas: 2,
    health_check: { path: '/healthz', timeout_seconds: 60, interval_ms: 200 },
    release_command: ['node', '-e', 'console.log("released as", process.env.PORT)'],
    read_only: true,
  })
  const release = async (files: Record<string, string>): Promise<Deployment> => {
    const ended = await waitForEnd(berth, (await deployFiles(berth, service, files)).id)
    t.equal(ended.status, 'Healthy', ended.reason ?? 'it is live')
    return ended
  }
  const one = await release(application('one'))
  await release(application('two'))
  const load = startLoad(berth.httpPort(), 'web.default.localhost', { connections: 32, perSecond: 500 })
  for (let times = 0; times < 3; times += 1) {
    const body = times % 2 === 0 ? { deployment_id: one.id } : {}
    const asked = await berth
      .call<Deployment>('POST', `/v1/services/${service}/rollback`, body)
      .catch((error: unknown) => error as Error)
    if (asked instanceof Error) {
      // From the first release there is no way further back: forward again instead.
      t.match(asked.message, /NOTHING_TO_DEPLOY/)
      await release(application('two'))
    } else t.equal((await waitForEnd(berth, asked.id)).status, 'Healthy')
  }
  await berth.call('PATCH', `/v1/services/${service}`, { bake_seconds: 300 })
  const files = application('turns bad')
  files['server.mjs'] = (files['server.mjs'] ?? '').replace(
    'response.statusCode = health ? 200 : 200',
    'response.statusCode = health && process.uptime() > 6 ? 500 : 200',
  )
  const bad = await waitForEnd(berth, (await deployFiles(berth, service, files)).id)
  t.match(bad, { status: 'Failed', reason: /^Rolled back to deployment \d+: Replica \d failed/ })
  const report = await load.stop()
  t.equal(report.failed, 0, `no request failed (${report.failures.join('; ')})`)
  t.ok('one' in report.answers && 'two' in report.answers && 'turns bad' in report.answers)
  await waitFor('it runs as before', async () => {
    const { status } = await berth.call<{ status: string }>('GET', `/v1/services/${service}`)
    return status === 'Running'
  })
})

test('services of a project find each other by name, and an idle one sleeps until a request wakes it', async (t) => {
  const berth = await installBerth(t)
  const back = await createService(berth, 'back', {
    autoscale: { min_replicas: 0, max_replicas: 1, idle_timeout_s: 10 },
  })
  const front = await createService(berth, 'front', { health_check: { path: '/healthz' } })
  const files = application('front')
  files['server.mjs'] = `
    import { createServer } from 'node:http'
    createServer(async (request, response) => {
      if (request.url === '/healthz') return response.end('ok')
      try {
        const answer = await fetch('http://back:8080/')
        response.end('front of ' + (await answer.text()))
      } catch (error) {
        response.writeHead(502).end(String(error.cause))
      }
    }).listen(process.env.PORT)
  `
  const ends = [await deployFiles(berth, back, application('back')), await deployFiles(berth, front, files)]
  for (const { id } of ends) t.equal((await waitForEnd(berth, id)).status, 'Healthy')
  const ask = async (name: string): Promise<string> => {
    const sent = get({
      host: '127.0.0.1',
      port: berth.httpPort(),
      headers: { host: `${name}.default.localhost` },
      agent: false,
    })
    const [answer] = (await once(sent, 'response')) as [IncomingMessage]
    return `${answer.statusCode} ${await text(answer)}`
  }
  t.equal(await ask('front'), '200 front of back')
  await waitFor(
    'it sleeps',
    async () => {
      const { status } = await berth.call<{ status: string }>('GET', `/v1/services/${back}`)
      return status === 'Sleeping'
    },
    90_000,
  )
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask('back')))
  t.same(new Set(answers), new Set(['200 back']), 'all who came were kept and answered')
})
