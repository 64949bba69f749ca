import { test } from 'tap'
import { openIdentityApi } from '../../support/identity-api.ts'
import { openStream } from '../../support/event-stream.ts'

test('changes are told as they happen, to those who may see them', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const shop = api.addProject('shop')
  const blog = api.addProject('blog')
  const alice = await api.addUser(root, 'alice', { [shop]: 'viewer' })
  const bob = await api.addUser(root, 'bob')
  const origin = await api.listen()
  const stream = await openStream(t, `${origin}/v1/events`, alice.session)
  t.equal(stream.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  t.ok(stream.headers.get('x-request-id'))
  await api.send(root, 'POST', `/v1/projects/${blog}/members`, { user_id: bob.id, role: 'viewer' })
  await api.send(root, 'POST', `/v1/projects/${shop}/members`, { user_id: bob.id, role: 'viewer' })
  const event = await stream.next()
  t.match(JSON.parse(event.data), {
    action: 'putMember',
    project_id: shop,
    actor_name: 'root',
    resource_id: bob.id,
  })
  t.notMatch(event.data, /client_address|details/)
})

test('a stream goes on behind the last event that the client had', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const origin = await api.listen()
  const all = await openStream(t, `${origin}/v1/events?since=0`, root)
  const first = await all.next()
  const second = await all.next()
  t.same([first.id, second.id], ['1', '2'])
  const resumed = await openStream(t, `${origin}/v1/events`, root, { 'last-event-id': '1' })
  t.same(await resumed.next(), second)
  const asText = await openStream(t, `${origin}/v1/events?since=0&format=text`, root)
  t.match((await asText.next()).data, /^install-admin bootstrap user /)
})

test('a stream ends within a second when its session, its token or its user is gone', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const origin = await api.listen()
  const alice = await api.addUser(root, 'alice')
  const made = await api.send(alice.session, 'POST', '/v1/api-tokens', { name: 'ci' })
  const other = await api.login('alice')
  const ends: [string, () => Promise<unknown>][] = [
    [String(made.body['token']), () => api.send(root, 'DELETE', `/v1/api-tokens/${String(made.body['id'])}`)],
    [other, () => api.send(other, 'POST', '/v1/auth/logout')],
    [alice.session, () => api.send(root, 'DELETE', `/v1/users/${alice.id}`)],
  ]
  for (const [token, end] of ends) {
    const stream = await openStream(t, `${origin}/v1/events?project_id=none`, token)
    const startedAt = performance.now()
    await end()
    const last = await stream.next()
    t.equal(last.event, 'denied')
    t.match(JSON.parse(last.data), { error: 'UNAUTHENTICATED' })
    t.equal(await stream.ended(), true)
    // Generous for a loaded machine; the watch looks every 0.4 s.
    t.ok(performance.now() - startedAt < 5000)
  }
})

test('a stream ends when its session expires', async (t) => {
  const api = await openIdentityApi(t, { session: { session_idle_seconds: 60, session_max_seconds: 1 } })
  const root = await api.bootstrap()
  const origin = await api.listen()
  const stream = await openStream(t, `${origin}/v1/events`, root)
  const last = await stream.next()
  t.equal(last.event, 'denied')
})

test('a server that stops ends its streams', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const origin = await api.listen()
  const streams = await Promise.all(
    Array.from({ length: 5 }, () => openStream(t, `${origin}/v1/events`, root)),
  )
  await api.server.close()
  for (const stream of streams) t.equal(await stream.ended(), true)
  t.equal(api.server.liveStreams.size, 0)
  t.equal(api.server.accessWatch.size(), 0)
})
