import { test } from 'tap'
import { Type } from 'typebox'
import { strictObject } from '../../src/http/schema.ts'
import { movableSystem, openIdentityApi } from '../support/identity-api.ts'

test('every answer carries its request id and what keeps browsers from harm, and no CORS header', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const answers = [
    await api.send(root, 'GET', '/v1/me', undefined, { origin: 'https://evil.test' }),
    await api.send(undefined, 'GET', '/v1/me', undefined, { origin: 'https://evil.test' }),
    await api.send(undefined, 'GET', '/nothing'),
    await api.send(undefined, 'OPTIONS', '/v1/me', undefined, {
      origin: 'https://evil.test',
      'access-control-request-method': 'POST',
    }),
  ]
  for (const { headers } of answers) {
    t.match(headers['x-request-id'], /^[0-9a-f-]{36}$/)
    t.match(headers, {
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
      'content-security-policy': /default-src 'none'/,
    })
    t.same(
      Object.keys(headers).filter((name) => name.startsWith('access-control-')),
      [],
    )
  }
  t.equal(new Set(answers.map(({ headers }) => headers['x-request-id'])).size, 4, 'each its own')
})

test('a client does not choose its request id', async (t) => {
  const api = await openIdentityApi(t)
  const answer = await api.send(undefined, 'GET', '/v1/me', undefined, {
    'request-id': 'mine',
    'x-request-id': 'mine',
  })
  t.not(answer.headers['x-request-id'], 'mine')
})

test('HEAD answers as GET would, without a body', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  t.equal((await api.send(undefined, 'HEAD', '/v1/me')).status, 401)
  const answer = await api.send(root, 'HEAD', '/v1/me')
  t.equal(answer.status, 200)
  t.equal(answer.text, '')
})

test('lists are pages of a bare array, and the Link header goes on without gaps or doubles', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  for (let n = 0; n < 5; n += 1) await api.send(root, 'POST', '/v1/api-tokens', { name: `t${n}` })
  const seen: unknown[] = []
  let url = '/v1/api-tokens?limit=2&everyone=true'
  let pages = 0
  for (;;) {
    const page = await api.send(root, 'GET', url)
    pages += 1
    seen.push(...page.list.map((token) => token['name']))
    const next = /^<(\/[^>]+)>; rel="next"$/.exec(String(page.headers['link'] ?? ''))?.[1]
    if (next === undefined) break
    t.match(next, /everyone=true/, 'the filters stay')
    url = next
  }
  t.same(seen, ['t4', 't3', 't2', 't1', 't0'])
  t.equal(pages, 3)
})

test('a principal that calls too often is told when to come back; others are not held up', async (t) => {
  const system = movableSystem()
  const api = await openIdentityApi(t, { system, settings: { rate_limit_per_minute: 30 } })
  const root = await api.bootstrap()
  const alice = await api.addUser(root, 'alice')
  const statuses: number[] = []
  for (let n = 0; n < 40; n += 1) statuses.push((await api.send(alice.session, 'GET', '/v1/me')).status)
  t.equal(statuses.filter((status) => status === 200).length, 30)
  const limited = await api.send(alice.session, 'GET', '/v1/me')
  t.equal(limited.status, 429)
  t.equal(limited.body.error, 'RATE_LIMITED')
  t.match(limited.headers['retry-after'], /^[1-9]\d*$/)
  t.equal((await api.send(root, 'GET', '/v1/me')).status, 200)
  system.advance(2000)
  t.equal((await api.send(alice.session, 'GET', '/v1/me')).status, 200, 'the budget grows again')
})

test('guesses of tokens are counted by address', async (t) => {
  const api = await openIdentityApi(t, { settings: { rate_limit_per_minute: 10 } })
  const statuses: number[] = []
  for (let n = 0; n < 12; n += 1) {
    statuses.push((await api.send(`bth_pat_${n}`, 'GET', '/v1/me', undefined, {}, '203.0.113.7')).status)
  }
  t.same(statuses.slice(9), [401, 429, 429])
  t.equal((await api.send('bth_pat_x', 'GET', '/v1/me', undefined, {}, '203.0.113.8')).status, 401)
})

test('a repeated request with the same Idempotency-Key is done once and answered alike', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const key = { 'idempotency-key': 'b1f8f9d2-0001' }
  const first = await api.send(root, 'POST', '/v1/api-tokens', { name: 'once' }, key)
  const again = await api.send(root, 'POST', '/v1/api-tokens', { name: 'once' }, key)
  t.equal(first.status, 201)
  t.same([again.status, again.text], [first.status, first.text])
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.notOk(first.headers['idempotency-replayed'])
  t.equal(again.headers['content-type'], first.headers['content-type'])
  t.equal((await api.send(root, 'GET', '/v1/api-tokens')).list.length, 1)
  const other = await api.send(root, 'POST', '/v1/api-tokens', { name: 'twice' }, key)
  t.equal(other.status, 409)
  t.equal(other.body.error, 'IDEMPOTENCY_MISMATCH')
})

