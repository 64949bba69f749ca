import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { ADMIN_TOKEN, type OpenedApp, openApp } from '../support/app.ts'
import { makeWorld } from '../support/world.ts'

/** A secret that is easy to find, in the forms that it may take on its way. */
function makeCanary(name: string): { value: string; forms: string[] } {
  const value = `canary-${name}-5d0f2c9b7e41`
  const bytes = Buffer.from(value)
  return {
    value,
    // A base64 of something around it shifts: the inner part of each alignment is looked for.
    forms: [
      value,
      bytes.toString('hex'),
      encodeURIComponent(value),
      ...[0, 1, 2].map((shift) =>
        Buffer.concat([Buffer.alloc(shift), bytes])
          .toString('base64')
          .slice(4, -6),
      ),
    ],
  }
}

/** Every file below a directory as text. */
async function readAll(directory: string): Promise<{ name: string; text: string }[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Promise.all(files.map(async (name) => ({ name, text: await readFile(name, 'latin1') })))
}

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
}

/** Plants every secret through the API; answers what was said by errors and what else is secret. */
async function plant(app: OpenedApp): Promise<{ errors: string[]; tokens: string[] }> {
  const { root, serviceId } = await makeWorld(app)
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
})
