import { test } from 'tap'
import { BERTH_ITSELF } from '../../../src/modules/identity/context.ts'
import { movableSystem, openIdentityApi } from '../../support/identity-api.ts'

type Api = Awaited<ReturnType<typeof openIdentityApi>>

async function mint(api: Api, maker: string, body: object): Promise<{ id: string; token: string }> {
  const answer = await api.send(maker, 'POST', '/v1/api-tokens', { name: 'ci', ...body })
  if (answer.status !== 201) throw new Error(answer.text)
  return { id: String(answer.body['id']), token: String(answer.body['token']) }
}

test('a token is shown once and kept as a hash', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const { token } = await mint(api, root, {})
  t.match(token, /^bth_pat_[\w-]{43}$/)
  const listed = await api.send(root, 'GET', '/v1/api-tokens')
  t.match(listed.list[0], { name: 'ci', prefix: token.slice(0, 14), last_used_at: null, expires_at: null })
  t.notOk(listed.text.includes(token))
  t.equal((await api.send(token, 'GET', '/v1/me')).status, 200)
  t.ok((await api.send(root, 'GET', '/v1/api-tokens')).list[0]?.['last_used_at'])
  const stored = JSON.stringify(api.database.all('SELECT * FROM api_tokens'))
  t.notOk(stored.includes(token.slice(20)))
})

test('a token can do at most what it was made for, what its maker may, and what its user may now', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const shop = api.addProject('shop')
  const blog = api.addProject('blog')
  const alice = await api.addUser(root, 'alice', { [shop]: 'admin', [blog]: 'viewer' })

  const lacking = await api.send(alice.session, 'POST', '/v1/api-tokens', {
    name: 'x',
    permissions: ['services.write'],
    project_ids: [shop, blog],
  })
  t.equal(lacking.status, 403)
  t.equal(lacking.body['permission'], 'services.write', 'she lacks it in one of the projects')
  const foreign = await api.send(alice.session, 'POST', '/v1/api-tokens', {
    name: 'x',
    project_ids: [api.addProject('other')],
  })
  t.equal(foreign.status, 400)

  const narrow = await mint(api, alice.session, { permissions: ['projects.read'], project_ids: [shop] })
  const check = async (permission: string, project_id: string) =>
    (await api.send(narrow.token, 'POST', '/v1/authorization/check', { permission, project_id })).body
  t.match(await check('projects.read', shop), { allowed: true, reason: null })
  t.match(await check('services.write', shop), {
    allowed: false,
    reason: 'FORBIDDEN',
    permission: 'services.write',
  })
  t.match(await check('projects.read', blog), { allowed: false, reason: 'NOT_FOUND' })
  t.equal(
    (await api.send(narrow.token, 'GET', `/v1/projects/${blog}/members`)).status,
    404,
    'as if it did not exist',
  )
  t.equal((await api.send(narrow.token, 'GET', `/v1/projects/${shop}/members`)).status, 200)

  await api
    .send(root, 'POST', `/v1/projects/${shop}/members`, { user_id: alice.id, role: 'viewer' })
    .then((answer) => t.equal(answer.body.error, 'LAST_ADMIN'))
  const bob = await api.addUser(root, 'bob', { [shop]: 'admin' })
  t.equal((await api.send(bob.session, 'DELETE', `/v1/projects/${shop}/members/${alice.id}`)).status, 204)
  t.equal(
    (await api.send(narrow.token, 'GET', `/v1/projects/${shop}/members`)).status,
    404,
    'her own loss is the token’s',
  )
})

test('a narrowed token of a super-admin has no node-wide powers', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const shop = api.addProject('shop')
  const whole = await mint(api, root, {})
  const narrow = await mint(api, root, { project_ids: [shop] })
  t.equal((await api.send(whole.token, 'GET', '/v1/users')).status, 200)
  t.equal((await api.send(narrow.token, 'GET', '/v1/users')).status, 403)
  t.equal((await api.send(narrow.token, 'GET', `/v1/projects/${shop}/members`)).status, 200)
})

