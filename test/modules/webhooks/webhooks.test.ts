import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type Test, test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { type Answer, openApp, type OpenedApp } from '../../support/app.ts'
import { until } from '../../support/delivery.ts'
import { githubPush, signedFields } from './payloads.ts'

/** `bodyMs`: the deadline of bodies, the one wait of half a minute here. */
async function open(t: Test, bodyMs = 30_000) {
  const real = createSystem()
  const counter = { turns: 0 }
  const system = {
    ...real,
    later: (ms: number, run: () => void) => real.later(ms === 30_000 ? bodyMs : ms, run),
    sleep: (ms: number, signal?: AbortSignal) => {
      if (ms === 0) counter.turns += 1
      return real.sleep(ms, signal)
    },
  }
  const environment = { BERTH_CONTROL_DOMAIN: 'berth.example.com' }
  const app = await openApp({ system, environment })
  t.teardown(app.close)
  const root = await app.bootstrap()
  const service = String(
    (
      await app.must(root, 'POST', '/v1/services', {
        name: 'web',
        source: { type: 'git', repo_url: 'https://git.example.com/acme/shop.git' },
      })
    ).body['id'],
  )
  const url = `/v1/services/${service}/webhooks`
  const made = (await app.must(root, 'POST', url, {})).body
  const hook = { id: String(made['id']), secret: String(made['secret']) }
  const send = (body: string, fields: Record<string, string>, id = hook.id): Promise<Answer> =>
    app.send(undefined, 'POST', `/v1/hooks/${id}`, body, fields)
  const deliveries = async () => (await app.must(root, 'GET', `${url}/${hook.id}/deliveries`)).list
  return { app, root, service, url, made, hook, send, deliveries, counter }
}

const BODY = JSON.stringify(githubPush())

test('a webhook shows its secret once, and seals it', async (t) => {
  const { app, root, url, made, hook } = await open(t)
  t.match(made, {
    name: 'webhook',
    enabled: true,
    branches: null,
    tags: [],
    paths: [],
    skip_markers: true,
    path: `/v1/hooks/${hook.id}`,
    url: `http://berth.example.com/v1/hooks/${hook.id}`,
    secret: /^whsec_[A-Za-z0-9+/]{43}=$/,
  })
  const read = await app.must(root, 'GET', `${url}/${hook.id}`)
  t.notOk('secret' in read.body)
  const file =
    (await readFile(join(app.dataDir, 'berth.db'), 'latin1')) +
    (await readFile(join(app.dataDir, 'berth.db-wal'), 'latin1'))
  t.notMatch(file, hook.secret.slice(6, 40))
  const rotated = await app.must(root, 'POST', `${url}/${hook.id}/rotate-secret`, {})
  t.not(rotated.body['secret'], hook.secret)
  const patched = await app.must(root, 'PATCH', `${url}/${hook.id}`, { branches: ['main'], enabled: false })
  t.match(patched.body, { branches: ['main'], enabled: false, skip_markers: true })
  t.equal((await app.send(root, 'PATCH', `${url}/${hook.id}`, { branches: ['refs/heads/x'] })).status, 400)
  t.equal((await app.send(root, 'DELETE', `${url}/${hook.id}`)).status, 204)
  t.equal((await app.send(root, 'GET', `${url}/${hook.id}`)).status, 404)
  const events = (await app.must(root, 'GET', '/v1/audit-events')).list
  for (const action of ['createWebhook', 'rotateWebhookSecret', 'updateWebhook', 'deleteWebhook'])
    t.ok(
      events.some((event) => event['action'] === action),
      action,
    )
})

