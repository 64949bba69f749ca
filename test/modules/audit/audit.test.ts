import { test } from 'tap'
import { BERTH_ITSELF } from '../../../src/modules/identity/context.ts'
import { movableSystem, openIdentityApi, PASSWORD } from '../../support/identity-api.ts'

test('every change is kept with who made it, from where and in which request', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const made = await api.send(root, 'POST', '/v1/users', { username: 'alice', password: PASSWORD })
  const [event] = (await api.send(root, 'GET', '/v1/audit-events?action=createUser')).list
  t.match(event, {
    actor_kind: 'session',
    actor_name: 'root',
    action: 'createUser',
    outcome: 'done',
    resource_kind: 'user',
    resource_id: made.body['id'],
    project_id: null,
    client_address: '127.0.0.1',
    request_id: made.headers['x-request-id'],
    details: { username: 'alice', is_super_admin: false },
  })
  t.notOk(JSON.stringify(event).includes(PASSWORD))
})

test('a change that is rolled back leaves no event, and no event is lost without its change', async (t) => {
  const api = await openIdentityApi(t)
  const before = api.database.all('SELECT id FROM audit_events').length
  t.throws(() =>
    api.database.transact(() => {
      api.audit.record(BERTH_ITSELF, { action: 'nothing' })
      throw new Error('the change failed')
    }),
  )
  t.equal(api.database.all('SELECT id FROM audit_events').length, before)
  api.audit.record(BERTH_ITSELF, { action: 'something' })
  t.match(await api.audit.verifyAuditEvents(), { chain_ok: true }, 'a roll-back leaves no gap')
})

test('rows cannot be changed or deleted', async (t) => {
  const api = await openIdentityApi(t)
  await api.bootstrap()
  t.throws(() => api.database.run('DELETE FROM audit_events'), /append-only/)
  t.throws(() => api.database.run("UPDATE audit_events SET actor_name = 'x'"), /append-only/)
})

test('refusals that cannot be written are answered as such, and counted until they can be', async (t) => {
  const real = movableSystem()
  const due: (() => void)[] = []
  const system = { ...real, later: (_: number, run: () => void) => (due.push(run), () => {}) }
  const api = await openIdentityApi(t, { system })
  const refusals = () =>
    api.database
      .all<{ action: string; details: string }>("SELECT * FROM audit_events WHERE outcome = 'denied'")
      .map(({ action, details }) => [action, (JSON.parse(details) as { repeated?: number }).repeated])
  await api.withoutWrites(async () => {
    for (let n = 0; n < 3; n += 1) t.equal((await api.send(undefined, 'GET', '/v1/users')).status, 401)
    for (let n = 0; n < 40; n += 1)
      await api.send(undefined, 'GET', '/v1/users', undefined, {}, `10.0.0.${n}`)
    t.equal(due.length, 1)
    t.doesNotThrow(() => due.pop()?.())
    api.audit.flush()
  })
  t.match(api.problems[0], { code: 'SQLITE_READONLY' })
  t.equal(due.length, 1, 'they are tried again after another minute')
  t.same(refusals(), [])
  due.pop()?.()
  const counts = refusals().map(([, repeated]) => Number(repeated))
  t.equal(
    counts.reduce((sum, count) => sum + count, 0),
    43,
  )
  t.same(refusals()[0], ['listUsers', 3])
  t.equal(due.length, 0, 'and then no more')
})

test('a change behind the back of the triggers is found', async (t) => {
  const cases = [
    ["UPDATE audit_events SET actor_name = 'x' WHERE sequence = 2", 2, /changed/],
    ['DELETE FROM audit_events WHERE sequence = 2', 2, /missing/],
    ['DELETE FROM audit_events WHERE sequence >= 2', 2, /missing/],
    ['UPDATE audit_events SET previous_hash = hash WHERE sequence = 3', 3, /follow/],
  ] as const
  for (const [sql, brokenAt, reason] of cases) {
    const api = await openIdentityApi(t)
    const root = await api.bootstrap()
    await api.send(root, 'POST', '/v1/users', { username: 'alice', password: PASSWORD })
    t.match(await api.audit.verifyAuditEvents(), { chain_ok: true, events: 3, broken_at: null })
    api.database.exec('DROP TRIGGER audit_events_keep; DROP TRIGGER audit_events_fixed')
    api.database.exec(sql)
    const verdict = (await api.send(root, 'POST', '/v1/audit-events/verify')).body
    t.match(verdict, { chain_ok: false, broken_at: brokenAt }, sql)
    t.match(verdict['reason'], reason, sql)
  }
})

