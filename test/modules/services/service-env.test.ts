import { test } from 'tap'
import { openServiceApi, role } from './service-api.ts'

const REDACTED = '***redacted***'
const KIB = 1024

test('variables are taken as an object and as pairs, and come back as they were', async (t) => {
  const api = await openServiceApi(t)
  const values = {
    A: '1',
    _b2: '',
    LINES: 'a\nb',
    KEY: '\u{1f511}',
    sops: 'x',
    constructor: 'y',
    revision: '7',
  }
  for (const [index, env] of [values, Object.entries(values)].entries()) {
    const id = await api.addService(`s${index}`, { env })
    t.same((await api.root('GET', `/v1/services/${id}`)).body['env'], values)
    t.same((await api.root('GET', `/v1/services/${id}/env`)).body, values)
  }
})

const many = (count: number, value = 'x'): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`N${index}`, value]))

const BAD: [what: string, env: unknown, field: string][] = [
  ['a name with a hyphen', { 'A-B': 'x' }, 'env.A-B'],
  ['a name that begins with a digit', { '1A': 'x' }, 'env.1A'],
  ['an empty name', { '': 'x' }, 'env.'],
  ['a name with an equals sign', { 'A=B': 'x' }, 'env.A=B'],
  ['a name with a line feed at its end', { 'A\n': 'x' }, 'env.A\n'],
  ['a name of 256 characters', { ['A'.repeat(256)]: 'x' }, `env.${'A'.repeat(196)}`],
  ['a number as value', { A: 1 }, 'env.A'],
  ['null as value', { A: null }, 'env.A'],
  ['an object as value', { A: {} }, 'env.A'],
  ['a NUL', { A: 'a\0b' }, 'env.A'],
  ['half a surrogate pair', { A: '\ud800' }, 'env.A'],
  ['a value of more than 64 KiB', { A: 'x'.repeat(64 * KIB + 1) }, 'env.A'],
  ['501 names', many(501), 'env'],
  ['more than 512 KiB in all', many(9, 'x'.repeat(60 * KIB)), 'env'],
  ['a pair of one', [['A']], 'env.0'],
  ['a pair of three', [['A', 'b', 'c']], 'env.0'],
  ['a pair with a number as name', [[1, 'b']], 'env.0'],
  [
    'a name given twice',
    [
      ['A', '1'],
      ['A', '2'],
    ],
    'env.A',
  ],
  ['the prototype as a name', [['__proto__', 'x']], 'env.__proto__'],
  ['text', 'A=b', 'env'],
  ['another PORT than internal_port', { PORT: '3000' }, 'env.PORT'],
]

for (const [what, env, field] of BAD) {
  test(`env with ${what} is refused, by name and without any value`, async (t) => {
    const api = await openServiceApi(t)
    const answer = await api.root('POST', '/v1/services', { name: 'web', env })
    t.equal(answer.status, 400)
    t.equal(answer.body.error, 'VALIDATION_ERROR')
    t.match(answer.body.details?.[0]?.field, field)
    t.ok(answer.text.length < 2000)
    t.same((await api.root('GET', '/v1/services')).list, [])
  })
}

test('env at its bounds is taken', async (t) => {
  const api = await openServiceApi(t)
  for (const [index, env] of [
    many(500),
    { ['A'.repeat(255)]: 'x' },
    { A: 'x'.repeat(64 * KIB) },
    many(8, 'x'.repeat(63 * KIB)),
  ].entries()) {
    const id = await api.addService(`s${index}`, { env })
    t.same((await api.root('GET', `/v1/services/${id}/env`)).body, env)
  }
})

test('PORT may be sent when it is internal_port, and is not kept', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web', { internal_port: 3000, env: { PORT: '3000', A: 'x' } })
  const url = `/v1/services/${id}`
  t.same((await api.root('GET', `${url}/env`)).body, { A: 'x' })
  t.equal((await api.root('PUT', `${url}/env`, { PORT: '3000' })).status, 200)
  t.equal((await api.root('PUT', `${url}/env`, { PORT: '3001' })).body.details?.[0]?.field, 'env.PORT')
  t.equal(
    (await api.root('PATCH', `${url}/env`, { set: { PORT: '3001' } })).body.details?.[0]?.field,
    'set.PORT',
  )
  t.equal((await api.root('PATCH', url, { env: { PORT: '3001' }, internal_port: 3001 })).status, 200)
  t.equal((await api.root('PATCH', url, { env: { PORT: '3000' } })).status, 400)
  t.equal((await api.root('PATCH', url, { env: { PORT: '3001' }, internal_port: null })).status, 400)
})

