import { NOTHING_OBSERVED } from '../../../src/modules/services/service-status.ts'
import { test } from 'tap'
import { openServiceApi, role } from './service-api.ts'

test('a service is created in the named project, once', async (t) => {
  const api = await openServiceApi(t)
  const shop = await api.addProject('shop')
  const created = await api.root('POST', '/v1/services', { name: 'web', project_id: shop, env: { A: 'x' } })
  t.equal(created.status, 201)
  t.equal(created.body['project_id'], shop)
  t.equal(created.body['url'], 'http://web.shop.localhost:8080/')
  const id = String(created.body['id'])
  t.same(api.audited.at(-1), {
    action: 'createService',
    resource_kind: 'service',
    resource_id: id,
    project_id: shop,
    details: { name: 'web', env_names: ['A'] },
  })
  t.ok(api.nudged.includes(id))
  const twice = await api.root('POST', '/v1/services', { name: 'web', project_id: shop })
  t.equal(twice.status, 409)
  t.equal(twice.body.error, 'NAME_TAKEN')
  t.equal((await api.root('POST', '/v1/services', { name: 'web' })).status, 201, 'free in another project')
  const absent = await api.root('POST', '/v1/services', { name: 'x', project_id: 'absent' })
  const details = [{ field: 'project_id', message: 'absent is no project that you may see' }]
  t.match(absent, { status: 404, body: { details } })
  t.match(await api.root('GET', '/v1/services?project_id=absent'), { status: 404, body: { details } })
})

test('creating with an Idempotency-Key twice makes one service', async (t) => {
  const api = await openServiceApi(t)
  const body = { name: 'web', env: { A: 'canary-77aa' } }
  const first = await api.root('POST', '/v1/services', body, { 'idempotency-key': 'k1' })
  const again = await api.root('POST', '/v1/services', body, { 'idempotency-key': 'k1' })
  t.equal(again.status, 201)
  t.same(again.body, first.body)
  t.equal((await api.root('GET', '/v1/services')).list.length, 1)
  t.notOk(api.bytesOnDisk().includes('canary-77aa'), 'the kept answer is sealed')
})

test('replacing resets what is left out, but env', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web', {
    replicas: 3,
    internal_port: 80,
    command: ['x'],
    env: { A: '1' },
    restart: 'never',
  })
  const { status, body } = await api.root('PUT', `/v1/services/${id}`, { name: 'www', stop_grace_seconds: 3 })
  t.equal(status, 200)
  t.match(body, {
    name: 'www',
    replicas: 1,
    internal_port: 8080,
    command: null,
    restart: 'always',
    stop_grace_seconds: 3,
    env: { A: '1' },
    url: 'http://www.default.localhost:8080/',
  })
  t.same(api.audited.at(-1)?.details, {
    name: 'web',
    fields: ['internal_port', 'command', 'restart', 'stop_grace_seconds', 'replicas', 'name'],
    new_name: 'www',
  })
  t.equal((await api.root('PUT', `/v1/services/${id}`, { replicas: 2 })).body.details?.[0]?.field, 'name')
})

test('changing keeps what is left out, and merges objects', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web', {
    replicas: 3,
    command: ['x'],
    build_args: { A: '1' },
    health_check: { path: '/up', successes: 4 },
    resource_limits: { cpu_millis: 100, pids: 10 },
    env: { A: '1' },
  })
  const { status, body } = await api.root('PATCH', `/v1/services/${id}`, {
    build_args: { B: '2' },
    health_check: { path: null, interval_ms: 100 },
    resource_limits: { pids: null, cpu_millis: 200 },
  })
  t.equal(status, 200)
  t.match(body, {
    name: 'web',
    replicas: 3,
    command: ['x'],
    env: { A: '1' },
    resource_limits: { cpu_millis: 200 },
  })
  t.same(body['build_args'], { B: '2' })
  t.match(body['health_check'], { path: null, successes: 4, interval_ms: 100 })
  t.notOk('pids' in (body['resource_limits'] as object))
  const port = await api.root('PATCH', `/v1/services/${id}`, {
    health_check: { path: '/up' },
    internal_port: null,
  })
  t.equal(port.body.details?.[0]?.field, 'health_check.path')
  t.equal((await api.root('PATCH', `/v1/services/${id}`, {})).status, 200)
})

test('a name in use is refused on change, also that of another service only', async (t) => {
  const api = await openServiceApi(t)
  const [one] = [await api.addService('one'), await api.addService('two')]
  t.equal((await api.root('PATCH', `/v1/services/${one}`, { name: 'two' })).body.error, 'NAME_TAKEN')
  t.equal((await api.root('PATCH', `/v1/services/${one}`, { name: 'one' })).status, 200)
})

