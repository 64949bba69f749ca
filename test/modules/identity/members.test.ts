import { test } from 'tap'
import { openIdentityApi } from '../../support/identity-api.ts'

test('members have a role, and a change of it acts at once', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const shop = api.addProject('shop')
  const url = `/v1/projects/${shop}/members`
  const admin = await api.addUser(root, 'admin', { [shop]: 'admin' })
  const alice = await api.addUser(root, 'alice')
  t.equal((await api.send(alice.session, 'GET', url)).status, 404, 'a stranger does not learn that it exists')
  const added = await api.send(admin.session, 'POST', url, { user_id: alice.id, role: 'viewer' })
  t.equal(added.status, 201)
  t.match(added.body, { user_id: alice.id, username: 'alice', role: 'viewer', role_name: 'viewer' })
  t.same(
    (await api.send(alice.session, 'GET', url)).list.map((member) => member['username']),
    ['admin', 'alice'],
  )
  const denied = await api.send(alice.session, 'POST', url, { user_id: alice.id, role: 'admin' })
  t.equal(denied.status, 403)
  t.equal(denied.body['permission'], 'members.write')
  const raised = await api.send(admin.session, 'POST', url, { user_id: alice.id, role: 'admin' })
  t.equal(raised.status, 200, 'a change, not an addition')
  t.equal((await api.send(alice.session, 'DELETE', `${url}/${admin.id}`)).status, 204)
  t.equal((await api.send(admin.session, 'GET', url)).status, 404)
  const me = await api.send(alice.session, 'GET', '/v1/me')
  t.match(me.body['memberships'], [
    { project_id: shop, project_name: 'shop', role: 'admin', role_name: 'admin' },
  ])
})

test('a project keeps an admin', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const shop = api.addProject('shop')
  const alice = await api.addUser(root, 'alice', { [shop]: 'admin' })
  const url = `/v1/projects/${shop}/members`
  t.equal((await api.send(root, 'DELETE', `${url}/${alice.id}`)).body.error, 'LAST_ADMIN')
  t.equal((await api.send(root, 'POST', url, { user_id: alice.id, role: 'viewer' })).body.error, 'LAST_ADMIN')
  const gone = await api.send(root, 'DELETE', `/v1/users/${alice.id}`)
  t.equal(gone.status, 409)
  t.match(gone.body.details?.[0]?.message, /shop/)
  await api.addUser(root, 'bob', { [shop]: 'admin' })
  t.equal((await api.send(root, 'DELETE', `/v1/users/${alice.id}`)).status, 204)
  t.equal((await api.send(alice.session, 'GET', '/v1/me')).status, 401)
})

test('what is not there is named', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const shop = api.addProject('shop')
  const alice = await api.addUser(root, 'alice')
  const url = `/v1/projects/${shop}/members`
  const noUser = await api.send(root, 'POST', url, { user_id: 'nobody', role: 'viewer' })
  t.equal(noUser.body.details?.[0]?.field, 'user_id')
  const noRole = await api.send(root, 'POST', url, { user_id: alice.id, role: 'emperor' })
  t.equal(noRole.body.details?.[0]?.field, 'role')
  t.equal((await api.send(root, 'DELETE', `${url}/${alice.id}`)).status, 404)
  t.equal((await api.send(root, 'GET', '/v1/projects/0/members')).status, 404)
})

test('a custom role bundles permissions, and nobody gives a role that may more than they do', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const shop = api.addProject('shop')
  const url = `/v1/projects/${shop}/members`
  const made = await api.send(root, 'POST', '/v1/roles', {
    name: 'people',
    description: 'Looks after members',
    permissions: ['projects.read', 'members.write'],
  })
  t.equal(made.status, 201)
  t.match(made.body, { name: 'people', built_in: false })
  const role = String(made.body['id'])
  const admin = await api.addUser(root, 'admin', { [shop]: 'admin' })
  const alice = await api.addUser(root, 'alice', { [shop]: role })
  const bob = await api.addUser(root, 'bob')

  t.equal((await api.send(alice.session, 'POST', url, { user_id: bob.id, role })).status, 201)
  const up = await api.send(alice.session, 'POST', url, { user_id: alice.id, role: 'admin' })
  t.equal(up.status, 403, 'not even to herself')
  t.equal(
    (await api.send(alice.session, 'DELETE', `${url}/${admin.id}`)).status,
    403,
    'nor does she take one',
  )
  t.equal((await api.send(alice.session, 'GET', '/v1/users/directory')).list.length, 4)

  const narrowed = await api.send(root, 'PUT', `/v1/roles/${role}`, { permissions: ['projects.read'] })
  t.equal(narrowed.status, 200)
  t.equal(
    (await api.send(alice.session, 'DELETE', `${url}/${bob.id}`)).status,
    403,
    'the change acts at once',
  )
  const inUse = await api.send(root, 'DELETE', `/v1/roles/${role}`)
  t.equal(inUse.status, 409)
  for (const each of [alice, bob]) t.equal((await api.send(root, 'DELETE', `${url}/${each.id}`)).status, 204)
  t.equal((await api.send(root, 'DELETE', `/v1/roles/${role}`)).status, 204)
})

