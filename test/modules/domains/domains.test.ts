import { once } from 'node:events'
import { chmod, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { openApp } from '../../support/app.ts'
import { newPerson } from '../../support/berth-command.ts'
import { startDnsServer } from '../../support/dns-server.ts'
import { waitFor } from '../../support/wait.ts'

/** A daemon whose domains are checked on a server of the test, which hands the questions to the API; its clock can be put ahead. */
async function openDomains(t: Test, environment: Record<string, string> = {}) {
  const dns = await startDnsServer(t)
  const front = createServer((request, response) => {
    void app.server
      .inject({ method: 'GET', url: request.url ?? '', headers: { host: request.headers.host ?? '' } })
      .then((answer) => response.writeHead(answer.statusCode).end(answer.rawPayload))
  })
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  t.teardown(() => front.close())
  const real = createSystem()
  let ahead = 0
  const now = (): number => real.now() + ahead
  const app = await openApp({
    system: { ...real, now, nowIso: () => new Date(now()).toISOString() },
    environment: {
      BERTH_DNS_SERVERS: dns.address,
      BERTH_DOMAIN_CHECK_PORT: String((front.address() as AddressInfo).port),
      BERTH_DOMAIN_INTERNAL_ADDRESSES: 'true',
      BERTH_HTTP_BIND: '127.0.0.1',
      BERTH_HTTP_PORT: '0',
      BERTH_INGRESS_WORKERS: '1',
      ...environment,
    },
  })
  t.teardown(() => app.close())
  const { api } = await app.app.start()
  const root = await app.bootstrap()
  const make = async (
    project: string,
    service: string,
  ): Promise<{ project: string; service: string; url: string }> => {
    const found = (await app.must(root, 'GET', '/v1/projects')).list.find((each) => each['name'] === project)
    const projectId = String(
      found?.['id'] ?? (await app.must(root, 'POST', '/v1/projects', { name: project })).body['id'],
    )
    const made = await app.must(root, 'POST', '/v1/services', { name: service, project_id: projectId })
    return {
      project: projectId,
      service: String(made.body['id']),
      url: `/v1/services/${String(made.body['id'])}/domains`,
    }
  }
  return { app, api, root, dns, make, advance: (ms: number) => void (ahead += ms) }
}

test('a hostname is claimed, proven, shown and taken away again', async (t) => {
  const { app, root, dns, make } = await openDomains(t)
  const { service, url } = await make('shop', 'web')
  const created = await app.send(root, 'POST', url, { hostname: 'Shop.Example.COM.' })
  t.equal(created.status, 201)
  t.match(created.body, {
    service_id: service,
    hostname: 'shop.example.com',
    status: 'pending',
    verified_at: null,
    challenge: { type: 'http', dns_name: null },
  })
  const { path, token, url: full } = created.body['challenge'] as Record<string, string>
  t.equal(path, `/.well-known/denia-challenge/${token}`)
  t.match(full, new RegExp(`^http://shop\\.example\\.com:\\d+${path}$`))
  const one = `${url}/${String(created.body['id'])}`

  const failed = await app.send(root, 'POST', `${one}/verify`)
  t.equal(failed.status, 200)
  t.match(failed.body, { status: 'failed', reason_code: 'no_dns_record', reason: /no A or AAAA record/ })

  dns.zones.set('shop.example.com', { a: ['127.0.0.1'] })
  const proven = await app.send(root, 'POST', `${one}/verify`)
  t.match(proven.body, { status: 'verified', reason_code: null, reason: null, expires_at: null })
  t.same((await app.must(root, 'GET', one)).body['status'], 'verified')
  t.equal((await app.must(root, 'GET', url)).list.length, 1)
  t.same((await app.must(root, 'GET', `/v1/services/${service}`)).body['domains'], ['shop.example.com'])

  t.equal((await app.send(root, 'DELETE', one, undefined, { 'if-match': '"old"' })).status, 412)
  t.equal((await app.send(root, 'DELETE', one)).status, 204)
  t.equal((await app.send(root, 'GET', one)).status, 404)
  t.same((await app.must(root, 'GET', url)).list, [])
  const events = (await app.must(root, 'GET', '/v1/audit-events')).list.filter(
    (each) => each['resource_kind'] === 'domain',
  )
  t.same(
    events.map((each) => [each['action'], each['outcome']]),
    [
      ['deleteDomain', 'done'],
      ['verifyDomain', 'done'],
      ['verifyDomain', 'failed'],
      ['addDomain', 'done'],
    ],
  )
})

test('the proof is answered only to a request for the very hostname', async (t) => {
  const { app, root, make } = await openDomains(t)
  const { url } = await make('shop', 'web')
  const { body } = await app.must(root, 'POST', url, { hostname: 'shop.example.com' })
  const { path, token } = body['challenge'] as Record<string, string>
  const ask = (host: string, at = path ?? '') => app.send(undefined, 'GET', at, undefined, { host })
  const good = await ask('SHOP.example.com:8080')
  t.equal(good.text, token)
  t.match(good.headers, { 'content-type': /^text\/plain/, 'cache-control': 'no-store' })
  for (const host of ['localhost', 'other.example.com', 'x.shop.example.com', '127.0.0.1'])
    t.equal((await ask(host)).status, 404, host)
  t.equal((await ask('shop.example.com', `${path}x`)).status, 404)
})

test('a claim holds nobody up: two projects may have one, and the first to prove it has the name', async (t) => {
  const { app, root, dns, make } = await openDomains(t)
  const one = await make('one', 'web')
  const two = await make('two', 'web')
  const first = (await app.must(root, 'POST', one.url, { hostname: 'shop.example.com' })).body
  const second = (await app.must(root, 'POST', two.url, { hostname: 'shop.example.com' })).body
  t.equal(
    (await app.send(root, 'POST', one.url, { hostname: 'shop.example.com' })).body.error,
    'DOMAIN_TAKEN',
    'but not twice by one service',
  )
  dns.zones.set('shop.example.com', { a: ['127.0.0.1'] })
  t.equal(
    (await app.must(root, 'POST', `${two.url}/${String(second['id'])}/verify`)).body['status'],
    'verified',
  )
  const late = await app.must(root, 'POST', `${one.url}/${String(first['id'])}/verify`)
  t.match(late.body, { status: 'failed', reason_code: 'taken' })
  const three = await make('three', 'web')
  const refused = await app.send(root, 'POST', three.url, { hostname: 'shop.example.com' })
  t.match(refused, { status: 409, body: { error: 'DOMAIN_TAKEN' } })
  t.match(refused.body.details, [{ message: 'shop.example.com is attached to two/web' }])

  const { id } = (
    await app.must(root, 'POST', '/v1/users', { username: 'eve', password: 'a long enough password' })
  ).body
  await app.must(root, 'POST', `/v1/projects/${three.project}/members`, { user_id: id, role: 'operator' })
  const eve = await app.login('eve')
  const blind = await app.send(eve, 'POST', three.url, { hostname: 'shop.example.com' })
  t.match(
    blind.body.details,
    [{ message: 'shop.example.com is attached to another service' }],
    'a stranger is not told where',
  )
  t.equal(
    (await app.send(eve, 'GET', `${three.url}/${String(second['id'])}`)).status,
    404,
    "another service's domain is not found here",
  )

  await app.must(root, 'DELETE', `/v1/services/${two.service}`)
  t.equal(
    (await app.must(root, 'POST', `${one.url}/${String(first['id'])}/verify`)).body['status'],
    'verified',
  )
})

test("what another project's wildcard covers is taken from it by DNS only; what was proven before stays", async (t) => {
  const { app, root, dns, make } = await openDomains(t)
  const [wild, own, early, late] = [
    await make('saas', 'app'),
    await make('saas', 'admin'),
    await make('first', 'web'),
    await make('thief', 'web'),
  ]
  const add = async ({ url }: { url: string }, hostname: string) => {
    const { body } = await app.must(root, 'POST', url, { hostname })
    const verify = async () => (await app.must(root, 'POST', `${url}/${String(body['id'])}/verify`)).body
    return {
      verify,
      token: (body['challenge'] as { token: string }).token,
      url: `${url}/${String(body['id'])}`,
    }
  }
  for (const name of ['old', 'new', 'own']) dns.zones.set(`${name}.example.com`, { a: ['127.0.0.1'] })
  const old = await add(early, 'old.example.com')
  t.match(await old.verify(), { status: 'verified' })
  const cover = await add(wild, '*.example.com')
  dns.zones.set('_denia-challenge.example.com', { txt: [cover.token] })
  t.match(await cover.verify(), { status: 'verified' }, 'a wildcard over a name that somebody has')
  t.match(await old.verify(), { status: 'verified', challenge: { type: 'http' } }, 'who keeps it')
  t.match(await (await add(own, 'own.example.com')).verify(), { status: 'verified' }, 'within the project')

  const taken = await add(late, 'new.example.com')
  t.match(await taken.verify(), {
    status: 'failed',
    reason_code: 'taken',
    reason: new RegExp(
      `\\*\\.example\\.com.* TXT record _denia-challenge\\.new\\.example\\.com .*${taken.token}`,
    ),
    challenge: { type: 'dns', dns_name: '_denia-challenge.new.example.com' },
  })
  dns.zones.set('_denia-challenge.new.example.com', { txt: [taken.token] })
  t.match(await taken.verify(), { status: 'verified' }, 'whoever has the DNS of the name gives it away')
  dns.zones.delete('_denia-challenge.new.example.com')
  t.match(await taken.verify(), { reason_code: 'taken', failing_since: /T/ }, 'and takes it back')
  await app.must(root, 'DELETE', cover.url)
  t.match(
    await taken.verify(),
    { status: 'verified', challenge: { type: 'http' } },
    'nobody covers it any more',
  )
})

test('a deleted service leaves no claim behind, and its name is free at once', async (t) => {
  const { app, root, dns, make } = await openDomains(t)
  const { service, url } = await make('shop', 'web')
  const { body } = await app.must(root, 'POST', url, { hostname: 'shop.example.com' })
  const { path } = body['challenge'] as Record<string, string>
  dns.zones.set('shop.example.com', { a: ['127.0.0.1'] })
  await app.must(root, 'POST', `${url}/${String(body['id'])}/verify`)
  await app.must(root, 'DELETE', `/v1/services/${service}`)
  t.equal((await app.send(undefined, 'GET', path ?? '', undefined, { host: 'shop.example.com' })).status, 404)
  const next = await make('shop', 'next')
  t.equal((await app.send(root, 'POST', next.url, { hostname: 'shop.example.com' })).status, 201)
})

test('claims that are not proven in time go by themselves; those that can be are proven by themselves', async (t) => {
  const { app, root, dns, make, advance } = await openDomains(t)
  const { url } = await make('shop', 'web')
  const good = (await app.must(root, 'POST', url, { hostname: 'good.example.com' })).body
  const bad = (await app.must(root, 'POST', url, { hostname: 'bad.example.com' })).body
  dns.zones.set('good.example.com', { a: ['127.0.0.1'] })
  advance(2 * 60_000)
  const read = async (domain: Record<string, unknown>) =>
    (await app.send(root, 'GET', `${url}/${String(domain['id'])}`)).body
  await waitFor('the claim is proven', async () => (await read(good))['status'] === 'verified', 40_000)
  t.match(await read(bad), { status: 'failed', reason_code: 'no_dns_record' })
  advance(7 * 86_400_000)
  await app.login('root')
  const again = await app.login('root')
  await waitFor(
    'the claim is gone',
    async () => (await app.send(again, 'GET', `${url}/${String(bad['id'])}`)).status === 404,
    40_000,
  )
  t.equal((await app.must(again, 'GET', `${url}/${String(good['id'])}`)).status, 200)
})

test("a service's own list of hostnames can be set with it", async (t) => {
  const { app, root } = await openDomains(t, { BERTH_CONTROL_DOMAIN: 'berth.example.com' })
  const made = await app.must(root, 'POST', '/v1/services', {
    name: 'web',
    domains: ['b.example.com', 'A.example.com'],
  })
  const url = `/v1/services/${String(made.body['id'])}`
  t.same(made.body['domains'], ['a.example.com', 'b.example.com'])
  const [claim] = (await app.must(root, 'GET', `${url}/domains`)).list
  const changed = await app.must(root, 'PATCH', url, { domains: ['b.example.com', 'c.example.com'] })
  t.same(changed.body['domains'], ['b.example.com', 'c.example.com'])
  t.ok(
    (await app.must(root, 'GET', `${url}/domains`)).list.some(
      (each) => each['id'] === claim?.['id'] || each['hostname'] === 'b.example.com',
    ),
  )
  t.same(
    (await app.must(root, 'PUT', url, { name: 'web' })).body['domains'],
    ['b.example.com', 'c.example.com'],
    'left out: as it was',
  )
  const bad = await app.send(root, 'PATCH', url, {
    domains: ['b.example.com', 'x.berth.example.com'],
    replicas: 5,
  })
  t.match(bad.body, { error: 'POLICY_REFUSED', details: [{ field: 'domains.1' }] })
  t.equal((await app.must(root, 'GET', url)).body['replicas'], 1, 'all or nothing')
})

test('who may only look may not claim', async (t) => {
  const { app, root, make } = await openDomains(t)
  const { project, url } = await make('shop', 'web')
  const { id } = (
    await app.must(root, 'POST', '/v1/users', { username: 'vera', password: 'a long enough password' })
  ).body
  await app.must(root, 'POST', `/v1/projects/${project}/members`, { user_id: id, role: 'viewer' })
  const vera = await app.login('vera')
  t.equal((await app.send(vera, 'GET', url)).status, 200)
  t.match(await app.send(vera, 'POST', url, { hostname: 'a.example.com' }), {
    status: 403,
    body: { permission: 'domains.write' },
  })
})

test('the command attaches a hostname, says why it is not proven, and takes it away', async (t) => {
  const { api, root, dns, make } = await openDomains(t)
  await make('shop', 'web')
  const { berth } = await newPerson(t, { BERTH_URL: api, BERTH_TOKEN: root })
  t.match(await berth(['domains', 'add', 'Shop.Example.com', 'shop/web']), {
    status: 0,
    stdout: 'shop.example.com is failed\n',
    stderr: /has no A or AAAA record\. Point it to/,
  })
  t.match(
    (await berth(['domains'])).stdout,
    /shop\.example\.com +shop\/web +failed +none +shop\.example\.com has no A/,
  )
  dns.zones.set('shop.example.com', { a: ['127.0.0.1'] })
  t.match(await berth(['domains', 'verify', 'shop.example.com']), {
    status: 0,
    stdout: 'shop.example.com is verified\n',
  })
  t.match(await berth(['domains', 'rm', 'shop.example.com', '--yes']), { status: 0 })
  t.match(await berth(['domains', 'rm', 'shop.example.com', '--yes']), { status: 4, stderr: /no domain/ })
})

test('a wildcard is proven by a TXT record, by hand or by the hook', async (t) => {
  const { app, root, dns, make } = await openDomains(t)
  const { url } = await make('shop', 'web')
  const { body } = await app.must(root, 'POST', url, { hostname: '*.example.com' })
  const { token } = body['challenge'] as Record<string, string>
  t.match(body['challenge'], {
    type: 'dns',
    dns_name: '_denia-challenge.example.com',
    path: null,
    url: null,
  })
  const verify = `${url}/${String(body['id'])}/verify`
  t.match((await app.must(root, 'POST', verify)).body, {
    status: 'failed',
    reason_code: 'no_txt_record',
    reason: new RegExp(token ?? ''),
  })
  dns.zones.set('_denia-challenge.example.com', { txt: ['something else'] })
  t.match((await app.must(root, 'POST', verify)).body, { status: 'failed', reason_code: 'wrong_txt_record' })
  dns.zones.set('_denia-challenge.example.com', { txt: ['something else', token ?? ''] })
  t.match((await app.must(root, 'POST', verify)).body, { status: 'verified' })
})

test('the hook gets action, name and value, without a shell and without our environment', async (t) => {
  const directory = t.testdir({})
  const hook = join(directory, 'hook')
  const said = join(directory, 'said')
  // What it leaves running holds nobody up.
  await writeFile(
    hook,
    `#!/bin/sh\nset -eu\nprintf '%s|' "$SERVICE" "$@" "\${BERTH_ADMIN_TOKEN-none}" >> ${said}\necho >> ${said}\n[ ! -e ${directory}/refuse ] || { echo 'not your zone' >&2; exit 3; }\ncase "$*" in *present*) (sleep 30; echo late >> ${said}) & ;; esac\n`,
  )
  await chmod(hook, 0o755)
  const { app, root, dns, make } = await openDomains(t, { BERTH_DNS_HOOK: `${hook},fixed $(argument)` })
  const { url } = await make('shop', 'web')
  const { body } = await app.must(root, 'POST', url, { hostname: '*.example.com' })
  const { token } = body['challenge'] as Record<string, string>
  const verify = `${url}/${String(body['id'])}/verify`
  await writeFile(join(directory, 'refuse'), '')
  t.match((await app.must(root, 'POST', verify)).body, {
    reason_code: 'hook_failed',
    reason: /not your zone/,
  })
  await writeFile(said, '')
  await rm(join(directory, 'refuse'))
  const running = app.must(root, 'POST', verify)
  await waitFor('the hook was called', async () => (await readFile(said, 'utf8')).includes('present'), 20_000)
  dns.zones.set('_denia-challenge.example.com', { txt: [token ?? ''] })
  t.match((await running).body, { status: 'verified' })
  t.same((await readFile(said, 'utf8')).trim().split('\n'), [
    `shop/web|fixed $(argument)|present|_denia-challenge.example.com|${token}|none|`,
    `shop/web|fixed $(argument)|cleanup|_denia-challenge.example.com|${token}|none|`,
  ])
})
