import { buffer } from 'node:stream/consumers'
import { test } from 'tap'
import { packArchive } from '../../src/lib/archive-pack.ts'
import { ADMIN_TOKEN, type OpenedApp, openApp } from '../support/app.ts'
import { makeCanary, readAll } from '../support/canary.ts'
import { makeWorld, type World } from '../support/world.ts'

const SECRETS = {
  password: makeCanary('password'),
  wrong_password: makeCanary('wrong-password'),
  new_password: makeCanary('new-password'),
  bearer: makeCanary('bearer'),
  cookie: makeCanary('cookie'),
  env: makeCanary('env'),
  patched_env: makeCanary('patched-env'),
  shared_env: makeCanary('shared-env'),
  refused_env: makeCanary('refused-env'),
  unknown_field: makeCanary('unknown-field'),
  query: makeCanary('query'),
  webhook_secret: makeCanary('webhook-secret'),
  rotated_secret: makeCanary('rotated-secret'),
  wrong_secret: makeCanary('wrong-secret'),
  git_token: makeCanary('git-token'),
  registry_password: makeCanary('registry-password'),
  registry_token: makeCanary('registry-token'),
  volume: makeCanary('volume'),
}

/** Plants the secrets of what hangs on a service or its project. */
async function plantAround(app: OpenedApp, { root, projectId, serviceId }: World): Promise<void> {
  const hooks = `/v1/services/${serviceId}/webhooks`
  const hook = await app.must(root, 'POST', hooks, { secret: SECRETS.webhook_secret.value })
  const id = String(hook.body['id'])
  const push = { ref: 'refs/heads/main', after: 'a'.repeat(40), project: { path_with_namespace: 'a/b' } }
  for (const { value } of [SECRETS.webhook_secret, SECRETS.wrong_secret])
    await app.send(undefined, 'POST', `/v1/hooks/${id}`, push, {
      'x-gitlab-event': 'Push Hook',
      'x-gitlab-token': value,
    })
  await app.must(root, 'POST', `${hooks}/${id}/rotate-secret`, { secret: SECRETS.rotated_secret.value })
  const git = { kind: 'https_token', host: 'canary.example.com', token: SECRETS.git_token.value }
  await app.must(root, 'POST', `/v1/projects/${projectId}/credentials/git`, git)
  const registry = { name: 'canary', endpoint: 'registry.example.com', auth_kind: 'basic', username: 'bird' }
  const registries = `/v1/projects/${projectId}/registries`
  const made = await app.must(root, 'POST', registries, {
    ...registry,
    password: SECRETS.registry_password.value,
  })
  await app.must(root, 'PATCH', `${registries}/${String(made.body['id'])}`, {
    auth_kind: 'token',
    token: SECRETS.registry_token.value,
  })
  const content = Buffer.from(SECRETS.volume.value)
  const archive = await buffer(
    packArchive([{ kind: 'file', name: SECRETS.volume.value, mode: 0o600, content }]),
  )
  const volume = `/v1/services/${serviceId}/volumes/data`
  const type = { 'content-type': 'application/x-tar' }
  await app.must(root, 'POST', `${volume}/restore`, archive, type)
  await app.send(root, 'POST', `${volume}/restore`, archive.subarray(0, 600), type)
}

