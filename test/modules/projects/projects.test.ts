import { test } from 'tap'
import { createProjectStore } from '../../../src/modules/projects/project-store.ts'
import { openServiceApi, role } from '../services/service-api.ts'

const REDACTED = '***redacted***'
const MIB = 1024 ** 2

test('a new node has the project default, and gets no second one', async (t) => {
  const api = await openServiceApi(t)
  api.projects.ensureDefaultProject({
    actor: { via: 'system', user_id: null, token_id: null, name: 'berth' },
    request_id: null,
    client_address: null,
  })
  const { list } = await api.root('GET', '/v1/projects')
  t.same(
    list.map((project) => project['name']),
    ['default'],
  )
  t.equal(api.audited[0]?.action, 'createProject')
})

test('a project is created with all its fields', async (t) => {
  const api = await openServiceApi(t)
  const sent = {
    name: 'shop',
    description: 'The shop',
    shared_env: { REGION: 'north' },
    default_resource_limits: { cpu_millis: 250, memory_bytes: 64 * MIB, pids: null },
  }
  const created = await api.root('POST', '/v1/projects', sent)
  t.equal(created.status, 201)
  const { id, created_at, updated_at, ...rest } = created.body
  t.same(rest, { ...sent, default_resource_limits: { cpu_millis: 250, memory_bytes: 64 * MIB } })
  t.match(id, /^[0-9a-f-]{36}$/)
  t.equal(created_at, updated_at)
  const got = await api.root('GET', `/v1/projects/${String(id)}`)
  t.same(got.body, created.body)
  t.same(api.audited.at(-1), {
    action: 'createProject',
    resource_kind: 'project',
    resource_id: id,
    project_id: id,
    details: { name: 'shop', env_names: ['REGION'] },
  })
})

const BAD: [what: string, body: unknown, field: string | undefined][] = [
  ['no name', {}, 'name'],
  ['an upper-case name', { name: 'Shop' }, 'name'],
  ['a name with a dot', { name: 'a.b' }, 'name'],
  ['a name that ends with a hyphen', { name: 'a-' }, 'name'],
  ['a name of 41 characters', { name: 'a'.repeat(41) }, 'name'],
  ['a name with a line feed at its end', { name: 'a\n' }, 'name'],
  ['an unknown field', { name: 'a', colour: 'red' }, 'colour'],
  ['a long description', { name: 'a', description: 'x'.repeat(1001) }, 'description'],
  ['shared_env that is text', { name: 'a', shared_env: 'A=b' }, 'shared_env'],
  ['a bad name in shared_env', { name: 'a', shared_env: { '1A': 'b' } }, 'shared_env.1A'],
  ['PORT in shared_env', { name: 'a', shared_env: { PORT: '80' } }, 'shared_env.PORT'],
  [
    'too little CPU',
    { name: 'a', default_resource_limits: { cpu_millis: 9 } },
    'default_resource_limits.cpu_millis',
  ],
  ['an unknown limit', { name: 'a', default_resource_limits: { disk: 9 } }, 'default_resource_limits.disk'],
  ['an array', [], undefined],
]

for (const [what, body, field] of BAD) {
  test(`a project with ${what} is refused and named`, async (t) => {
    const api = await openServiceApi(t)
    const answer = await api.root('POST', '/v1/projects', body)
    t.equal(answer.status, 400)
    t.equal(answer.body.error, 'VALIDATION_ERROR')
    t.equal(answer.body.details?.[0]?.field, field)
  })
}

test('a name of one and of 40 characters is taken, the same name twice is not', async (t) => {
  const api = await openServiceApi(t)
  t.equal((await api.root('POST', '/v1/projects', { name: 'a' })).status, 201)
  t.equal((await api.root('POST', '/v1/projects', { name: 'b'.repeat(40) })).status, 201)
  const twice = await api.root('POST', '/v1/projects', { name: 'a' })
  t.equal(twice.status, 409)
  t.equal(twice.body.error, 'NAME_TAKEN')
})

test('replacing keeps name and shared_env that are left out, and resets the rest', async (t) => {
  const api = await openServiceApi(t)
  const created = await api.root('POST', '/v1/projects', {
    name: 'shop',
    description: 'old',
    shared_env: { A: '1' },
    default_resource_limits: { cpu_millis: 250 },
  })
  const path = `/v1/projects/${String(created.body['id'])}`
  const kept = await api.root('PUT', path, {})
  t.equal(kept.status, 200)
  t.match(kept.body, { name: 'shop', description: '', shared_env: { A: '1' }, default_resource_limits: null })
  const changed = await api.root('PUT', path, { name: 'store', shared_env: [['B', '2']] })
  t.match(changed.body, { name: 'store', shared_env: { B: '2' } })
  t.notOk('A' in (changed.body['shared_env'] as object))
  t.same(api.audited.at(-1)?.details, { name: 'store', env_names: ['B'] })
  t.ok(api.nudged.includes(`project ${String(created.body['id'])}`))
  t.equal((await api.root('PUT', path, { name: 'default' })).body.error, 'NAME_TAKEN')
  t.equal((await api.root('PUT', path, { name: 'store' })).status, 200)
})