test('the project of a service is not changed by sending another', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('one')
  const answer = await api.root('PATCH', `/v1/services/${id}`, { project_id: await api.addProject('shop') })
  t.equal(answer.status, 400)
  t.equal(answer.body.details?.[0]?.field, 'project_id')
})

test('a write with an old tag changes nothing', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web')
  const url = `/v1/services/${id}`
  const tag = String((await api.root('GET', url)).headers['etag'])
  t.match(tag, /^"/)
  t.equal((await api.root('PATCH', url, { replicas: 2 }, { 'if-match': tag })).status, 200)
  for (const method of ['PUT', 'PATCH', 'DELETE'] as const) {
    const body = method === 'DELETE' ? undefined : { name: 'web', replicas: 5 }
    const answer = await api.root(method, url, body, { 'if-match': tag })
    t.equal(answer.status, 412, method)
  }
  t.equal((await api.root('GET', url)).body['replicas'], 2)
  const fresh = String((await api.root('GET', url)).headers['etag'])
  t.equal((await api.root('DELETE', url, undefined, { 'if-match': `"other", ${fresh}` })).status, 204)
})

test('scaling, stopping and starting record the wish and nudge', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web')
  const url = `/v1/services/${id}`
  const early = await api.root('POST', `${url}/start`)
  t.equal(early.status, 409)
  t.equal(early.body.error, 'NOTHING_TO_DEPLOY')
  api.setLive(id)
  api.nudged.length = 0
  const scaled = await api.root('PUT', `${url}/scale`, { replicas: 4 })
  t.equal(scaled.status, 202)
  t.equal(scaled.body['replicas'], 4)
  t.equal(scaled.body['status'], 'Degraded')
  t.equal((await api.root('POST', `${url}/stop`)).body['status'], 'Stopped')
  t.equal(api.store.find(id)?.desired_state, 'stopped')
  api.observed.set(id, { ...NOTHING_OBSERVED, healthy: 4, total: 4 })
  t.equal((await api.root('POST', `${url}/start`)).body['status'], 'Running')
  t.same(api.nudged, [id, `cancel ${id}`, id, id], 'what is being deployed is cancelled by a stop')
  t.same(
    api.audited.slice(-3).map((entry) => [entry.action, entry.details]),
    [
      ['scaleService', { name: 'web', replicas: 4 }],
      ['stopService', { name: 'web', desired_state: 'stopped' }],
      ['startService', { name: 'web', desired_state: 'running' }],
    ],
  )
  for (const replicas of [-1, 101, 1.5, '2', null]) {
    t.equal((await api.root('PUT', `${url}/scale`, { replicas })).body.details?.[0]?.field, 'replicas')
  }
})

test('restarting names the deployment that does it', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web')
  t.equal((await api.root('POST', `/v1/services/${id}/restart`)).body.error, 'NOTHING_TO_DEPLOY')
  api.setLive(id)
  const answer = await api.root('POST', `/v1/services/${id}/restart`)
  t.equal(answer.status, 202)
  t.equal(answer.headers['location'], '/v1/deployments/deployment-of-restart')
  t.equal(answer.body['id'], id)
})

test('a deleted service leaves its images in the registry when asked to', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web')
  t.equal((await api.root('DELETE', `/v1/services/${id}?keep_images=true`)).status, 204)
  t.notOk(api.nudged.includes('hide web'))
  t.match(api.audited.at(-1), { details: { keep_images: true } })
})

test('a deleted service is gone at once, its name is free, and its removal is recorded', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web', { env: { A: '1' } })
  const url = `/v1/services/${id}`
  const deleted = await api.root('DELETE', `${url}?keep_images=false`)
  t.equal(deleted.status, 204)
  t.equal(deleted.text, '')
  t.ok(api.nudged.includes(`remove ${id}`))
  t.ok(api.nudged.includes('hide web'))
  t.match(api.audited.at(-1), { action: 'deleteService', resource_id: id, details: { name: 'web' } })
  t.same(
    api.store.listDeleting().map((service) => service.id),
    [id],
  )
  for (const [method, path, body] of [
    ['GET', url],
    ['PUT', url, { name: 'web' }],
    ['PATCH', url, {}],
    ['DELETE', url],
    ['GET', `${url}/env`],
    ['PUT', `${url}/env`, {}],
    ['PATCH', `${url}/env`, {}],
    ['POST', `${url}/start`],
    ['POST', `${url}/stop`],
    ['POST', `${url}/restart`],
    ['PUT', `${url}/scale`, { replicas: 1 }],
  ] as const) {
    t.equal((await api.root(method, path, body)).status, 404, `${method} ${path}`)
  }
  t.same((await api.root('GET', '/v1/services')).list, [])
  t.same((await api.root('GET', '/v1/workloads')).list, [])
  t.equal((await api.root('POST', '/v1/services', { name: 'web' })).status, 201)
})