/** Plants every secret through the API; answers what was said by errors and what else is secret. */
async function plant(app: OpenedApp): Promise<{ errors: string[]; tokens: string[] }> {
  const world = await makeWorld(app)
  const { root, serviceId } = world
  await plantAround(app, world)
  const key = { 'idempotency-key': 'canary' }
  const { password, new_password, env } = SECRETS
  await app.must(root, 'POST', '/v1/users', { username: 'bird', password: password.value }, key)
  const session = await app.login('bird', password.value)
  await app.must(session, 'PUT', '/v1/me/password', { current: password.value, new: new_password.value })
  const minted = await app.must(
    root,
    'POST',
    '/v1/api-tokens',
    { name: 'bird' },
    { 'idempotency-key': 'token' },
  )
  const made = await app.must(
    root,
    'POST',
    '/v1/services',
    { name: 'bird', env: { SECRET: env.value } },
    {
      'idempotency-key': 'service',
    },
  )
  const own = String(made.body['id'])
  await app.must(root, 'PATCH', `/v1/services/${own}/env`, { set: { OTHER: SECRETS.patched_env.value } })
  await app.must(root, 'POST', '/v1/projects', {
    name: 'nest',
    shared_env: { SHARED: SECRETS.shared_env.value },
  })
  const refused = SECRETS.refused_env.value
  const answers = [
    await app.send(undefined, 'POST', '/v1/auth/login', {
      username: 'bird',
      password: SECRETS.wrong_password.value,
    }),
    await app.send(session, 'PUT', '/v1/me/password', {
      current: SECRETS.wrong_password.value,
      new: password.value,
    }),
    await app.send(SECRETS.bearer.value, 'GET', '/v1/me'),
    await app.send(undefined, 'GET', '/v1/me', undefined, {
      cookie: `berth_session=${SECRETS.cookie.value}`,
    }),
    await app.send(root, 'PUT', `/v1/services/${serviceId}/env`, { GOOD: refused, 'bad name': refused }),
    await app.send(root, 'PUT', `/v1/services/${serviceId}/env`, { A: refused, B: 5 }),
    await app.send(root, 'POST', '/v1/services', { name: 'x y', env: { A: refused } }),
    await app.send(root, 'POST', '/v1/services', `{"name":"x","env":{"A":"${refused}"`, {
      'content-type': 'application/json',
    }),
    await app.send(root, 'POST', '/v1/users', {
      username: '!',
      password: SECRETS.unknown_field.value,
      secret: SECRETS.unknown_field.value,
    }),
    await app.send(root, 'GET', `/v1/users?ticket=${SECRETS.query.value}`),
    await app.send(root, 'GET', `/v1/nothing?ticket=${SECRETS.query.value}`),
  ]
  return {
    errors: answers.filter((answer) => answer.status >= 400).map((answer) => answer.text),
    tokens: [root, session, String(minted.body['token']), ADMIN_TOKEN],
  }
}

test('secrets are in no log, no audit event, no error and no file but sealed or hashed', async (t) => {
  const app = await openApp()
  t.teardown(() => app.close())
  const { errors, tokens } = await plant(app)
  t.equal(errors.length, 11)
  const admin = await app.login('root')
  const exported = await app.must(admin, 'GET', '/v1/audit-events/export')
  const places = [
    { name: 'the log', text: app.log() },
    { name: 'the audit log', text: exported.text },
    ...errors.map((text, index) => ({ name: `error ${index}`, text })),
    ...(await readAll(app.dataDir)),
  ]
  t.ok(
    places.some(({ name }) => name.endsWith('berth.db-wal')),
    'the write-ahead log was searched too',
  )
  for (const { name, text } of places) {
    for (const [what, { forms }] of Object.entries(SECRETS)) {
      t.notOk(
        forms.some((form) => text.includes(form)),
        `${what} in ${name}`,
      )
    }
    for (const token of tokens) t.notOk(text.includes(token), `a token in ${name}`)
  }
})

test('the canary would be found: it is in what its owner reads', async (t) => {
  const app = await openApp()
  t.teardown(() => app.close())
  await plant(app)
  const admin = await app.login('root')
  const services = await app.must(admin, 'GET', '/v1/services')
  const id = services.list.find((service) => service['name'] === 'bird')?.['id']
  const read = await app.must(admin, 'GET', `/v1/services/${String(id)}/env`)
  t.same(read.body, { SECRET: SECRETS.env.value, OTHER: SECRETS.patched_env.value })
  const front = services.list.find((service) => service['name'] === 'front')?.['id']
  const backup = await app.must(admin, 'GET', `/v1/services/${String(front)}/volumes/data/backup`)
  t.ok(backup.text.includes(SECRETS.volume.value))
})