test('built-in roles are fixed and their names taken', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const alice = await api.addUser(root, 'alice')
  const roles = await api.send(alice.session, 'GET', '/v1/roles')
  t.same(
    roles.list.map((role) => [role['id'], role['built_in']]),
    [
      ['viewer', true],
      ['operator', true],
      ['admin', true],
    ],
  )
  t.equal((await api.send(root, 'PUT', '/v1/roles/admin', { permissions: [] })).body.error, 'CONFLICT')
  t.equal((await api.send(root, 'DELETE', '/v1/roles/viewer')).status, 409)
  t.equal(
    (await api.send(root, 'POST', '/v1/roles', { name: 'admin', permissions: [] })).body.error,
    'NAME_TAKEN',
  )
  t.equal((await api.send(alice.session, 'POST', '/v1/roles', { name: 'x', permissions: [] })).status, 403)
  const unknown = await api.send(root, 'POST', '/v1/roles', { name: 'x', permissions: ['everything'] })
  t.equal(unknown.body.details?.[0]?.field, 'permissions.0')
  t.equal((await api.send(root, 'PUT', '/v1/roles/nothing', { name: 'x' })).status, 404)
  const catalogue = await api.send(alice.session, 'GET', '/v1/permissions')
  t.ok(catalogue.list.some((entry) => entry['name'] === 'services.write' && entry['description'] !== ''))
})

test('roles are listed page by page', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  for (const name of ['a', 'b', 'c']) await api.send(root, 'POST', '/v1/roles', { name, permissions: [] })
  const seen: unknown[] = []
  let url = '/v1/roles?limit=2'
  for (;;) {
    const page = await api.send(root, 'GET', url)
    t.ok(page.list.length <= 2)
    seen.push(...page.list.map((role) => role['name']))
    const next = /<([^>]+)>; rel="next"/.exec(String(page.headers['link'] ?? ''))?.[1]
    if (next === undefined) break
    url = next
  }
  t.same(seen, ['viewer', 'operator', 'admin', 'c', 'b', 'a'])
})

test('the check answers what the routes would', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const shop = api.addProject('shop')
  const other = api.addProject('other')
  const alice = await api.addUser(root, 'alice', { [shop]: 'viewer' })
  const check = async (body: object) =>
    (await api.send(alice.session, 'POST', '/v1/authorization/check', body)).body
  const requests = [
    ['GET', `/v1/projects/${shop}/members`],
    ['POST', `/v1/projects/${shop}/members`],
    ['GET', `/v1/projects/${other}/members?limit=1`],
    ['GET', '/v1/users'],
    ['GET', '/v1/users/directory'],
    ['GET', '/v1/me'],
    ['PATCH', '/v1/me'],
    ['GET', '/v1/nowhere'],
  ] as const
  for (const [method, path] of requests) {
    const said = await check({ method, path })
    const answer = await api.send(alice.session, method, path)
    const refused = [401, 403, 404, 405].includes(answer.status)
    t.equal(said['allowed'], !refused, `${method} ${path}`)
    if (refused) t.equal(said['reason'], answer.body.error, `${method} ${path}`)
  }
  t.match(await check({ permission: 'projects.read' }), { allowed: true })
  t.match(await check({ permission: 'projects.write', project_id: shop }), {
    allowed: false,
    reason: 'FORBIDDEN',
  })
  t.match(await check({ permission: 'projects.read', project_id: 'nothing' }), { reason: 'NOT_FOUND' })
  t.equal((await check({})).error, 'VALIDATION_ERROR')
  t.equal((await check({ permission: 'projects.read', path: '/v1/me' })).error, 'VALIDATION_ERROR')
  const me = await api.send(alice.session, 'GET', '/v1/authorization/me')
  t.match(me.body, { is_super_admin: false, projects: [{ project_id: shop }] })
})