test('roles decide, and a service of another project does not exist', async (t) => {
  const api = await openServiceApi(t)
  const [mine, other] = [await api.addProject('mine'), await api.addProject('other')]
  const [own, foreign] = [
    await api.addService('a', { project_id: mine }),
    await api.addService('b', { project_id: other }),
  ]
  const viewer = api.as('viewer', role('viewer', mine))
  const operator = api.as('operator', role('operator', mine))
  const calls = [
    ['GET', '', undefined, 200, 200],
    ['PUT', '', { name: 'a' }, 403, 200],
    ['PATCH', '', {}, 403, 200],
    ['PUT', '/scale', { replicas: 1 }, 403, 202],
    ['POST', '/stop', undefined, 403, 202],
    ['POST', '/start', undefined, 403, 409],
    ['POST', '/restart', undefined, 403, 409],
    ['DELETE', '', undefined, 403, 204],
  ] as const
  for (const [method, path, body, asViewer, asOperator] of calls) {
    const title = `${method} ${path}`
    t.equal((await viewer(method, `/v1/services/${own}${path}`, body)).status, asViewer, title)
    t.equal((await operator(method, `/v1/services/${own}${path}`, body)).status, asOperator, title)
    const hidden = await operator(method, `/v1/services/${foreign}${path}`, body)
    const absent = await operator(method, `/v1/services/absent${path}`, body)
    t.equal(hidden.status, 404, title)
    t.same({ ...hidden.body, request_id: '' }, { ...absent.body, request_id: '' }, title)
  }
  const hidden = await operator('POST', '/v1/services', { name: 'x', project_id: other })
  const absent = await operator('POST', '/v1/services', { name: 'x', project_id: 'absent' })
  t.equal(hidden.status, 404)
  const shown = ({ body }: typeof hidden, id: string) =>
    JSON.stringify({ ...body, request_id: '' }).replace(id, 'ID')
  t.equal(shown(hidden, other), shown(absent, 'absent'), 'that it exists does not show')
  t.equal((await viewer('POST', '/v1/services', { name: 'x', project_id: mine })).status, 403)
  t.equal((await operator('POST', '/v1/services', { name: 'x', project_id: mine })).status, 201)
  const unnamed = await operator('POST', '/v1/services', { name: 'x' })
  t.equal(unnamed.status, 400, 'the project default is not theirs')
  t.equal(unnamed.body.details?.[0]?.field, 'project_id')
})

test('lists hold what the caller may see, by project and by page', async (t) => {
  const api = await openServiceApi(t)
  const [mine, other] = [await api.addProject('mine'), await api.addProject('other')]
  for (const name of ['a', 'b', 'c']) await api.addService(name, { project_id: mine })
  await api.addService('d', { project_id: other })
  const call = api.as('viewer', role('viewer', mine))
  const names = (list: Record<string, unknown>[]): unknown[] => list.map((each) => each['name'])
  t.same(names((await call('GET', '/v1/services')).list), ['c', 'b', 'a'])
  t.same(names((await api.root('GET', '/v1/services')).list), ['d', 'c', 'b', 'a'])
  t.same(names((await api.root('GET', `/v1/services?project_id=${other}`)).list), ['d'])
  t.equal((await call('GET', `/v1/services?project_id=${other}`)).status, 404)
  t.equal((await api.root('GET', '/v1/services?colour=red')).status, 400)
  const first = await call('GET', `/v1/services?project_id=${mine}&limit=2`)
  t.same(names(first.list), ['c', 'b'])
  const next = /<([^>]+)>; rel="next"/.exec(String(first.headers['link']))?.[1] ?? ''
  const second = await call('GET', next)
  t.same(names(second.list), ['a'])
  t.notOk(second.headers['link'])
})

test('workloads are one short row a service', async (t) => {
  const api = await openServiceApi(t)
  const mine = await api.addProject('mine')
  const id = await api.addService('web', { project_id: mine, replicas: 2, env: { A: 'canary' } })
  await api.addService('else')
  api.setLive(id)
  api.observed.set(id, { ...NOTHING_OBSERVED, healthy: 1, total: 2 })
  const { status, list, text } = await api.as('viewer', role('viewer', mine))('GET', '/v1/workloads')
  t.equal(status, 200)
  t.same(list, [
    {
      service_id: id,
      project_id: mine,
      project_name: 'mine',
      name: 'web',
      status: 'Degraded',
      status_reason: null,
      replicas: 2,
      healthy_replicas: 1,
      url: 'http://web.mine.localhost:8080/',
    },
  ])
  t.notMatch(text, 'canary')
})
