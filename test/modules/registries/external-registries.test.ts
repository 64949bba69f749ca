import { test, type Test } from 'tap'
import { openApp } from '../../support/app.ts'

async function open(t: Test) {
  const app = await openApp()
  t.teardown(() => app.close())
  const root = await app.bootstrap()
  const projectId = String((await app.must(root, 'POST', '/v1/projects', { name: 'shop' })).body['id'])
  const base = `/v1/projects/${projectId}/registries`
  return { app, root, projectId, base }
}

const GHCR = {
  name: 'ghcr',
  endpoint: 'GHCR.io',
  auth_kind: 'basic',
  username: 'olive',
  password: 'a secret of olive',
}

test('an external registry is added, read, changed and removed, and what is shown to it never comes back', async (t) => {
  const { app, root, base } = await open(t)
  const made = await app.must(root, 'POST', base, GHCR)
  t.equal(made.status, 201)
  const { id } = made.body
  t.match(made.body, { name: 'ghcr', endpoint: 'https://ghcr.io', auth_kind: 'basic' })
  const one = await app.must(root, 'GET', `${base}/${String(id)}`)
  t.match((await app.must(root, 'GET', base)).list, [{ id }])
  await app.must(root, 'PATCH', `${base}/${String(id)}`, { name: 'github' })
  const stale = await app.send(
    root,
    'PATCH',
    `${base}/${String(id)}`,
    { name: 'x' },
    { 'if-match': String(one.headers['etag']) },
  )
  t.equal(stale.status, 412)
  const put = { name: 'hub', endpoint: 'https://docker.io', auth_kind: 'token', token: 'another secret' }
  const replaced = await app.must(root, 'PUT', `${base}/${String(id)}`, put)
  t.match(replaced.body, { name: 'hub', endpoint: 'https://registry-1.docker.io', auth_kind: 'token' })
  for (const text of [made.text, one.text, replaced.text, app.log()]) t.notMatch(text, /secret|olive/)
  t.equal((await app.must(root, 'DELETE', `${base}/${String(id)}`)).status, 204)
  t.equal((await app.send(root, 'GET', `${base}/${String(id)}`)).status, 404)
})

test('what is wrong is named, and a password does not follow to another endpoint', async (t) => {
  const { app, root, base } = await open(t)
  const { id } = (await app.must(root, 'POST', base, GHCR)).body
  const wrong: [sent: object, field: string][] = [
    [{ ...GHCR, name: 'b', endpoint: 'http://ghcr.io' }, 'endpoint'],
    [{ ...GHCR, name: 'b', endpoint: 'https://u:p@ghcr.io' }, 'endpoint'],
    [{ ...GHCR, name: 'b', endpoint: 'https://ghcr.io/path' }, 'endpoint'],
    [{ name: 'b', endpoint: 'ghcr.io', auth_kind: 'token' }, 'token'],
    [{ ...GHCR, name: 'b', auth_kind: 'anonymous' }, 'username'],
  ]
  for (const [sent, field] of wrong) {
    const answer = await app.send(root, 'POST', base, sent)
    t.match(answer, { status: 400, body: { error: 'VALIDATION_ERROR' } }, JSON.stringify(sent))
    t.equal(answer.body.details?.[0]?.field, field)
  }
  t.match((await app.send(root, 'POST', base, GHCR)).body, { error: 'NAME_TAKEN' })
  const elsewhere = await app.send(root, 'PATCH', `${base}/${String(id)}`, { endpoint: 'evil.example.com' })
  t.match(elsewhere, { status: 400, body: { details: [{ field: 'username' }, { field: 'password' }] } })
  t.match((await app.must(root, 'PATCH', `${base}/${String(id)}`, { endpoint: 'ghcr.io' })).body, {
    endpoint: 'https://ghcr.io',
  })
})

test('a registry that a service uses stays; one of another project cannot be used', async (t) => {
  const { app, root, base, projectId } = await open(t)
  const { id } = (await app.must(root, 'POST', base, GHCR)).body
  const source = { type: 'external_image', registry_id: id, image_ref: 'shop/web:v1' }
  const other = String((await app.must(root, 'POST', '/v1/projects', { name: 'other' })).body['id'])
  const foreign = await app.send(root, 'POST', '/v1/services', { name: 'web', project_id: other, source })
  t.match(foreign, { status: 400, body: { details: [{ field: 'source.registry_id' }] } })
  const service = await app.must(root, 'POST', '/v1/services', { name: 'web', project_id: projectId, source })
  t.match(service.body['source'], { ...source, auto_deploy: false })
  t.match(await app.send(root, 'DELETE', `${base}/${String(id)}`), {
    status: 409,
    body: { error: 'IN_USE', details: [{ message: 'service web' }] },
  })
  await app.must(root, 'PATCH', `/v1/services/${String(service.body['id'])}`, { source: { type: 'upload' } })
  t.equal((await app.send(root, 'DELETE', `${base}/${String(id)}`)).status, 204)
})