test('refusals are kept; a flood of them becomes a count', async (t) => {
  const system = movableSystem()
  const api = await openIdentityApi(t, { system })
  const root = await api.bootstrap()
  const alice = await api.addUser(root, 'alice')
  const shop = api.addProject('shop')
  for (let n = 0; n < 50; n += 1) await api.send(alice.session, 'GET', '/v1/users')
  await api.send(alice.session, 'GET', `/v1/projects/${shop}/members`)
  await api.send('bth_pat_wrong', 'GET', '/v1/me')
  await api.send(undefined, 'POST', '/v1/auth/login', { username: 'alice', password: 'wrong' })
  await api.send(undefined, 'POST', '/v1/auth/login', {
    username: 'my password in the wrong field',
    password: 'x',
  })
  const denied = () =>
    api.database.all<Record<string, string>>(
      "SELECT * FROM audit_events WHERE outcome = 'denied' ORDER BY sequence",
    )
  t.match(denied(), [
    { actor_name: 'alice', action: 'listUsers', details: /"permission":"super_admin"/ },
    { actor_name: 'alice', action: 'listMembers', project_id: shop, details: /NOT_FOUND/ },
    { actor_name: 'unknown', action: 'getMe', client_address: '127.0.0.1' },
    { actor_name: 'unknown', action: 'login', resource_id: alice.id, details: /"username":"alice"/ },
  ])
  t.notMatch(JSON.stringify(denied()), /my password/)
  for (let n = 0; n < 200; n += 1)
    await api.send(undefined, 'GET', '/v1/me', undefined, {}, `198.51.100.${n}`)
  t.ok(denied().length < 40, 'a minute has few events')
  api.audit.flush()
  const counts = denied().map((event) => JSON.parse(event['details'] ?? '{}') as { repeated?: number })
  t.equal(
    counts.reduce((sum, { repeated = 1 }) => sum + repeated, 0),
    50 + 1 + 1 + 2 + 200,
    'none is lost',
  )
  t.match(await api.audit.verifyAuditEvents(), { chain_ok: true })
})

test('events are filtered, and listed page by page, newest first', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const alice = await api.addUser(root, 'alice')
  for (let n = 0; n < 5; n += 1) await api.send(alice.session, 'POST', '/v1/api-tokens', { name: `t${n}` })
  const list = async (query: string) => (await api.send(root, 'GET', `/v1/audit-events?${query}`)).list
  t.equal((await list('action=mintToken')).length, 5)
  t.equal((await list('actor=alice')).length, 6)
  t.equal((await list(`actor=${alice.id}&resource=api_token`)).length, 5)
  t.equal((await list(`resource=${alice.id}`)).length, 1)
  const all = await list('limit=1000')
  t.equal((await list(`since=${String(all[2]?.['at'])}`)).length >= 3, true)
  t.same(await list('until=2020-01-01T00:00:00Z'), [])
  for (const bad of ['yesterday', '2016-12-31T23:59:60Z', '9999-12-31T23:59:59-01:00']) {
    const refused = await api.send(root, 'GET', `/v1/audit-events?since=${bad}`)
    t.same([refused.status, refused.body.details?.[0]?.field], [400, 'since'], bad)
  }

  const seen: unknown[] = []
  let url = '/v1/audit-events?limit=3'
  for (;;) {
    const page = await api.send(root, 'GET', url)
    seen.push(...page.list.map((event) => event['sequence']))
    const next = /<([^>]+)>/.exec(String(page.headers['link'] ?? ''))?.[1]
    if (next === undefined) break
    url = next
  }
  t.same(
    seen,
    all.map((event) => event['sequence']),
  )
  t.same(
    seen,
    seen.toSorted((a, b) => Number(b) - Number(a)),
  )
})

test('an admin reads what belongs to their projects and nothing else', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const shop = api.addProject('shop')
  const blog = api.addProject('blog')
  const alice = await api.addUser(root, 'alice', { [shop]: 'admin' })
  const bob = await api.addUser(root, 'bob', { [blog]: 'admin', [shop]: 'viewer' })
  const events = (await api.send(alice.session, 'GET', '/v1/audit-events')).list
  t.ok(events.length >= 2)
  t.ok(events.every((event) => event['project_id'] === shop))
  t.same((await api.send(alice.session, 'GET', `/v1/audit-events?project_id=${blog}`)).list, [])
  t.ok(
    (await api.send(bob.session, 'GET', '/v1/audit-events')).list.every(
      (event) => event['project_id'] === blog,
    ),
  )
  const carol = await api.addUser(root, 'carol', { [shop]: 'operator' })
  t.equal((await api.send(carol.session, 'GET', '/v1/audit-events')).body['permission'], 'audit.read')
})

test('an export is JSON lines with a trailer that says whether the chain holds', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  for (let n = 0; n < 450; n += 1) api.audit.record(BERTH_ITSELF, { action: 'tick' })
  const answer = await api.send(root, 'GET', '/v1/audit-events/export')
  t.equal(answer.headers['content-type'], 'application/x-ndjson')
  const lines = answer.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  const trailer = lines.at(-1)
  t.equal(lines.length, 453)
  t.match(trailer, { count: 452, chain_ok: true, head_hash: lines.at(-2)?.['hash'] })
  t.same(
    lines.slice(0, -1).map((line) => line['sequence']),
    Array.from({ length: 452 }, (_, n) => n + 1),
  )
  const filtered = await api.send(root, 'GET', '/v1/audit-events/export?action=login')
  t.match(JSON.parse(filtered.text.trimEnd().split('\n').at(-1) ?? ''), { count: 1, chain_ok: true })
})