test('every forge signs in its way; a delivery is stored once', async (t) => {
  const { hook, send, deliveries } = await open(t)
  for (const provider of ['github', 'gitlab', 'gitlab-signed', 'gitea', 'forgejo'] as const) {
    const fields = signedFields(provider, BODY, hook.secret, `delivery of ${provider}`)
    const first = await send(BODY, fields)
    t.equal(first.status, 202, `${provider}: ${first.text}`)
    t.match(first.body, { outcome: 'pending', duplicate: false })
    const again = await send(BODY, fields)
    t.match(again.body, { id: first.body['id'], duplicate: true }, 'sent again it changes nothing')
  }
  const list = await deliveries()
  t.same(
    list.map(({ provider }) => provider),
    ['gitea', 'gitea', 'gitlab', 'gitlab', 'github'],
  )
  t.match(list[0], {
    event: 'push',
    ref: 'refs/heads/main',
    commit: /^b{40}$/,
    author: 'Olive',
    message: 'Change',
    outcome: 'pending',
  })
})

test('an unknown id and a wrong signature are answered alike, and nothing is stored', async (t) => {
  const { app, root, url, hook, send, deliveries } = await open(t)
  const good = signedFields('github', BODY, hook.secret, 'one')
  const unknown = await send(BODY, good, '0192f0c1-7a00-7000-8000-000000000001')
  const { request_id: _, ...expected } = unknown.body
  t.equal(unknown.status, 404)
  const wrong: [what: string, body: string, fields: Record<string, string>][] = [
    ['another secret', BODY, signedFields('github', BODY, 'whsec_other', 'one')],
    ['another body', `${BODY} `, good],
    ['no signature', BODY, { ...good, 'x-hub-signature-256': '' }],
    ['a wrong token', BODY, signedFields('gitlab', BODY, 'wrong', 'one')],
    [
      'a signature of Gitea beside a wrong one of Forgejo',
      BODY,
      { ...signedFields('forgejo', BODY, hook.secret, 'one'), 'x-forgejo-signature': 'x' },
    ],
    [
      'an old timestamp',
      BODY,
      { ...signedFields('gitlab-signed', BODY, hook.secret, 'one'), 'webhook-timestamp': '1700000000' },
    ],
    ['no forge at all', BODY, { 'content-type': 'application/json' }],
    ['no body', '', good],
  ]
  for (const [what, body, fields] of wrong) {
    const { request_id: __, ...answer } = (await send(body, fields)).body
    t.same(answer, expected, what)
  }
  t.same(await deliveries(), [])
  await app.must(root, 'POST', `${url}/${hook.id}/rotate-secret`, {
    secret: 'a secret-of-our-own'.replace(' ', '-'),
  })
  t.equal((await send(BODY, good)).status, 404, 'the old secret is worth nothing')
  t.equal((await send(BODY, signedFields('github', BODY, 'a-secret-of-our-own', 'one'))).status, 202)
})

test('pings, other events and forms are understood; a replay is acted on anew', async (t) => {
  const { app, root, url, hook, send, deliveries } = await open(t)
  const ping = '{"zen":"Keep it simple."}'
  t.match((await send(ping, signedFields('github', ping, hook.secret, 'p', 'ping'))).body, {
    outcome: 'skipped',
    reason: /ping/,
  })
  t.match((await send(ping, signedFields('github', ping, hook.secret, 'i', 'issues'))).body, {
    outcome: 'skipped',
    reason: /is no push/,
  })
  const form = `payload=${encodeURIComponent(BODY)}`
  const fields = {
    ...signedFields('github', form, hook.secret, 'f'),
    'content-type': 'application/x-www-form-urlencoded',
  }
  const pushed = await send(form, fields)
  t.match(pushed.body, { outcome: 'pending' })
  const broken = '{"ref":'
  t.equal((await send(broken, signedFields('github', broken, hook.secret, 'b'))).status, 400)
  const replay = await app.must(
    root,
    'POST',
    `${url}/${hook.id}/deliveries/${String(pushed.body['id'])}/replay`,
  )
  t.match(replay.body, { outcome: 'pending', replays_id: pushed.body['id'], ref: 'refs/heads/main' })
  const pingId = String((await deliveries()).find(({ event }) => event === 'ping')?.['id'])
  t.equal((await app.send(root, 'POST', `${url}/${hook.id}/deliveries/${pingId}/replay`)).status, 409)
  await app.must(root, 'PATCH', `${url}/${hook.id}`, { enabled: false })
  t.match((await send(BODY, signedFields('github', BODY, hook.secret, 'd'))).body, {
    outcome: 'skipped',
    reason: /disabled/,
  })
})