test('keys of two people do not meet, and a key is free again after a day', async (t) => {
  const system = movableSystem()
  const api = await openIdentityApi(t, {
    system,
    session: { session_idle_seconds: 200_000, session_max_seconds: 500_000 },
  })
  const root = await api.bootstrap()
  const alice = await api.addUser(root, 'alice')
  const key = { 'idempotency-key': 'k' }
  const one = await api.send(root, 'POST', '/v1/api-tokens', { name: 'x' }, key)
  const two = await api.send(alice.session, 'POST', '/v1/api-tokens', { name: 'x' }, key)
  t.not(one.body['id'], two.body['id'])
  system.advance(25 * 3600_000)
  const three = await api.send(root, 'POST', '/v1/api-tokens', { name: 'x' }, key)
  t.equal(three.status, 201)
  t.not(three.body['id'], one.body['id'])
  api.identity.removeExpired()
  t.equal(api.database.all('SELECT * FROM idempotency_keys').length, 1)
})

test('a request that failed may be made again with its key', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const key = { 'idempotency-key': 'k' }
  await api.send(root, 'POST', '/v1/roles', { name: 'taken', permissions: [] })
  t.equal((await api.send(root, 'POST', '/v1/roles', { name: 'taken', permissions: [] }, key)).status, 409)
  t.equal((await api.send(root, 'POST', '/v1/roles', { name: 'free', permissions: [] }, key)).status, 201)
})

test('the same key at the same time is done once', async (t) => {
  const gate = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  let done = 0
  const api = await openIdentityApi(t, {
    addRoutes: (server) => {
      server.post(
        '/slow',
        {
          config: { access: { signed_in: true } },
          schema: { response: { 200: strictObject({ done: Type.Integer() }) } },
        },
        async () => {
          done += 1
          begun.resolve()
          await gate.promise
          return { done }
        },
      )
    },
  })
  const root = await api.bootstrap()
  const key = { 'idempotency-key': 'k' }
  const first = api.send(root, 'POST', '/slow', undefined, key)
  await begun.promise
  const second = await api.send(root, 'POST', '/slow', undefined, key)
  t.equal(second.body.error, 'IDEMPOTENCY_IN_PROGRESS')
  gate.resolve()
  t.equal((await first).status, 200)
  t.match((await api.send(root, 'POST', '/slow', undefined, key)).body, { done: 1 })
})

test('a key whose request was cut off by a crash is not run a second time', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const me = await api.send(root, 'GET', '/v1/me')
  const { id } = me.body['principal'] as { id: string }
  const content = 'POST /v1/api-tokens\n{"name":"x"}'
  // What a daemon that was killed leaves: the row of a request that nobody runs any more.
  const { createIdempotency } = await import('../../src/modules/identity/idempotency.ts')
  const { ADMIN_TOKEN } = await import('../support/identity-api.ts')
  createIdempotency({ database: api.database, system: api.system, adminToken: ADMIN_TOKEN }).begin({
    principal: id,
    key: 'k',
    content,
  })
  const answer = await api.send(root, 'POST', '/v1/api-tokens', { name: 'x' }, { 'idempotency-key': 'k' })
  t.equal(answer.status, 409)
  t.match(answer.body.message, /interrupted/)
  t.same((await api.send(root, 'GET', '/v1/api-tokens')).list, [])
})

test('what is kept of an idempotent request cannot be read from the database', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const answer = await api.send(
    root,
    'POST',
    '/v1/api-tokens',
    { name: 'x' },
    { 'idempotency-key': 'the-key-itself' },
  )
  const stored = api.database
    .all<Record<string, unknown>>('SELECT * FROM idempotency_keys')
    .map((row) =>
      Object.values(row).map((value) => (Buffer.isBuffer(value) ? value.toString('latin1') : String(value))),
    )
  t.equal(stored.length, 1)
  t.notOk(JSON.stringify(stored).includes(String(answer.body['token'])))
  t.notOk(JSON.stringify(stored).includes('the-key-itself'))
})

test('requests are logged without queries, headers and bodies', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  await api.send(root, 'GET', '/v1/users?limit=7&cursor=abcdef')
  const lines = api
    .log()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  const line = lines.find((each) => each['path'] === '/v1/users')
  t.match(line, { method: 'GET', status: 400, actor: 'root', client_address: '127.0.0.1' })
  t.match(line?.['request_id'], /^[0-9a-f-]{36}$/)
  t.notOk(api.log().includes(root))
  t.notOk(api.log().includes('abcdef'))
})