/** A project `shop` with an operator, opal, who may also pull from the project `secret`. */
async function openSecret(t: Test) {
  const opened = await open(t)
  const { app, root, projectId } = opened
  const secret = String((await app.must(root, 'POST', '/v1/projects', { name: 'secret' })).body['id'])
  const { id: user_id } = (
    await app.must(root, 'POST', '/v1/users', { username: 'opal', password: 'a long enough password' })
  ).body
  await app.must(root, 'POST', `/v1/projects/${projectId}/members`, { user_id, role: 'operator' })
  const members = `/v1/projects/${secret}/members`
  const opal = await app.login('opal')
  const sourceOf = (image: string, more: object = {}) => ({
    source: { type: 'external_image', image, ...more },
  })
  return {
    ...opened,
    secret,
    opal,
    sourceOf,
    grant: () => app.must(root, 'POST', members, { user_id, role: 'viewer' }),
    revoke: () => app.must(root, 'DELETE', `${members}/${String(user_id)}`),
    create: (token: string, name: string, image: string, more: object = {}) =>
      app.send(token, 'POST', '/v1/services', { name, project_id: projectId, ...sourceOf(image, more) }),
  }
}

const refusedImage = { status: 400, body: { details: [{ field: 'source.image' }] } }

test('an image of this node can be named by who may pull it, and auto_deploy is for its tags', async (t) => {
  const { root, opal, create } = await openSecret(t)
  t.equal((await create(opal, 'a', 'shop/base:v1', { auto_deploy: true })).status, 201)
  t.equal((await create(root, 'b', 'secret/base:v1', { auto_deploy: true })).status, 201)
  for (const image of ['postgres:17', `shop/base@sha256:${'a'.repeat(64)}`])
    t.match(await create(root, 'c', image, { auto_deploy: true }), {
      status: 400,
      body: { details: [{ field: 'source.auto_deploy' }] },
    })
  t.match(await create(root, 'c', 'not an image'), refusedImage)
})

test('to who may not pull from a project its name means what it would if there were none', async (t) => {
  const { app, root, opal, create } = await openSecret(t)
  await app.must(root, 'POST', '/v1/projects', { name: 'library' })
  const answers = async (project: string) => {
    const plain = await create(opal, `a-${project}`, `${project}/base:v1`)
    const followed = await create(opal, `b-${project}`, `${project}/base:v1`, { auto_deploy: true })
    const { status, body } = followed
    return [plain.status, plain.body['notes'], status, body.error, body.details]
  }
  const absent = await answers('absent')
  t.match(absent, [201, [], 400])
  t.same(await answers('secret'), absent)
  t.same(await answers('library'), absent)
  const official = await create(root, 'c', 'postgres:17', { auto_deploy: true })
  t.equal(official.status, 400, 'a project "library" takes no images of Docker Hub for itself')
})

test('a name keeps its meaning whatever projects come and go, and says when nobody may pull it any more', async (t) => {
  const { app, root, opal, secret, create, grant, revoke, sourceOf } = await openSecret(t)
  const hub = String((await create(root, 'hub', 'grafana/grafana')).body['id'])
  await app.must(root, 'POST', '/v1/projects', { name: 'grafana' })
  const followed = await app.send(root, 'PATCH', `/v1/services/${hub}`, sourceOf('grafana/grafana'))
  t.match(followed, { status: 200, body: { notes: [] } }, 'sent again it means the same')

  await grant()
  const made = await create(opal, 'web', 'secret/base:v1', { auto_deploy: true })
  t.match(made, { status: 201, body: { notes: [] } })
  t.notMatch(made.text, 'pull_right')
  const path = `/v1/services/${String(made.body['id'])}`
  const send = (token: string, image: string, auto_deploy = true) =>
    app.send(token, 'PATCH', path, sourceOf(image, { auto_deploy }))
  const notes = async () => (await app.must(root, 'GET', path)).body['notes']
  const deploy = (token: string) =>
    app.send(token, 'POST', '/v1/deployments', {
      service_id: String(made.body['id']),
      source: { type: 'external_image' },
    })
  t.equal((await deploy(opal)).status, 202)
  await revoke()
  const suspended = [/^Pushes of its image are not deployed: who named secret\/base:v1 may not pull/]
  t.match(await notes(), suspended)
  t.match(await deploy(opal), refusedImage)
  t.match(await send(opal, 'secret/base:v2'), refusedImage, "it never becomes Docker Hub's unnoticed")
  t.match(await send(opal, 'secret/base:v1'), { status: 200, body: { notes: suspended } })
  t.match(await send(root, 'secret/base:v1'), { status: 200, body: { notes: [] } }, 'root takes it over')
  t.equal((await deploy(root)).status, 202)

  await app.must(root, 'PUT', `/v1/projects/${secret}`, { name: 'hidden' })
  await app.must(root, 'POST', '/v1/projects', { name: 'secret' })
  t.match(await notes(), suspended, 'whoever takes over the name of a project takes over no right')
  t.match(await deploy(root), refusedImage)
})