test('values of shared_env are redacted below operator and in lists, and a redacted value is not written', async (t) => {
  const api = await openServiceApi(t)
  const { body } = await api.root('POST', '/v1/projects', { name: 'shop', shared_env: { A: 'canary' } })
  const id = String(body['id'])
  const viewer = await api.as('v', role('viewer', id))('GET', `/v1/projects/${id}`)
  t.same(viewer.body['shared_env'], { A: REDACTED })
  const operator = await api.as('o', role('operator', id))('GET', `/v1/projects/${id}`)
  t.same(operator.body['shared_env'], { A: 'canary' })
  t.notMatch((await api.root('GET', '/v1/projects')).text, 'canary')
  const back = await api.root('PUT', `/v1/projects/${id}`, { shared_env: { A: REDACTED } })
  t.equal(back.status, 400)
  t.equal(back.body.error, 'REDACTED_VALUE')
  t.same((await api.root('GET', `/v1/projects/${id}`)).body['shared_env'], { A: 'canary' })
})

test('shared variables are read only where they are opened or named', async (t) => {
  const api = await openServiceApi(t)
  const store = createProjectStore(api.database)
  const id = await api.addProject('shop')
  api.database.run("UPDATE projects SET shared_env_sealed = 'sealed' WHERE id = $id", { id })
  for (const found of [store.find(id), store.findByName('shop'), ...store.list([id], { limit: 1 }).items]) {
    t.match(found, { id, name: 'shop' })
    t.notMatch(JSON.stringify(found), /sealed/)
  }
  t.match(store.load(id), { name: 'shop', shared_env_sealed: 'sealed' })
  t.equal(store.sealedEnvOf(id), 'sealed')
})

test('roles decide, and a project of others does not exist', async (t) => {
  const api = await openServiceApi(t)
  const [mine, other] = [await api.addProject('mine'), await api.addProject('other')]
  const [viewer, operator, admin] = (['viewer', 'operator', 'admin'] as const).map((name) =>
    api.as(name, role(name, mine)),
  )
  for (const call of [viewer, operator, admin]) {
    t.same(
      (await call?.('GET', '/v1/projects'))?.list.map((each) => each['id']),
      [mine],
    )
    t.equal((await call?.('GET', `/v1/projects/${other}`))?.status, 404)
    t.equal((await call?.('DELETE', `/v1/projects/${other}`))?.status, 404)
    t.equal((await call?.('PUT', `/v1/projects/${other}`, {}))?.status, 404)
    t.equal((await call?.('POST', '/v1/projects', { name: 'x' }))?.status, 403)
  }
  const refused = await operator?.('PUT', `/v1/projects/${mine}`, {})
  t.equal(refused?.status, 403)
  t.equal(refused?.body['permission'], 'projects.write')
  t.equal((await admin?.('PUT', `/v1/projects/${mine}`, {}))?.status, 200)
  t.equal((await viewer?.('DELETE', `/v1/projects/${mine}`))?.status, 403)
  t.equal((await admin?.('DELETE', `/v1/projects/${mine}`))?.status, 204)
})

test('who may change projects but not variables cannot replace shared_env', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addProject('mine')
  const call = api.as('half', { [id]: ['projects.read', 'projects.write'] })
  t.equal((await call('PUT', `/v1/projects/${id}`, { description: 'x' })).status, 200)
  const refused = await call('PUT', `/v1/projects/${id}`, { shared_env: {} })
  t.equal(refused.status, 403)
  t.equal(refused.body['permission'], 'env.write')
})

test('a project with services is not deleted and says what is left', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addProject('shop')
  const web = await api.addService('web', { project_id: id })
  const refused = await api.root('DELETE', `/v1/projects/${id}`)
  t.equal(refused.status, 409)
  t.equal(refused.body.error, 'NOT_EMPTY')
  t.same(refused.body.details, [{ message: 'service web' }])
  await api.root('DELETE', `/v1/services/${web}`)
  t.match((await api.root('DELETE', `/v1/projects/${id}`)).body.details, [{ message: /still being removed/ }])
  api.store.remove(web)
  t.equal((await api.root('DELETE', `/v1/projects/${id}`)).status, 204)
  t.equal((await api.root('GET', `/v1/projects/${id}`)).status, 404)
  t.equal((await api.root('DELETE', `/v1/projects/${id}`)).status, 404)
  t.ok(api.nudged.includes(`project forgotten ${id}`))
  t.ok(api.nudged.includes(`project gone ${id}`))
  t.equal(api.audited.at(-1)?.action, 'deleteProject')
})

test('projects come in pages, newest first', async (t) => {
  const api = await openServiceApi(t)
  for (const name of ['a', 'b', 'c', 'd']) await api.addProject(name)
  const names: unknown[] = []
  let url: string | undefined = '/v1/projects?limit=2'
  while (url !== undefined) {
    const answer = await api.root('GET', url)
    t.ok(answer.list.length <= 2)
    names.push(...answer.list.map((each) => each['name']))
    url = /<([^>]+)>; rel="next"/.exec(String(answer.headers['link']))?.[1]
  }
  t.same(names, ['d', 'c', 'b', 'a', 'default'])
  t.equal((await api.root('GET', '/v1/projects?cursor=nonsense')).status, 400)
})