test('PUT replaces all variables and PATCH single ones', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web', { env: { A: '1', B: '2' } })
  const url = `/v1/services/${id}/env`
  const patched = await api.root('PATCH', url, { set: { C: '3', A: '9' }, unset: ['B', 'ABSENT'] })
  t.equal(patched.status, 200)
  t.same(patched.body, { A: '9', C: '3' })
  t.same(api.audited.at(-1)?.details, { name: 'web', env_set: ['C', 'A'], env_unset: ['B', 'ABSENT'] })
  t.same((await api.root('PATCH', url, {})).body, { A: '9', C: '3' })
  t.same((await api.root('PUT', url, { D: '4' })).body, { D: '4' })
  t.same(api.audited.at(-1)?.details, { name: 'web', env_set: ['D'], env_unset: ['A', 'C'] })
  t.same((await api.root('PUT', url, [['E', '5']])).body, { E: '5' })
  t.same((await api.root('PUT', url, {})).body, {})
  t.equal(api.store.find(id)?.env_sealed, null)
})

test('a PATCH of variables is refused as a whole when it makes no sense', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web', { env: many(499) })
  const url = `/v1/services/${id}/env`
  t.equal(
    (await api.root('PATCH', url, { set: { A: '1' }, unset: ['A'] })).body.details?.[0]?.field,
    'unset.A',
  )
  t.equal((await api.root('PATCH', url, { set: { A: '1', B: '2' } })).status, 400)
  t.equal((await api.root('PATCH', url, { set: { A: '1', B: '2' }, unset: ['N0'] })).status, 200)
  t.equal((await api.root('PATCH', url, { put: {} })).body.details?.[0]?.field, 'put')
  t.equal((await api.root('PATCH', url, { unset: 'A' })).body.details?.[0]?.field, 'unset')
})

test('changes of single variables at the same time all hold', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web', { env: { BASE: 'x' } })
  const answers = await Promise.all(
    Array.from({ length: 5 }, (_, index) =>
      api.root('PATCH', `/v1/services/${id}/env`, { set: { [`N${index}`]: 'y' } }),
    ),
  )
  t.same(
    answers.map((answer) => answer.status),
    [200, 200, 200, 200, 200],
  )
  t.same(Object.keys((await api.root('GET', `/v1/services/${id}/env`)).body).toSorted(), [
    'BASE',
    'N0',
    'N1',
    'N2',
    'N3',
    'N4',
  ])
})

test('values are shown from operator on and redacted below; lists never hold them', async (t) => {
  const api = await openServiceApi(t)
  const project = await api.addProject('shop')
  const id = await api.addService('web', { project_id: project, env: { SECRET: 'canary-f00d' } })
  const viewer = api.as('viewer', role('viewer', project))
  t.same((await viewer('GET', `/v1/services/${id}`)).body['env'], { SECRET: REDACTED })
  const refused = await viewer('GET', `/v1/services/${id}/env`)
  t.equal(refused.status, 403)
  t.equal(refused.body['permission'], 'env.read')
  t.equal((await viewer('PUT', `/v1/services/${id}/env`, {})).status, 403)
  t.equal((await viewer('PATCH', `/v1/services/${id}/env`, {})).status, 403)
  const operator = api.as('operator', role('operator', project))
  t.same((await operator('GET', `/v1/services/${id}/env`)).body, { SECRET: 'canary-f00d' })
  const { list, text } = await operator('GET', '/v1/services')
  t.same(list[0]?.['env'], { SECRET: REDACTED })
  t.notMatch(text, 'canary-f00d')
  t.equal(
    (await api.as('other', role('admin', api.defaultProject))('GET', `/v1/services/${id}/env`)).status,
    404,
  )
})

