import { test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { createLoginThrottle } from '../../../src/modules/identity/login-throttle.ts'
import { ADMIN_TOKEN, movableSystem, openIdentityApi, PASSWORD } from '../../support/identity-api.ts'

test('the install admin token makes the first administrator once', async (t) => {
  const api = await openIdentityApi(t)
  const before = await api.send(ADMIN_TOKEN, 'GET', '/v1/me')
  t.match(before.body, { admin_initialized: false, is_super_admin: true, principal: { kind: 'admin_token' } })
  const made = await api.send(ADMIN_TOKEN, 'POST', '/v1/bootstrap', { username: 'root', password: PASSWORD })
  t.equal(made.status, 201)
  t.match(made.body, { username: 'root', is_super_admin: true })
  t.notMatch(made.text, /argon2|password/)
  const again = await api.send(ADMIN_TOKEN, 'POST', '/v1/bootstrap', { username: 'two', password: PASSWORD })
  t.equal(again.status, 409)
  t.equal(again.body.error, 'ALREADY_INITIALIZED')
})

test('two bootstraps at once make one administrator', async (t) => {
  const api = await openIdentityApi(t)
  const answers = await Promise.all(
    ['one', 'two'].map((username) =>
      api.send(ADMIN_TOKEN, 'POST', '/v1/bootstrap', { username, password: PASSWORD }),
    ),
  )
  t.same(
    answers.map((answer) => answer.status).toSorted((a, b) => a - b),
    [201, 409],
  )
})

test('nobody but the holder of the install admin token bootstraps', async (t) => {
  const api = await openIdentityApi(t)
  const body = { username: 'mallory', password: PASSWORD }
  t.equal((await api.send(undefined, 'POST', '/v1/bootstrap', body)).status, 401)
  t.equal((await api.send('bth_adm_wrong', 'POST', '/v1/bootstrap', body)).status, 401)
})

test('after the first administrator the install admin token recovers access and nothing else, and is audited', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const project = api.addProject('shop')
  t.equal((await api.send(ADMIN_TOKEN, 'GET', `/v1/projects/${project}/members`)).body.error, 'FORBIDDEN')
  t.equal((await api.send(ADMIN_TOKEN, 'GET', '/v1/roles')).status, 403)
  const users = await api.send(ADMIN_TOKEN, 'GET', '/v1/users')
  t.equal(users.status, 200)
  const reset = await api.send(ADMIN_TOKEN, 'PUT', `/v1/users/${String(users.list[0]?.['id'])}`, {
    password: 'another long password',
  })
  t.equal(reset.status, 200)
  t.equal((await api.send(root, 'GET', '/v1/me')).status, 401, 'sessions end with the reset')
  t.ok(await api.login('root', 'another long password'))
  const events = api.database.all<{ action: string; actor_name: string }>('SELECT * FROM audit_events')
  t.ok(events.some((event) => event.action === 'useInstallAdminToken'))
  t.ok(events.some((event) => event.action === 'updateUser' && event.actor_name === 'install-admin'))
})

test('an unknown user and a wrong password get the same answer', async (t) => {
  const api = await openIdentityApi(t)
  await api.bootstrap()
  const wrong = { username: 'root', password: 'not the password' }
  const one = await api.send(undefined, 'POST', '/v1/auth/login', wrong)
  const other = await api.send(undefined, 'POST', '/v1/auth/login', { ...wrong, username: 'nobody' })
  t.equal(one.status, 401)
  t.equal(other.status, 401)
  const { request_id: _, ...said } = one.body
  t.match(other.body, said)
  t.equal(one.headers['www-authenticate'], 'Bearer realm="berth"')
})

test('an unknown user costs as much hashing as a known one', async (t) => {
  const hashed: (string | undefined)[] = []
  const { createSessionOperations } = await import('../../../src/modules/identity/session-operations.ts')
  const api = await openIdentityApi(t)
  const operations = createSessionOperations({
    database: api.database,
    system: api.system,
    record: () => {},
    passwords: { hash: async () => '', verify: async (_, hash) => (hashed.push(hash), false) },
    throttle: createLoginThrottle(api.system),
    users: { findByName: () => undefined } as never,
    sessions: {} as never,
    tokens: {} as never,
    settings: { session_idle_seconds: 60, session_max_seconds: 60 },
  })
  const client = { request_id: 'r', client_address: '192.0.2.1', user_agent: '' }
  await t.rejects(operations.login(client, { username: 'nobody', password: 'x' }), {
    code: 'UNAUTHENTICATED',
  })
  t.same(hashed, [undefined], 'the dummy hash was computed')
})

