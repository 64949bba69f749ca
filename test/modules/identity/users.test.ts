import { test } from 'tap'
import { openIdentityApi, PASSWORD } from '../../support/identity-api.ts'

test('super-admins create, read, change and delete users', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const made = await api.send(root, 'POST', '/v1/users', { username: 'alice', password: PASSWORD })
  t.equal(made.status, 201)
  t.match(made.body, { username: 'alice', is_super_admin: false })
  t.notOk('revision' in made.body || 'password_hash' in made.body)
  const url = `/v1/users/${String(made.body['id'])}`
  t.same((await api.send(root, 'GET', url)).body, made.body)
  t.equal((await api.send(root, 'PUT', url, { is_super_admin: true })).body['is_super_admin'], true)
  t.equal((await api.send(root, 'DELETE', url)).status, 204)
  t.equal((await api.send(root, 'GET', url)).status, 404)
  t.equal((await api.send(root, 'DELETE', url)).status, 404)
})

test('names are unique whatever their case', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const taken = await api.send(root, 'POST', '/v1/users', { username: 'ROOT', password: PASSWORD })
  t.equal(taken.status, 409)
  t.equal(taken.body.error, 'NAME_TAKEN')
})

test('the last super-admin stays one', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const me = await api.send(root, 'GET', '/v1/me')
  const { id } = me.body['principal'] as { id: string }
  t.equal(
    (await api.send(root, 'PUT', `/v1/users/${id}`, { is_super_admin: false })).body.error,
    'LAST_ADMIN',
  )
  t.equal((await api.send(root, 'DELETE', `/v1/users/${id}`)).body.error, 'LAST_ADMIN')
  const alice = await api.addUser(root, 'alice')
  await api.send(root, 'PUT', `/v1/users/${alice.id}`, { is_super_admin: true })
  t.equal((await api.send(root, 'DELETE', `/v1/users/${id}`)).status, 204)
})

test('users without the right to it neither list nor make users', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const alice = await api.addUser(root, 'alice')
  for (const [method, url] of [
    ['GET', '/v1/users'],
    ['POST', '/v1/users'],
    ['GET', `/v1/users/${alice.id}`],
    ['GET', '/v1/users/directory'],
  ] as const) {
    t.equal((await api.send(alice.session, method, url)).status, 403, `${method} ${url}`)
  }
})

test('a user can be changed only as it was read, when If-Match asks for that', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const alice = await api.addUser(root, 'alice')
  const url = `/v1/users/${alice.id}`
  const read = await api.send(root, 'GET', url)
  const tag = String(read.headers['etag'])
  t.match(tag, /^"[^"]+"$/)
  const changed = await api.send(root, 'PUT', url, { is_super_admin: true }, { 'if-match': tag })
  t.equal(changed.status, 200)
  t.not(changed.headers['etag'], tag)
  const stale = await api.send(root, 'PUT', url, { is_super_admin: false }, { 'if-match': tag })
  t.equal(stale.status, 412)
  t.equal(stale.body.error, 'PRECONDITION_FAILED')
  t.equal((await api.send(root, 'DELETE', url, undefined, { 'if-match': tag })).status, 412)
  t.equal((await api.send(root, 'DELETE', url, undefined, { 'if-match': '"x", *' })).status, 204)
})

test('a password reset ends the sessions of the user', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const alice = await api.addUser(root, 'alice')
  const reset = await api.send(root, 'PUT', `/v1/users/${alice.id}`, { password: 'a brand new password' })
  t.equal(reset.status, 200)
  t.equal((await api.send(alice.session, 'GET', '/v1/me')).status, 401)
  t.ok(await api.login('alice', 'a brand new password'))
})

test('a password reset ends the API tokens of the user too, unless they are to be kept', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const alice = await api.addUser(root, 'alice')
  const token = String(
    (await api.send(alice.session, 'POST', '/v1/api-tokens', { name: 'ci' })).body['token'],
  )
  const url = `/v1/users/${alice.id}`
  const keep = { password: 'a brand new password', keep_tokens: true }
  t.equal((await api.send(root, 'PUT', url, keep)).status, 200)
  t.equal((await api.send(token, 'GET', '/v1/me')).status, 200)
  t.equal((await api.send(root, 'PUT', url, { password: 'yet another password' })).status, 200)
  t.equal((await api.send(token, 'GET', '/v1/me')).status, 401)
  const events = await api.send(root, 'GET', '/v1/audit-events?action=updateUser')
  t.match(
    events.list.map((each) => each['details']),
    [
      { changed: ['password'], ended_sessions: 0, ended_tokens: 1 },
      { changed: ['password'], ended_sessions: 1, kept_tokens: 1 },
    ],
  )
  const alone = await api.send(root, 'PUT', url, { keep_tokens: true })
  t.equal(alone.status, 400, 'it means nothing without a password')
  t.equal(alone.body.details?.[0]?.field, 'keep_tokens')
})

test('bad names, short passwords and unknown fields are named', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const answer = await api.send(root, 'POST', '/v1/users', {
    username: '../x',
    password: 'short',
    admin: true,
  })
  t.equal(answer.status, 400)
  t.same(answer.body.details?.map((detail) => detail.field).toSorted(), ['admin', 'password', 'username'])
  t.equal((await api.send(root, 'POST', '/v1/users', { username: 'x' })).body.details?.[0]?.field, 'password')
  const number = await api.send(root, 'POST', '/v1/users', { username: 5, password: PASSWORD })
  t.equal(number.body.details?.[0]?.field, 'username', 'bodies are not coerced')
})
