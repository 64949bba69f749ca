import { type Test, test } from 'tap'
import { type Method, openApp } from '../support/app.ts'
import { addVolume } from '../support/world.ts'

const GIT = { type: 'git', repo_url: 'https://git.example.com/acme/shop.git' }
const FOREIGN = { type: 'git', repo_url: 'https://evil.example.com/acme/shop.git' }
const IMAGE = { type: 'external_image', image: 'default/web:stable' }
const PUSHED = { ...IMAGE, auto_deploy: true }

/** A service with a repository and a webhook, and a token that may change services and nothing else. */
async function open(t: Test) {
  const app = await openApp()
  t.teardown(app.close)
  const root = await app.bootstrap()
  const make = async (url: string, body: object): Promise<Record<string, unknown>> =>
    (await app.must(root, 'POST', url, body)).body
  const service = `/v1/services/${String((await make('/v1/services', { name: 'web', source: GIT }))['id'])}`
  const webhook = `${service}/webhooks/${String((await make(`${service}/webhooks`, {}))['id'])}`
  const permissions = ['projects.read', 'services.read', 'services.write', 'registry.pull']
  const token = String((await make('/v1/api-tokens', { name: 'changes services', permissions }))['token'])
  const send = (method: Method, url: string, body?: object) => app.send(token, method, url, body)
  return { app, root, service, webhook, token, send }
}

test('who may not deploy has nothing deployed by pushes', async (t) => {
  const { app, root, service, webhook, token, send } = await open(t)
  const refused = async (method: Method, url: string, body: object, why = ''): Promise<void> => {
    const title = `${method} ${url.replace(/[0-9a-f-]{36}/g, '')} ${JSON.stringify(body)} ${why}`
    t.match((await send(method, url, body)).body, { permission: 'deployments.create' }, title)
  }
  const allowed = async (method: Method, url: string, body: object): Promise<void> => {
    const answer = await send(method, url, body)
    t.equal(answer.status, 200, `${method} ${JSON.stringify(body)} ${answer.text}`)
  }
  const CODE = [
    { source: FOREIGN },
    { dockerfile_path: 'other/Dockerfile' },
    { env_file: 'other.env' },
    { command: ['sh', '-c', 'env'] },
    { release_command: ['sh', '-c', 'env'] },
  ]
  await refused('POST', `${service}/webhooks`, {})
  await refused('POST', `${webhook}/rotate-secret`, {})
  await refused('POST', `${service}/restart`, {})
  const check = await app.send(token, 'POST', '/v1/authorization/check', {
    method: 'POST',
    path: `${service}/restart`,
  })
  t.match(check.body, { allowed: false, permission: 'deployments.create' }, 'and is told so before')
  await refused('PATCH', webhook, { branches: ['*'] })
  for (const change of CODE) await refused('PATCH', service, change, 'with a webhook')
  await refused('PUT', service, { name: 'web', source: FOREIGN })
  await refused('PATCH', service, { source: PUSHED })
  await refused('POST', '/v1/services', { name: 'new', source: PUSHED })
  await allowed('PATCH', service, { source: GIT, replicas: 2, env_file: null })
  const before = (await app.must(root, 'GET', service)).body
  t.match(before, { source: GIT, replicas: 2, command: null, env_file: null })
  t.equal((await app.must(root, 'GET', `${service}/webhooks`)).list.length, 1)

  await allowed('PATCH', webhook, { enabled: false })
  await refused('PATCH', webhook, { enabled: true })
  await refused('POST', `${webhook}/rotate-secret`, {}, 'of one that is disabled')
  for (const change of CODE) await allowed('PATCH', service, change)
  await allowed('PATCH', service, { source: IMAGE })
  await refused('PATCH', service, { source: PUSHED })
  await app.must(root, 'PATCH', service, { source: PUSHED })
  await refused('PATCH', service, { command: ['sh'] }, 'with auto_deploy')
  await allowed('PATCH', service, { source: IMAGE, command: ['sh'] })
})

test('who may not delete volumes or domains does not by deleting their service', async (t) => {
  const { app, root, service, send } = await open(t)
  await addVolume(app, root, service.split('/').at(-1) ?? '')
  t.equal((await send('DELETE', service)).body.error, 'NOT_EMPTY')
  t.match((await send('DELETE', `${service}?delete_volumes=true`)).body, { permission: 'volumes.write' })
  t.equal((await app.must(root, 'GET', `${service}/volumes`)).list.length, 1)
  // No ingress runs here that could say that it took a service out of its routes, so these answer 503 when all is done.
  const isGone = async (url: string): Promise<boolean> => (await app.send(root, 'GET', url)).status === 404
  const other = `/v1/services/${String((await app.must(root, 'POST', '/v1/services', { name: 'other' })).body['id'])}`
  await send('DELETE', `${other}?delete_volumes=true`)
  t.equal(await isGone(other), true, 'it has none')
  const made = await app.must(root, 'POST', '/v1/services', { name: 'named', domains: ['named.example.com'] })
  const named = `/v1/services/${String(made.body['id'])}`
  t.match((await send('DELETE', named)).body, { permission: 'domains.write' })
  t.equal((await app.must(root, 'GET', `${named}/domains`)).list.length, 1)
  await app.send(root, 'DELETE', `${service}?delete_volumes=true`)
  t.equal(await isGone(service), true)
})