test('some things need a session', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const shop = api.addProject('shop')
  const alice = await api.addUser(root, 'alice')
  const { token } = await mint(api, root, {})
  const attempts = [
    ['POST', '/v1/users', { username: 'eve', password: 'a long enough password' }],
    ['PUT', `/v1/users/${alice.id}`, { is_super_admin: true }],
    ['DELETE', `/v1/users/${alice.id}`],
    ['POST', '/v1/roles', { name: 'x', permissions: [] }],
    ['POST', `/v1/projects/${shop}/members`, { user_id: alice.id, role: 'viewer' }],
    ['PUT', '/v1/me/password', { current: 'x', new: 'a long enough password' }],
    ['DELETE', '/v1/auth/sessions'],
    ['POST', '/v1/auth/logout'],
  ] as const
  for (const [method, url, body] of attempts) {
    const answer = await api.send(token, method, url, body)
    t.equal(answer.status, 403, `${method} ${url}`)
    t.equal(answer.body.error, 'SESSION_REQUIRED', `${method} ${url}`)
  }
})

test('a token makes tokens only with tokens.mint, never wider or longer than itself', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const shop = api.addProject('shop')
  const alice = await api.addUser(root, 'alice', { [shop]: 'operator' })
  const plain = await mint(api, alice.session, {})
  const refused = await api.send(plain.token, 'POST', '/v1/api-tokens', { name: 'child' })
  t.equal(refused.body.error, 'SESSION_REQUIRED')

  const end = new Date(api.system.now() + 3600_000).toISOString()
  const parent = await mint(api, root, {
    permissions: ['tokens.mint', 'logs.read'],
    project_ids: [shop],
    expires_at: end,
  })
  const child = await api.send(parent.token, 'POST', '/v1/api-tokens', { name: 'child' })
  t.match(child.body, { permissions: ['tokens.mint', 'logs.read'], project_ids: [shop], expires_at: end })
  const wider = await api.send(parent.token, 'POST', '/v1/api-tokens', {
    name: 'x',
    permissions: ['services.write'],
  })
  t.equal(wider.body['permission'], 'services.write')
  const elsewhere = await api.send(parent.token, 'POST', '/v1/api-tokens', {
    name: 'x',
    project_ids: [api.addProject('b')],
  })
  t.equal(elsewhere.status, 400)

  const token = String(child.body['token'])
  t.equal((await api.send(token, 'GET', '/v1/me')).status, 200)
  t.equal((await api.send(root, 'DELETE', `/v1/api-tokens/${parent.id}`)).status, 204)
  t.equal((await api.send(token, 'GET', '/v1/me')).status, 401, 'what a revoked token made ends with it')
})

test('a token ends at its time', async (t) => {
  const system = movableSystem()
  const api = await openIdentityApi(t, { system })
  const root = await api.bootstrap()
  const past = await api.send(root, 'POST', '/v1/api-tokens', {
    name: 'x',
    expires_at: '2020-01-01T00:00:00Z',
  })
  t.equal(past.body.details?.[0]?.field, 'expires_at')
  const { token } = await mint(api, root, { expires_at: new Date(system.now() + 60_000).toISOString() })
  t.equal((await api.send(token, 'GET', '/v1/me')).status, 200)
  system.advance(60_001)
  t.equal((await api.send(token, 'GET', '/v1/me')).status, 401)
})

