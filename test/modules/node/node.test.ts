import { test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { createNodeOperations, type NodeDeps } from '../../../src/modules/node/node-operations.ts'
import { nodeRoutes } from '../../../src/modules/node/node-routes.ts'
import { openIdentityApi } from '../../support/identity-api.ts'

async function openNodeApi(t: Parameters<typeof openIdentityApi>[0], deps: Partial<NodeDeps> = {}) {
  const complaints: [string, unknown][] = []
  const api = await openIdentityApi(t, {
    addRoutes: (server) => {
      const operations = createNodeOperations({
        system: createSystem(),
        version: '1.2.3',
        settings: { node_name: 'harbour', control_domain: undefined, data_dir: '/tmp' },
        checks: { database: () => {} },
        inspectEngine: async () => {
          throw new Error('away')
        },
        workers: () => [],
        onNotReady: (name, error) => void complaints.push([name, error]),
        ...deps,
      })
      nodeRoutes(server, operations)
    },
  })
  return { ...api, complaints }
}

test('whoever asks is told that the daemon runs', async (t) => {
  const api = await openNodeApi(t)
  const answer = await api.send(undefined, 'GET', '/healthz')
  t.equal(answer.status, 200)
  t.same(answer.body, { status: 'ok', ok: true })
})

test('readiness names the part that fails, and only the log says why', async (t) => {
  const checks = {
    database: () => {},
    runtime: async () => {
      throw new Error('the socket /secret/path is gone')
    },
  }
  const api = await openNodeApi(t, { checks })
  const answer = await api.send(undefined, 'GET', '/readyz')
  t.equal(answer.status, 503)
  t.same(answer.body, { status: 'not_ready', checks: { database: 'ok', runtime: 'failed' } })
  t.match(api.complaints, [['runtime', /secret/]])
})

test('a part that does not answer in time is not ready, and many who ask make one check', async (t) => {
  let asked = 0
  const checks = {
    runtime: () => {
      asked += 1
      return new Promise(() => {})
    },
  }
  const api = await openNodeApi(t, { checks })
  // The time limit of a check does not keep a process alive by itself.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const answers = await Promise.all(Array.from({ length: 20 }, () => api.send(undefined, 'GET', '/readyz')))
  t.ok(answers.every((answer) => answer.status === 503))
  t.equal(asked, 1)
})

test('members of any project read what the machine is; others do not', async (t) => {
  const api = await openNodeApi(t)
  const root = await api.bootstrap()
  const viewer = await api.addUser(root, 'viewer', { [api.addProject('shop')]: 'viewer' })
  const plain = await api.addUser(root, 'plain')
  const answer = await api.send(viewer.session, 'GET', '/v1/node')
  t.match(answer.body, { name: 'harbour', version: '1.2.3', control_domain: null, engine: null })
  t.match(answer.body, { cpu: { used_percent: null }, load: [Number, Number, Number] })
  t.equal((await api.send(plain.session, 'GET', '/v1/node')).status, 403)
  t.equal((await api.send(viewer.session, 'GET', '/v1/system/workers')).status, 403)
})

test('super-admins see how the background loops do', async (t) => {
  const worker = {
    name: 'uploads',
    runs: 3,
    failures: 1,
    running: false,
    last_run_at: '2026-11-21T08:00:00.000Z',
    last_duration_ms: 4,
    last_error: 'disk',
  }
  const api = await openNodeApi(t, { workers: () => [worker] })
  const root = await api.bootstrap()
  t.same((await api.send(root, 'GET', '/v1/system/workers')).list, [worker])
})