test('who may change services but not variables leaves them as they are', async (t) => {
  const api = await openServiceApi(t)
  const project = await api.addProject('shop')
  const id = await api.addService('web', { project_id: project, env: { A: 'canary' } })
  const call = api.as('half', { [project]: ['services.read', 'services.write'] })
  const changed = await call('PUT', `/v1/services/${id}`, { name: 'web', replicas: 2 })
  t.equal(changed.status, 200)
  t.same(changed.body['env'], { A: REDACTED })
  for (const answer of [
    await call('PUT', `/v1/services/${id}`, { name: 'web', env: {} }),
    await call('PATCH', `/v1/services/${id}`, { env: { A: 'b' } }),
    await call('POST', '/v1/services', { name: 'new', project_id: project, env: { A: 'b' } }),
  ]) {
    t.equal(answer.status, 403)
    t.equal(answer.body['permission'], 'env.write')
  }
  t.same((await api.root('GET', `/v1/services/${id}/env`)).body, { A: 'canary' })
})

test('a redacted value that is sent back is refused everywhere, by name', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web', { env: { A: 'canary' } })
  const env = { A: `x${REDACTED}` }
  for (const [answer, field] of [
    [await api.root('POST', '/v1/services', { name: 'new', env }), 'env.A'],
    [await api.root('PUT', `/v1/services/${id}`, { name: 'web', env }), 'env.A'],
    [await api.root('PATCH', `/v1/services/${id}`, { env }), 'env.A'],
    [await api.root('PUT', `/v1/services/${id}/env`, env), 'env.A'],
    [await api.root('PATCH', `/v1/services/${id}/env`, { set: env }), 'set.A'],
  ] as const) {
    t.equal(answer.status, 400)
    t.equal(answer.body.error, 'REDACTED_VALUE')
    t.equal(answer.body.details?.[0]?.field, field)
  }
  t.same((await api.root('GET', `/v1/services/${id}/env`)).body, { A: 'canary' })
})

test('a value is found in no page of the database, no log and no audit event in the clear', async (t) => {
  const api = await openServiceApi(t)
  const canary = 'canary-5e1f-9a77'
  const id = await api.addService('web', { env: { A: canary } })
  await api.root('PATCH', `/v1/services/${id}/env`, { set: { B: canary } })
  await api.root('PUT', `/v1/services/${id}/env`, { C: canary, 'BAD-NAME': canary })
  await api.root('POST', '/v1/services', { name: 'web', env: { A: canary } })
  await api.root('POST', '/v1/projects', { name: 'shop', shared_env: { A: canary } })
  t.match(api.store.find(id)?.env_sealed, /"A":"ENC\[/)
  t.ok(api.bytesOnDisk().includes('ENC['), 'the bytes that are searched are those of the database')
  for (const text of [api.bytesOnDisk(), api.log(), JSON.stringify(api.audited)]) {
    t.notOk(text.includes(canary))
  }
})

test('sealed variables that were tampered with are an internal error with nothing said', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web', { env: { A: '1', B: '2' } })
  api.database.run(`UPDATE services SET env_sealed = json_remove(env_sealed, '$.values.A') WHERE id = $id`, {
    id,
  })
  const answer = await api.root('GET', `/v1/services/${id}/env`)
  t.equal(answer.status, 500)
  t.equal(answer.body.error, 'INTERNAL')
  t.notMatch(answer.text, /sealed|name/)
  t.match(api.log(), 'a name was added or is missing')
})

test('the tag of the service guards its variables', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('web', { env: { A: '1' } })
  const url = `/v1/services/${id}/env`
  const tag = String((await api.root('GET', url)).headers['etag'])
  t.equal((await api.root('PATCH', url, { set: { A: '2' } }, { 'if-match': tag })).status, 200)
  for (const answer of [
    await api.root('PATCH', url, { set: { A: '3' } }, { 'if-match': tag }),
    await api.root('PUT', url, { A: '3' }, { 'if-match': tag }),
  ]) {
    t.equal(answer.status, 412)
    t.equal(answer.body.error, 'PRECONDITION_FAILED')
  }
  t.same((await api.root('GET', url)).body, { A: '2' })
})