test('five failed logins lock the account and the address for fifteen minutes, also for the right password', async (t) => {
  const system = movableSystem()
  const api = await openIdentityApi(t, { system })
  const root = await api.bootstrap()
  await api.addUser(root, 'alice')
  const attempt = (username: string, password: string, address: string) =>
    api.send(undefined, 'POST', '/v1/auth/login', { username, password }, {}, address)
  for (let n = 0; n < 5; n += 1) t.equal((await attempt('root', 'wrong', `192.0.2.${n}`)).status, 401)
  const locked = await attempt('root', PASSWORD, '192.0.2.77')
  t.equal(locked.status, 429)
  t.equal(locked.body.error, 'RATE_LIMITED')
  t.ok(Number(locked.headers['retry-after']) > 800)
  t.equal((await attempt('alice', PASSWORD, '192.0.2.1')).status, 200, 'another account is free')
  for (let n = 0; n < 5; n += 1) await attempt(`user${n}`, 'wrong', '2001:db8:0:1::5')
  t.equal(
    (await attempt('alice', PASSWORD, '2001:db8::1:0:0:0:99')).status,
    429,
    'one /64 counts as one address',
  )
  t.equal((await attempt('alice', PASSWORD, '2001:db8:0:2::5')).status, 200)
  t.equal((await api.send(root, 'GET', '/v1/me')).status, 200, 'sessions that stand are not touched')
  system.setBack(86_400_000)
  system.advance(15 * 60_000)
  t.equal((await attempt('root', PASSWORD, '192.0.2.77')).status, 200, 'also by a clock that was set back')
})

test('guesses made at once are counted before their answers are known', async (t) => {
  const api = await openIdentityApi(t)
  await api.bootstrap()
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, n) =>
      api.send(undefined, 'POST', '/v1/auth/login', { username: 'root', password: `guess ${n}` }),
    ),
  )
  t.equal(answers.filter((answer) => answer.status === 401).length, 5)
  t.equal(answers.filter((answer) => answer.status === 429).length, 35)
})

test('logins made at once with the right password all succeed, also between failures', async (t) => {
  const api = await openIdentityApi(t)
  await api.bootstrap()
  const attempt = async (password: string) =>
    (await api.send(undefined, 'POST', '/v1/auth/login', { username: 'root', password })).status
  for (let n = 0; n < 4; n += 1) t.equal(await attempt('wrong'), 401)
  const answers = await Promise.all(Array.from({ length: 10 }, () => attempt(PASSWORD)))
  t.same([...new Set(answers)], [200])
})

test('attempts wait for those under way, not too many of them and not for long', async (t) => {
  const timers: (() => void)[] = []
  const later = (_: number, run: () => void) => (timers.push(run), () => {})
  const throttle = createLoginThrottle({ ...createSystem(), later })
  const attempt = () => throttle.attempt('192.0.2.1', 'root')
  const begun = await Promise.all(Array.from({ length: 5 }, attempt))
  const first = attempt()
  const waiting = Array.from({ length: 255 }, attempt)
  await t.rejects(attempt(), { code: 'BUSY' }, 'too many wait')
  timers[0]?.()
  await t.rejects(first, { code: 'BUSY' }, 'waited for too long')
  begun[0]?.end('abandoned')
  const next = await waiting[0]
  for (const each of begun.slice(1)) each.end('failed')
  next?.end('failed')
  for (const each of await Promise.allSettled(waiting.slice(1)))
    t.match(each, { status: 'rejected', reason: { code: 'RATE_LIMITED' } })
})

test('a flood of logins beyond the queue is told to come back', async (t) => {
  const api = await openIdentityApi(t)
  await api.bootstrap()
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, n) =>
      api.send(
        undefined,
        'POST',
        '/v1/auth/login',
        { username: `u${n}`, password: 'x' },
        {},
        `198.51.100.${n}`,
      ),
    ),
  )
  const busy = answers.filter((answer) => answer.status === 503)
  t.ok(busy.length > 0)
  t.ok(busy.every((answer) => answer.body.error === 'BUSY' && Number(answer.headers['retry-after']) > 0))
  t.equal(answers.filter((answer) => answer.status === 401).length, 60 - busy.length)
})