test('a push of many commits is read off the loop, and what is too large is refused', async (t) => {
  const { hook, send, counter } = await open(t)
  const commits = Array.from({ length: 2000 }, (_, index) => ({
    id: 'c'.repeat(40),
    message: `${index} ${'m'.repeat(300)}`,
    added: [`file-${index}`],
    modified: [],
    removed: [],
  }))
  const large = JSON.stringify(githubPush({ commits }))
  t.ok(large.length > 800_000)
  t.match((await send(large, signedFields('github', large, hook.secret, 'large'))).body, {
    outcome: 'pending',
  })
  const several = JSON.stringify({ ...githubPush(), padding: 'x'.repeat(3 * 1024 ** 2) })
  for (const provider of ['github', 'gitlab-signed', 'forgejo'] as const) {
    const fields = signedFields(provider, several, hook.secret, `large of ${provider}`)
    const { turns } = counter
    t.equal((await send(several, fields)).status, 202, provider)
    t.ok(counter.turns - turns >= 6, 'the loop has its turns while the body is hashed')
    t.equal((await send(`${several} `, fields)).status, 404, 'the last byte counts')
  }
  const { 'x-github-delivery': _, ...nameless } = signedFields('github', several, hook.secret, '')
  const { id } = (await send(several, nameless)).body
  t.match((await send(several, nameless)).body, { id, duplicate: true }, 'known by its contents')
  const huge = 'x'.repeat(9 * 1024 ** 2)
  t.equal((await send(huge, signedFields('github', huge, hook.secret, 'huge'))).status, 413)
})

/** Begins to send bodies to a webhook and leaves each at one byte; answers what comes back until their connections end. */
async function stall(
  app: OpenedApp,
  id: string,
  lengths: readonly number[],
): Promise<() => Promise<string[]>> {
  const { port } = new URL(await app.server.listen({ port: 0, host: '127.0.0.1' }))
  const answers = lengths.map((length) => {
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(
      `POST /v1/hooks/${id} HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: ${length}\r\n\r\n{`,
    )
    return text(socket)
  })
  return () => Promise.all(answers)
}

const LARGE = JSON.stringify({ ...githubPush(), padding: 'x'.repeat(300_000) })

test('whoever knows no webhook takes no place of its bodies', async (t) => {
  const { app, hook, send } = await open(t)
  const lengths = Array.from({ length: 80 }, (_, nth) => (nth % 2 === 0 ? 300_000 : 1000))
  let begun = 0
  app.server.server.on('request', () => void (begun += 1))
  const answers = await stall(app, '0192f0c1-7a00-7000-8000-000000000001', lengths)
  await until('all have begun', () => begun === lengths.length)
  t.equal((await send(LARGE, signedFields('github', LARGE, hook.secret, 'large'))).status, 202)
  t.equal((await send(BODY, signedFields('github', BODY, hook.secret, 'small'))).status, 202)
  app.server.server.closeAllConnections()
  for (const answer of await answers()) t.match(answer, /^HTTP\/1\.1 404 /)
})

test('bodies that do not arrive block their own webhook only, and for a bounded time', async (t) => {
  const { app, root, url, hook, send } = await open(t, 2000)
  const made = (await app.must(root, 'POST', url, {})).body
  const other = { id: String(made['id']), secret: String(made['secret']) }
  const push = async ({ id, secret }: typeof hook, key: string) =>
    (await send(LARGE, signedFields('github', LARGE, secret, key), id)).status
  let underWay = 0
  app.server.server.on('request', (_request: IncomingMessage, response: ServerResponse) => {
    underWay += 1
    response.once('close', () => void (underWay -= 1))
  })
  const answers = await stall(app, hook.id, [300_000, 300_000])
  await until('both have begun', () => underWay === 2)
  t.equal(await push(hook, 'one'), 503)
  t.equal(await push(other, 'one'), 202)
  t.same(await answers(), ['', ''], 'without an answer')
  await until('the server has seen the end, too', () => underWay === 0)
  t.equal(await push(hook, 'two'), 202)
})
