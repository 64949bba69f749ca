import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { createPasswords, type Passwords } from '../../../src/modules/identity/password.ts'
import { digest, noise, RegistryClient } from '../../conformance/registry/registry-client.ts'
import { movableSystem } from '../../support/identity-api.ts'
import { ADMIN_TOKEN, openRegistryApi, PASSWORD, PROJECT, USERNAME } from '../../support/registry-api.ts'

async function open(t: Test, passwords?: Passwords) {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-auth-'))
  const system = movableSystem()
  const api = await openRegistryApi({ dataDir, system, ...(passwords && { passwords }) })
  t.teardown(async () => {
    await api.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const as = (authorization?: string) => new RegistryClient(api.origin, authorization)
  const basic = (username: string, password: string) =>
    `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  /** A token of the token service. */
  const exchange = async (authorization: string, ...scopes: string[]) => {
    const query = new URLSearchParams([
      ...scopes.map((scope): [string, string] => ['scope', scope]),
      ['service', 'berth'],
    ])
    return as(authorization).send('GET', `/v2/token?${query.toString()}`)
  }
  return { api, system, as, basic, exchange }
}

test('a 401 names both ways in, with the scope that the request needs', async (t) => {
  const { as } = await open(t)
  const ping = await as().send('GET', '/v2/')
  t.equal(ping.status, 401)
  t.match(ping.text, /"UNAUTHORIZED"/)
  t.match(
    ping.headers['www-authenticate'],
    /^Bearer realm="http:\/\/127\.0\.0\.1:\d+\/v2\/token",service="berth", Basic realm=/,
  )
  const push = await as().send('POST', `/v2/${PROJECT}/web/blobs/uploads/`)
  t.match(push.headers['www-authenticate'], /scope="repository:demo\/web:pull,push"/)
})

test('Basic takes an API token or the password, Bearer any token of Berth', async (t) => {
  const { api, as, basic } = await open(t)
  const token = await api.mintToken()
  for (const good of [
    basic(USERNAME, PASSWORD),
    basic('anything', token),
    `Bearer ${token}`,
    `bearer ${api.session}`,
  ])
    t.equal((await as(good).send('GET', '/v2/')).status, 200, good.slice(0, 12))
  for (const bad of [
    basic(USERNAME, 'wrong wrong wrong'),
    'Bearer bth_pat_none',
    'Bearer bth_reg_a.b',
    'Basic !',
    'Nothing',
  ])
    t.equal((await as(bad).send('GET', '/v2/')).status, 401, bad.slice(0, 20))
})

test('wrong passwords are throttled as a login is, with Retry-After', async (t) => {
  const { as, basic } = await open(t)
  const statuses: number[] = []
  for (let count = 0; count < 7; count += 1)
    statuses.push((await as(basic(USERNAME, `wrong password ${count}`)).send('GET', '/v2/')).status)
  t.same(statuses, [401, 401, 401, 401, 401, 429, 429])
  const refused = await as(basic(USERNAME, PASSWORD)).send('GET', '/v2/')
  t.equal(refused.status, 429, 'the right one too')
  t.match(refused.text, /TOOMANYREQUESTS/)
  t.ok(Number(refused.headers['retry-after']) > 0)
})

/** Real hashing that tells of each check and can hold its answer back. */
function watchedPasswords() {
  const real = createPasswords({ system: createSystem() })
  const watch = { checks: 0, begun: (): void => {}, release: Promise.resolve() }
  const passwords: Passwords = {
    ...real,
    verify: async (password, hash) => {
      watch.checks += 1
      const fits = await real.verify(password, hash)
      watch.begun()
      await watch.release
      return fits
    },
  }
  return { watch, passwords }
}

test('a password that is reset while it is checked opens nothing, nor does one that was checked before', async (t) => {
  const { watch, passwords } = watchedPasswords()
  const { api, as, basic, exchange } = await open(t, passwords)
  const { id } = (await api.call(api.session, 'POST', '/v1/users', { username: 'mal', password: PASSWORD }))
    .body
  const reset = async (password: string) =>
    t.equal((await api.call(api.session, 'PUT', `/v1/users/${String(id)}`, { password })).status, 200)
  const old = basic('mal', PASSWORD)
  t.equal((await as(old).send('GET', '/v2/')).status, 200)
  await reset('another long password')
  t.equal((await as(old).send('GET', '/v2/')).status, 401, 'remembered')
  await reset(PASSWORD)

  const [begun, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  Object.assign(watch, { begun: begun.resolve, release: release.promise })
  const asked = exchange(old, `repository:${PROJECT}/web:pull`)
  await begun.promise
  await reset('another long password')
  release.resolve()
  const { status, json } = await asked
  t.equal(status, 401)
  t.notOk(json['token'])
  t.equal((await exchange(basic('mal', 'another long password'))).status, 200)
})

test('many requests at once with one password are one check of it, right or wrong', async (t) => {
  const { watch, passwords } = watchedPasswords()
  const { exchange, basic } = await open(t, passwords)
  const tenTimes = async (credentials: string) => {
    watch.checks = 0
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) => exchange(credentials, `repository:${PROJECT}/s${n}:pull`)),
    )
    return [watch.checks, ...new Set(answers.map(({ status }) => status))]
  }
  t.same(await tenTimes(basic(USERNAME, PASSWORD)), [1, 200])
  t.same(await tenTimes(basic(USERNAME, 'wrong password')), [1, 401])
})

test('a token that has ended is no failed login of whoever still shows it', async (t) => {
  const { api, as, basic } = await open(t)
  const made = await api.call(api.session, 'POST', '/v1/api-tokens', { name: 'docker' })
  await api.call(api.session, 'DELETE', `/v1/api-tokens/${String(made.body['id'])}`)
  for (const ended of [String(made.body['token']), 'bth_ses_ended', 'bth_adm_old', 'bth_reg_a.b'])
    for (let count = 0; count < 2; count += 1)
      t.equal((await as(basic(USERNAME, ended)).send('GET', '/v2/')).status, 401)
  t.equal((await as(basic(USERNAME, PASSWORD)).send('GET', '/v2/')).status, 200)
  t.ok(await api.login())
})

test('the token service grants what is allowed of what is asked for', async (t) => {
  const { api, as, exchange } = await open(t)
  const viewer = `Bearer ${await api.addUser('viewer', { [api.projectId]: 'viewer' })}`
  const encoded = `Basic ${Buffer.from(`x:${viewer.slice(7)}`).toString('base64')}`
  const answer = await exchange(
    encoded,
    `repository:${PROJECT}/web:pull,push`,
    'repository:secret/web:pull',
    'nonsense',
  )
  t.equal(answer.status, 200)
  t.equal(answer.json['scope'], `repository:${PROJECT}/web:pull`)
  t.ok(Number(answer.json['expires_in']) >= 300)
  const root = as(`Bearer ${await api.mintToken()}`)
  await root.pushImage(`${PROJECT}/web`, 'v1')
  await root.pushImage(`${PROJECT}/other`, 'v1')
  const pull = as(`Bearer ${String(answer.json['token'])}`)
  t.equal((await pull.send('GET', `/v2/${PROJECT}/web/manifests/v1`)).status, 200)
  const beyond = await pull.send('GET', `/v2/${PROJECT}/other/manifests/v1`)
  t.equal(beyond.status, 401, 'a token of one repository, of another')
  t.match(beyond.headers['www-authenticate'], /insufficient_scope/)
  t.equal(
    (await pull.send('POST', `/v2/${PROJECT}/web/blobs/uploads/`)).status,
    403,
    'no token of a viewer can push',
  )
})

test('a token of single repositories lists nothing else, and mounts from nowhere else', async (t) => {
  const { api, as, basic, exchange } = await open(t)
  const root = as(`Bearer ${await api.mintToken()}`)
  const [one, other] = [`${PROJECT}/one`, `${PROJECT}/other`]
  const [here, there] = [await root.pushBlob(one, noise(100)), await root.pushBlob(other, noise(100))]
  const credentials = basic(USERNAME, PASSWORD)
  const bearer = async (...scopes: string[]) =>
    as(`Bearer ${String((await exchange(credentials, ...scopes)).json['token'])}`)
  const narrow = await bearer(`repository:${PROJECT}/new:pull,push`, `repository:${one}:pull`)
  const mount = async (wanted: string) =>
    (await narrow.send('POST', `/v2/${PROJECT}/new/blobs/uploads/?mount=${wanted}`)).status
  t.same([await mount(here), await mount(there)], [201, 202], 'without `from`')
  const refused = await narrow.send('GET', '/v2/_catalog')
  t.equal(refused.status, 401)
  t.match(
    refused.headers['www-authenticate'],
    /scope="registry:catalog:\*",error="insufficient_scope"/,
    'and is told what to ask for',
  )
  const answer = await exchange(credentials, 'registry:catalog:*', `repository:${one}:pull`)
  t.equal(answer.json['scope'], `registry:catalog:* repository:${one}:pull`)
  const wide = as(`Bearer ${String(answer.json['token'])}`)
  t.same((await wide.send('GET', '/v2/_catalog')).json['repositories'], [`${PROJECT}/new`, one, other])
  t.equal((await wide.send('GET', `/v2/${other}/tags/list`)).status, 401)
})

test('viewers pull, operators push, admins delete, and strangers learn nothing', async (t) => {
  const { api, as } = await open(t)
  const otherId = api.addProject('other')
  const clients = {
    viewer: as(`Bearer ${await api.addUser('viewer', { [api.projectId]: 'viewer' })}`),
    operator: as(`Bearer ${await api.addUser('operator', { [api.projectId]: 'operator' })}`),
    admin: as(`Bearer ${await api.addUser('admin', { [api.projectId]: 'admin' })}`),
    stranger: as(`Bearer ${await api.addUser('stranger', { [otherId]: 'admin' })}`),
  }
  const name = `${PROJECT}/web`
  const { manifest } = await clients.operator.pushImage(name, 'v1')
  for (const client of [clients.viewer, clients.operator, clients.admin])
    t.equal((await client.send('GET', `/v2/${name}/manifests/v1`)).status, 200)
  t.equal((await clients.viewer.putManifest(name, 'v2', manifest)).status, 403)
  t.equal((await clients.operator.send('DELETE', `/v2/${name}/manifests/v1`)).status, 403)
  const forbidden = await clients.stranger.send('GET', `/v2/${name}/manifests/v1`)
  const unknown = await clients.stranger.send('GET', '/v2/nobody/web/manifests/v1')
  t.equal(forbidden.status, 404)
  t.same(forbidden.json, unknown.json, 'forbidden and unknown answer alike')
  for (const path of ['tags/list', `blobs/${digest('x')}`, `referrers/${digest('x')}`]) {
    const answers = []
    for (const repository of [name, `${PROJECT}/none`, 'nobody/web']) {
      const { status, headers, text } = await clients.stranger.send('GET', `/v2/${repository}/${path}`)
      answers.push([status, headers['content-type'], text])
    }
    t.same(answers[1], answers[0], path)
    t.same(answers[2], answers[0], path)
  }
  t.same((await clients.stranger.send('GET', '/v2/_catalog')).json['repositories'], [])
  t.same((await clients.viewer.send('GET', '/v2/_catalog')).json['repositories'], [name])
  const wanted = await clients.operator.pushBlob(name, noise(100))
  const mount = `/v2/other/thing/blobs/uploads/?mount=${wanted}&from=${name}`
  t.equal((await clients.stranger.send('POST', mount)).status, 202, 'nobody mounts what they may not pull')
  t.equal((await clients.stranger.send('POST', `/v2/other/thing/blobs/uploads/?mount=${wanted}`)).status, 202)
  t.equal((await clients.admin.send('DELETE', `/v2/${name}/manifests/v1`)).status, 202)
})

test('refusals are kept with who was refused where, also those that look like nothing', async (t) => {
  const { api, as } = await open(t)
  const otherId = api.addProject('other')
  const viewer = as(`Bearer ${await api.addUser('viewer', { [api.projectId]: 'viewer' })}`)
  const stranger = as(`Bearer ${await api.addUser('stranger', { [otherId]: 'admin' })}`)
  const push = () => viewer.send('POST', `/v2/${PROJECT}/web/blobs/uploads/`)
  t.equal((await push()).status, 403)
  t.equal((await stranger.send('GET', `/v2/${PROJECT}/web/tags/list`)).status, 404)
  t.equal((await stranger.send('GET', '/v2/nobody/web/tags/list')).status, 404)
  t.equal((await as().send('GET', `/v2/${PROJECT}/web/tags/list`)).status, 401)
  for (let count = 0; count < 3; count += 1) await push()
  const exchange = await fetch(`${api.origin}/v2/token`, {
    headers: { authorization: `Basic ${btoa(`admin:${ADMIN_TOKEN}`)}` },
  })
  t.equal(exchange.status, 403)
  api.audit.flush()
  const rows = api.database.all<Record<string, string>>(
    "SELECT actor_name, action, project_id, details FROM audit_events WHERE outcome = 'denied' ORDER BY sequence",
  )
  const [forbidden, hidden] = ['{"code":"FORBIDDEN","permission":"registry.push"', '{"code":"NAME_UNKNOWN"']
  t.same(
    rows.map((row) => [row['actor_name'], row['action'], row['project_id'], row['details']]),
    [
      ['viewer', 'registry POST', api.projectId, `${forbidden}}`],
      ['stranger', 'registry GET', api.projectId, `${hidden},"permission":"registry.pull"}`],
      ['install-admin', 'registry GET', null, '{"code":"FORBIDDEN"}'],
      ['viewer', 'registry POST', api.projectId, `${forbidden},"repeated":3}`],
    ],
  )
})

test('a signed token ends with its time, and with what it was made from', async (t) => {
  const { api, system, as, basic, exchange } = await open(t)
  const name = `${PROJECT}/web`
  await as(`Bearer ${await api.mintToken()}`).pushImage(name, 'v1')
  const scope = `repository:${name}:pull`
  const made = await api.call(api.session, 'POST', '/v1/api-tokens', { name: 'short' })
  const fromToken = as(
    `Bearer ${String((await exchange(basic('x', String(made.body['token'])), scope)).json['token'])}`,
  )
  const fromPassword = as(
    `Bearer ${String((await exchange(basic(USERNAME, PASSWORD), scope)).json['token'])}`,
  )
  const status = async (client: RegistryClient) =>
    (await client.send('GET', `/v2/${name}/manifests/v1`)).status
  t.same([await status(fromToken), await status(fromPassword)], [200, 200])
  await api.call(api.session, 'DELETE', `/v1/api-tokens/${String(made.body['id'])}`)
  t.same([await status(fromToken), await status(fromPassword)], [401, 200], 'its API token was revoked')
  system.advance(3_600_000)
  t.equal(await status(fromPassword), 401, 'its time is over')
})

test('refresh tokens of the OAuth2 form', async (t) => {
  const { api, as } = await open(t)
  const post = (form: Record<string, string>) =>
    as().send('POST', '/v2/token', {
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(form).toString(),
    })
  const first = await post({
    grant_type: 'password',
    username: USERNAME,
    password: PASSWORD,
    access_type: 'offline',
    scope: `repository:${PROJECT}/web:push`,
  })
  t.equal(first.status, 200)
  const refresh = String(first.json['refresh_token'])
  const again = await post({
    grant_type: 'refresh_token',
    refresh_token: refresh,
    scope: `repository:${PROJECT}/web:pull`,
  })
  t.equal(again.json['scope'], `repository:${PROJECT}/web:pull`)
  t.equal((await as(`Bearer ${refresh}`).send('GET', '/v2/')).status, 401, 'it opens nothing by itself')
  const session = await api.login()
  await api.call(session, 'PUT', '/v1/me/password', { current: PASSWORD, new: 'another long password' })
  t.equal(
    (await post({ grant_type: 'refresh_token', refresh_token: refresh })).status,
    401,
    'a new password ends it',
  )
  t.equal((await post({ grant_type: 'other' })).status, 400)
})
