import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { pack } from 'tar-stream'
import { type OpenedApp, PASSWORD } from './app.ts'

/** Everything that routes need to be asked about: two projects with something in each, and people with every role. */
export interface World {
  root: string
  projectId: string
  serviceId: string
  domainId: string
  deploymentId: string
  uploadId: string
  userId: string
  roleId: string
  /** In the registry, store/front: a tagged manifest and one without a tag. */
  tag: string
  digest: string
  tokenId: string
  /** A session of root's that nobody uses. */
  sessionId: string
  rotationId: string
  credentialId: string
  /** An external registry of the project. */
  externalRegistryId: string
  webhookId: string
  deliveryId: string
  /** Sessions by what they may: in the project, in the other one, or nowhere. */
  sessions: Record<'viewer' | 'operator' | 'admin' | 'other_admin' | 'nobody_special', string>
}

/** Fills a fresh app through its API. */
export async function makeWorld(app: OpenedApp): Promise<World> {
  const root = await app.bootstrap()
  const idOf = async (url: string, body: object): Promise<string> =>
    String((await app.must(root, 'POST', url, body)).body['id'])
  const projectId = await idOf('/v1/projects', { name: 'store' })
  const otherId = await idOf('/v1/projects', { name: 'other' })
  const serviceId = await idOf('/v1/services', { name: 'front', project_id: projectId })
  const addUser = async (username: string, project?: string, role?: string) => {
    const id = await idOf('/v1/users', { username, password: PASSWORD })
    if (project !== undefined)
      await app.must(root, 'POST', `/v1/projects/${project}/members`, { user_id: id, role })
    return { id, session: await app.login(username) }
  }
  const viewer = await addUser('viewer', projectId, 'viewer')
  const operator = await addUser('operator', projectId, 'operator')
  const admin = await addUser('admin', projectId, 'admin')
  const otherAdmin = await addUser('other-admin', otherId, 'admin')
  const plain = await addUser('plain')
  const { uploadId, deploymentId } = await deploy(app, root, serviceId)
  await addVolume(app, root, serviceId)
  await pushIndex(app, root, 'v1')
  const digest = await pushIndex(app, root)
  return {
    root,
    projectId,
    serviceId,
    domainId: await idOf(`/v1/services/${serviceId}/domains`, { hostname: 'front.example.com' }),
    deploymentId,
    uploadId,
    tag: 'v1',
    digest,
    userId: plain.id,
    roleId: await idOf('/v1/roles', { name: 'watcher', permissions: ['projects.read'] }),
    sessionId: await spareSession(app, root),
    rotationId: await idOf('/v1/secrets/rotations', {}),
    credentialId: await idOf(`/v1/projects/${projectId}/credentials/git`, {
      kind: 'https_token',
      host: 'git.example.com',
      token: 'of-the-world',
    }),
    externalRegistryId: await idOf(`/v1/projects/${projectId}/registries`, {
      name: 'of-the-world',
      endpoint: 'ghcr.io',
      auth_kind: 'token',
      token: 'of-the-world',
    }),
    ...(await addWebhook(app, root, serviceId)),
    tokenId: await idOf('/v1/api-tokens', { name: 'of-the-world' }),
    sessions: {
      viewer: viewer.session,
      operator: operator.session,
      admin: admin.session,
      other_admin: otherAdmin.session,
      nobody_special: plain.session,
    },
  }
}

async function addWebhook(app: OpenedApp, root: string, serviceId: string) {
  const { body } = await app.must(root, 'POST', `/v1/services/${serviceId}/webhooks`, {})
  const webhookId = String(body['id'])
  const push = {
    ref: 'refs/heads/main',
    after: 'a'.repeat(40),
    project: { path_with_namespace: 'acme/shop' },
  }
  const headers = { 'x-gitlab-event': 'Push Hook', 'x-gitlab-token': String(body['secret']) }
  const delivery = await app.must(undefined, 'POST', `/v1/hooks/${webhookId}`, push, headers)
  return { webhookId, deliveryId: String(delivery.body['id']) }
}

async function spareSession(app: OpenedApp, root: string): Promise<string> {
  await app.login('root')
  const { list } = await app.must(root, 'GET', '/v1/auth/sessions')
  return String(list.find((session) => session['current'] === false)?.['id'])
}

async function deploy(app: OpenedApp, root: string, serviceId: string) {
  const upload = async (): Promise<string> => {
    const archive = pack()
    archive.entry({ name: 'index.html' }, 'hello')
    archive.finalize()
    const headers = { 'content-type': 'application/x-tar' }
    const answer = await app.must(
      root,
      'POST',
      `/v1/services/${serviceId}/uploads`,
      await buffer(archive),
      headers,
    )
    return String(answer.body['upload_id'])
  }
  const source = { type: 'upload', upload_id: await upload() }
  const answer = await app.must(root, 'POST', '/v1/deployments', { service_id: serviceId, source })
  return { deploymentId: String(answer.body['id']), uploadId: await upload() }
}

/** A volume of the service that the engine has, too. */
export async function addVolume(app: OpenedApp, root: string, serviceId: string): Promise<void> {
  await app.must(root, 'PATCH', `/v1/services/${serviceId}`, {
    volumes: [{ name: 'data', mount_path: '/data' }],
  })
  const tar = pack()
  tar.entry({ name: 'file' }, 'hello')
  tar.finalize()
  const url = `/v1/services/${serviceId}/volumes/data/restore`
  await app.must(root, 'POST', url, await buffer(tar), { 'content-type': 'application/x-tar' })
}

/** Pushes the smallest thing there is; answers its digest. */
async function pushIndex(app: OpenedApp, root: string, tag?: string): Promise<string> {
  const type = 'application/vnd.oci.image.index.v1+json'
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: type,
    manifests: [],
    annotations: { tag: tag ?? '' },
  })
  const digest = `sha256:${createHash('sha256').update(index).digest('hex')}`
  const url = `/v2/store/front/manifests/${tag ?? digest}`
  await app.must(root, 'PUT', url, Buffer.from(index), { 'content-type': type })
  return digest
}

/** The value of a path parameter that leads to something of the world. */
export function parameterOf(world: World, path: string, name: string): string {
  if (name === 'user_id') return world.userId
  if (name === 'token_id') return world.tokenId
  if (name === 'credential_id') return world.credentialId
  if (name === 'registry_id') return world.externalRegistryId
  if (name === 'webhook_id') return world.webhookId
  if (name === 'delivery_id') return world.deliveryId
  if (name === 'domain_id') return world.domainId
  if (path.startsWith('/v1/auth/sessions/')) return world.sessionId
  const noun = path.split('/')[2]
  if (noun === 'registry')
    return { project: 'store', service: 'front', tag: world.tag, digest: world.digest }[name] ?? ''
  if (noun === 'projects') return world.projectId
  if (noun === 'services') return name === 'name' ? 'data' : world.serviceId
  if (noun === 'deployments') return world.deploymentId
  if (noun === 'roles') return world.roleId
  if (noun === 'secrets') return world.rotationId
  return '0192f0c1-7a00-7000-8000-000000000001'
}

/** A path of the document with its parameters filled in. */
export function pathIn(world: World, path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => parameterOf(world, path, name))
}