test('a session ends by logout, by idleness and by age', async (t) => {
  const system = movableSystem()
  const api = await openIdentityApi(t, {
    system,
    session: { session_idle_seconds: 600, session_max_seconds: 3600 },
  })
  const root = await api.bootstrap()
  const other = await api.login('root')
  t.equal((await api.send(other, 'POST', '/v1/auth/logout')).status, 204)
  t.equal((await api.send(other, 'GET', '/v1/me')).status, 401)
  for (let minutes = 0; minutes < 50; minutes += 5) {
    system.advance(5 * 60_000)
    t.equal((await api.send(root, 'GET', '/v1/me')).status, 200, 'use keeps it alive')
  }
  system.advance(11 * 60_000)
  t.equal((await api.send(root, 'GET', '/v1/me')).status, 401, 'its age ended it')
  const idle = await api.login('root')
  system.advance(601_000)
  t.equal((await api.send(idle, 'GET', '/v1/me')).status, 401, 'idleness ended it')
  api.identity.removeExpired()
  t.same(api.database.all('SELECT * FROM sessions'), [])
  const early = await api.login('root')
  system.setBack(86_400_000)
  t.equal((await api.send(early, 'GET', '/v1/me')).status, 200)
  system.advance(601_000)
  t.equal((await api.send(early, 'GET', '/v1/me')).status, 401, 'also when the clock was set back meanwhile')
})

test('a disk that takes no writes costs no request, and ends no session that is used meanwhile', async (t) => {
  const system = movableSystem()
  const session = { session_idle_seconds: 600, session_max_seconds: 86_400 }
  const api = await openIdentityApi(t, { system, session })
  const root = await api.bootstrap()
  const idle = await api.login('root')
  const token = String((await api.send(root, 'POST', '/v1/api-tokens', { name: 'ci' })).body['token'])
  await api.withoutWrites(async () => {
    for (let minutes = 0; minutes < 15; minutes += 5) {
      system.advance(5 * 60_000)
      for (const each of [root, token, ADMIN_TOKEN])
        t.equal((await api.send(each, 'GET', '/v1/users')).status, 200)
    }
    t.equal(api.problems.length, 9, 'each is told of')
    t.equal((await api.send(idle, 'GET', '/v1/me')).status, 401, 'idleness ends a session all the same')
    t.throws(() => api.identity.removeExpired())
  })
  api.identity.removeExpired()
  const seen = 'SELECT last_seen_at AS at FROM sessions UNION ALL SELECT last_used_at FROM api_tokens'
  const rows = api.database.all<{ at: string }>(seen)
  t.equal(rows.length, 2, 'the one that was not used is gone')
  for (const { at } of rows) t.ok(system.now() - Date.parse(at) < 60_000, at)
  t.equal((await api.send(root, 'GET', '/v1/me')).status, 200)
  const uses = "SELECT 1 FROM audit_events WHERE action = 'useInstallAdminToken'"
  await api.send(ADMIN_TOKEN, 'GET', '/v1/users')
  t.equal(api.database.all(uses).length, 1, 'the next use of the install admin token is audited')
})

test('people see and end their own sessions only', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const alice = await api.addUser(root, 'alice')
  const second = await api.login('alice')
  const listed = await api.send(second, 'GET', '/v1/auth/sessions')
  t.equal(listed.list.length, 2)
  t.match(listed.list[0], { current: true, client_address: '127.0.0.1' })
  t.notMatch(listed.text, /bth_ses_|token_hash/)
  const first = String(listed.list[1]?.['id'])
  t.equal(
    (await api.send(root, 'DELETE', `/v1/auth/sessions/${first}`)).status,
    404,
    'not even a super-admin',
  )
  t.equal((await api.send(second, 'DELETE', `/v1/auth/sessions/${first}`)).status, 204)
  t.equal((await api.send(alice.session, 'GET', '/v1/me')).status, 401)
  t.equal((await api.send(second, 'DELETE', '/v1/auth/sessions')).status, 204)
  t.equal((await api.send(second, 'GET', '/v1/me')).status, 401)
  t.equal((await api.send(root, 'GET', '/v1/me')).status, 200)
})

test('a new password needs the current one and ends the other sessions', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const other = await api.login('root')
  const wrong = await api.send(root, 'PUT', '/v1/me/password', {
    current: 'wrong',
    new: 'the next long password',
  })
  t.equal(wrong.status, 400)
  t.equal(wrong.body.details?.[0]?.field, 'current')
  const short = await api.send(root, 'PUT', '/v1/me/password', { current: PASSWORD, new: 'short' })
  t.equal(short.body.details?.[0]?.field, 'new')
  const changed = await api.send(root, 'PUT', '/v1/me/password', {
    current: PASSWORD,
    new: 'the next long password',
  })
  t.equal(changed.status, 204)
  t.equal((await api.send(root, 'GET', '/v1/me')).status, 200)
  t.equal((await api.send(other, 'GET', '/v1/me')).status, 401)
  t.ok(await api.login('root', 'the next long password'))
})