test('a child never outlives its parent, however its end is written', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const end = new Date(api.system.now() + 60_000).toISOString()
  const parent = await mint(api, root, { expires_at: end, permissions: ['tokens.mint'] })
  const child = (expires_at: string) =>
    api.send(parent.token, 'POST', '/v1/api-tokens', { name: 'child', expires_at })
  for (const later of ['9999-12-31T23:59:59Z', '2999-01-01T00:00:00+14:00'])
    t.match((await child(later)).body, { expires_at: end }, later)
  for (const beyond of ['9999-12-31T23:59:59-01:00', '2999-12-31T23:59:60Z']) {
    const refused = await child(beyond)
    t.equal(refused.status, 400, beyond)
    t.equal(refused.body.details?.[0]?.field, 'expires_at')
  }
})

test('expired tokens do not count, are shown for a week and then are gone', async (t) => {
  const system = movableSystem()
  const api = await openIdentityApi(t, { system })
  const root = await api.bootstrap()
  const expires_at = new Date(system.now() + 60_000).toISOString()
  for (let n = 0; n < 200; n += 1) await mint(api, root, { expires_at })
  const refused = await api.send(root, 'POST', '/v1/api-tokens', { name: 'one more' })
  t.equal(refused.body.error, 'POLICY_REFUSED')
  system.advance(60_000)
  const lasting = await mint(api, root, { name: 'lasting' })
  const names = async () =>
    (await api.send(lasting.token, 'GET', '/v1/api-tokens')).list.map(({ name }) => name)
  t.equal((await names()).length, 51, 'not all of those that are over')
  api.identity.removeExpired()
  t.equal((await names()).length, 51)
  system.advance(7 * 86_400_000)
  api.identity.removeExpired()
  t.same(await names(), ['lasting'])
})

test('people revoke their own tokens, super-admins everyone’s, a token itself', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const alice = await api.addUser(root, 'alice')
  const bob = await api.addUser(root, 'bob')
  const first = await mint(api, alice.session, {})
  const second = await mint(api, alice.session, {})
  const third = await mint(api, alice.session, {})
  t.equal((await api.send(bob.session, 'DELETE', `/v1/api-tokens/${first.id}`)).status, 404)
  t.equal(
    (await api.send(first.token, 'DELETE', `/v1/api-tokens/${second.id}`)).body.error,
    'SESSION_REQUIRED',
  )
  t.equal((await api.send(first.token, 'DELETE', `/v1/api-tokens/${first.id}`)).status, 204)
  t.equal((await api.send(root, 'DELETE', `/v1/api-tokens/${second.id}`)).status, 204)
  t.equal((await api.send(alice.session, 'DELETE', `/v1/api-tokens/${third.id}`)).status, 204)
  t.same((await api.send(alice.session, 'GET', '/v1/api-tokens')).list, [])
  await mint(api, bob.session, {})
  t.equal((await api.send(alice.session, 'GET', '/v1/api-tokens?everyone=true')).status, 403)
  t.equal((await api.send(root, 'GET', '/v1/api-tokens?everyone=true')).list.length, 1)
  t.same((await api.send(root, 'GET', '/v1/api-tokens')).list, [])
})

test('a project that is deleted leaves the tokens that name it, and ends those that name no other', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const [shop, blog] = [api.addProject('shop'), api.addProject('blog')]
  const ended = await mint(api, root, { project_ids: [shop] })
  const both = await mint(api, root, { project_ids: [shop, blog] })
  const other = await mint(api, root, { project_ids: [blog] })
  const any = await mint(api, root, {})
  api.identity.tokens.forgetProject(BERTH_ITSELF, shop)
  const { list } = await api.send(root, 'GET', '/v1/api-tokens')
  t.same(
    Object.fromEntries(list.map(({ id, project_ids }) => [id, project_ids])),
    { [both.id]: [blog], [other.id]: [blog], [any.id]: null },
    'nobody may do more than before',
  )
  t.equal((await api.send(ended.token, 'GET', '/v1/me')).status, 401)
  const event = api.database.get<{ action: string; resource_id: string }>(
    "SELECT action, resource_id FROM audit_events WHERE action = 'revokeToken'",
  )
  t.same(event, { action: 'revokeToken', resource_id: ended.id })
})