test('a new password keeps your API tokens, or ends them when you say so', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const token = String((await api.send(root, 'POST', '/v1/api-tokens', { name: 'ci' })).body['token'])
  const first = { current: PASSWORD, new: 'the next long password' }
  t.equal((await api.send(root, 'PUT', '/v1/me/password', first)).status, 204)
  t.equal((await api.send(token, 'GET', '/v1/me')).status, 200)
  const second = { current: first.new, new: 'the last long password', end_tokens: true }
  t.equal((await api.send(root, 'PUT', '/v1/me/password', second)).status, 204)
  t.equal((await api.send(token, 'GET', '/v1/me')).status, 401)
  t.equal((await api.send(root, 'GET', '/v1/me')).status, 200)
  const events = await api.send(root, 'GET', '/v1/audit-events?action=changePassword')
  t.match(
    events.list.map((each) => each['details']),
    [{ ended_tokens: 1 }, { kept_tokens: 1 }],
  )
})

test('a cookie keeps a session for browsers, and writes with it need the same origin', async (t) => {
  const api = await openIdentityApi(t)
  await api.bootstrap()
  const body = { username: 'root', password: PASSWORD }
  const answer = await api.send(undefined, 'POST', '/v1/auth/login?session=cookie', body)
  t.notOk(answer.body['token'], 'scripts of the page never see it')
  const set = String(answer.headers['set-cookie'])
  t.match(set, /^berth_session=bth_ses_[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/)
  const cookie = { cookie: `theme=dark; ${set.split(';', 1)[0]}` }
  t.equal((await api.send(undefined, 'GET', '/v1/me', undefined, cookie)).status, 200)
  const write = (headers: Record<string, string>) =>
    api.send(
      undefined,
      'POST',
      '/v1/api-tokens',
      { name: 'ci' },
      { host: 'berth.test', ...cookie, ...headers },
    )
  t.equal((await write({})).body.error, 'ORIGIN_REFUSED')
  t.equal((await write({ origin: 'https://evil.test' })).body.error, 'ORIGIN_REFUSED')
  t.equal((await write({ origin: 'null' })).body.error, 'ORIGIN_REFUSED')
  t.equal((await write({ origin: 'https://berth.test' })).status, 201)
  const foreign = { host: 'berth.test', origin: 'https://evil.test' }
  t.equal(
    (await api.send(undefined, 'POST', '/v1/auth/login?session=cookie', body, foreign)).body.error,
    'ORIGIN_REFUSED',
    'another site cannot sign a visitor in',
  )
  const out = await api.send(undefined, 'POST', '/v1/auth/logout', undefined, {
    host: 'berth.test',
    origin: 'http://berth.test',
    ...cookie,
  })
  t.equal(out.status, 204)
  t.match(out.headers['set-cookie'], /^berth_session=; .*Max-Age=0/)
  t.equal((await api.send(undefined, 'GET', '/v1/me', undefined, cookie)).status, 401)
})

test('the cookie is Secure where a trusted proxy says that the client came over TLS', async (t) => {
  const api = await openIdentityApi(t, { settings: { trusted_proxies: ['127.0.0.1'] } })
  await api.bootstrap()
  const answer = await api.send(
    undefined,
    'POST',
    '/v1/auth/login?session=cookie',
    { username: 'root', password: PASSWORD },
    { 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.9' },
  )
  t.match(answer.headers['set-cookie'], /; Secure$/)
  t.match(answer.headers['strict-transport-security'], /max-age/)
  const session = api.database.all<{ client_address: string }>('SELECT * FROM sessions ORDER BY id DESC')[0]
  t.equal(session?.client_address, '203.0.113.9')
})

test('X-Forwarded-For of someone who is no trusted proxy is not believed', async (t) => {
  const api = await openIdentityApi(t)
  await api.bootstrap()
  const forged = { 'x-forwarded-for': '203.0.113.9' }
  await api.send(undefined, 'POST', '/v1/auth/login', { username: 'root', password: PASSWORD }, forged)
  const rows = api.database.all<{ client_address: string }>('SELECT * FROM sessions')
  t.ok(rows.every((row) => row.client_address === '127.0.0.1'))
})

test('tokens are accepted as bearer tokens of any case and as nothing else', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const me = (authorization: string) => api.send(undefined, 'GET', '/v1/me', undefined, { authorization })
  t.equal((await me(`bearer ${root}`)).status, 200)
  t.equal((await me(`BEARER   ${root}`)).status, 200)
  t.equal((await me(root)).status, 401)
  t.equal((await me(`Basic ${Buffer.from(`root:${PASSWORD}`).toString('base64')}`)).status, 401)
  t.equal((await me(`Bearer ${root}x`)).status, 401)
  t.equal((await me('Bearer ')).status, 401)
  t.equal(
    (await api.send(undefined, 'GET', '/v1/me', undefined, { cookie: `berth_session=${ADMIN_TOKEN}` }))
      .status,
    401,
  )
})
