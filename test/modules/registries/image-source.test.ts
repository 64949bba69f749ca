import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { createAddressRule } from '../../../src/lib/address-rule.ts'
import type { ExternalRegistryRow } from '../../../src/modules/registries/external-registry-schema.ts'
import { createAutoDeploy } from '../../../src/modules/deployments/auto-deploy.ts'
import { createImageSource } from '../../../src/modules/registries/image-source.ts'
import { readChallenges } from '../../../src/modules/registries/upstream-auth.ts'
import { createAskUpstream } from '../../../src/modules/registries/upstream-request.ts'
import { createImageWriter } from '../../../src/modules/registry/image-writer.ts'
import type { ServiceSummary } from '../../../src/modules/services/service-schema.ts'
import { noise, RegistryClient } from '../../conformance/registry/registry-client.ts'
import { startDockerRegistry } from '../../support/docker-registry.ts'
import { openRegistryApi, PROJECT } from '../../support/registry-api.ts'
import {
  addImage,
  addManifest,
  digestOf,
  openUpstream,
  TYPES,
  type UpstreamServer,
} from './upstream-server.ts'

type Credentials = Partial<Pick<ExternalRegistryRow, 'auth_kind'>> & {
  username?: string
  password?: string
  token?: string
}

async function open(t: Test, allowed: readonly string[] = ['127.0.0.0/8']) {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-images-'))
  const api = await openRegistryApi({ dataDir })
  t.teardown(async () => {
    await api.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const rows = new Map<string, ExternalRegistryRow>()
  const access = { pullers: new Set<string>(), demo: api.projectId }
  const source = createImageSource({
    ask: createAskUpstream(createAddressRule(allowed)),
    system: { ...api.system, sleep: async () => {} },
    store: {
      find: (_, id) => rows.get(id),
      findWithCredentials: (_, endpoint) =>
        [...rows.values()].findLast((row) => row.endpoint === endpoint && row.auth_kind !== 'anonymous'),
    },
    secrets: { open: async (document) => JSON.parse(document) as Record<string, string> },
    images: api.registry.images,
    writerFor: (repository, token) =>
      createImageWriter({ protocol: api.registry.protocol, system: api.system, repository, token }),
    isOwnHost: (host) => host === api.host,
    projectIdOf: (name) => (name === PROJECT ? access.demo : undefined),
    mayPull: (userId, projectId) => projectId === access.demo && access.pullers.has(userId),
  })
  const client = new RegistryClient(api.origin, `Bearer ${await api.mintToken()}`)
  const lines: string[] = []
  const obtain = async (
    named: { image: string; registry_id?: string },
    signal = AbortSignal.timeout(60_000),
  ) => {
    const place = source.locate(api.projectId, { registry_id: null, ...named })
    const digest = await source.resolve(place, signal)
    const to = {
      repository: `${PROJECT}/web`,
      tag: 'release-1',
      service_id: 'a',
      onProgress: (line: string) => void lines.push(line),
    }
    return { digest, ...(await source.obtain(place, digest, to, signal)) }
  }
  return {
    api,
    source,
    /** Who may pull from the project, and its id. */
    access,
    client,
    lines,
    obtain,
    /** Removes all external registries. */
    forget: () => rows.clear(),
    /** Adds an external registry; answers its id. */
    register: (endpoint: string, { auth_kind = 'anonymous', ...secrets }: Credentials = {}): string => {
      const id = `registry-${rows.size}`
      rows.set(id, {
        id,
        project_id: api.projectId,
        name: id,
        endpoint,
        auth_kind,
        credentials_sealed: JSON.stringify(secrets),
        revision: 1,
        created_at: '',
        updated_at: '',
      })
      return id
    },
    /** Every blob and manifest of the copy, as a client gets it. */
    copied: async (reference: string) => client.send('GET', `/v2/${PROJECT}/web/manifests/${reference}`),
  }
}

test('an image is copied byte for byte and only once, in the registry under its own digest', async (t) => {
  const { obtain, copied, client, lines } = await open(t)
  const upstream = await openUpstream(t)
  const layers = [noise(300_000), noise(10)]
  const { digest, bytes } = addImage(upstream, layers, 'v1')
  t.match(await obtain({ image: `${upstream.host}/team/app:v1` }), {
    digest,
    repository: `${PROJECT}/web`,
    tag: 'release-1',
  })
  for (const reference of [digest, 'release-1']) t.ok((await copied(reference)).body.equals(bytes))
  for (const layer of layers)
    t.ok((await client.send('GET', `/v2/${PROJECT}/web/blobs/${digestOf(layer)}`)).body.equals(layer))
  t.equal(lines.length, 3)
  upstream.asked.length = 0
  await obtain({ image: `${upstream.host}/team/app@${digest}` })
  t.same(
    upstream.asked.map(({ url }) => url),
    [`/v2/team/app/manifests/${digest}`],
    'a digest needs no question, and what is here is not fetched',
  )
})

test('of an index only what the node can run is copied, and its digest stays', async (t) => {
  const { obtain, copied } = await open(t)
  const upstream = await openUpstream(t)
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  const mine = addImage(upstream, [noise(1000)])
  const other = addImage(upstream, [noise(1000)])
  const entry = ({ digest, bytes }: { digest: string; bytes: Buffer }, os: string, arch: string) => ({
    mediaType: TYPES.image,
    digest,
    size: bytes.length,
    platform: { os, architecture: arch },
  })
  const index = (entries: object[]) =>
    addManifest(
      upstream,
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: TYPES.index, manifests: entries })),
      TYPES.index,
      'multi',
    )
  const both = index([entry(other, 'linux', 'sparc'), entry(mine, 'linux', architecture)])
  t.match(await obtain({ image: `${upstream.host}/team/app:multi` }), { digest: both.digest })
  t.equal((await copied(both.digest)).status, 200)
  t.equal((await copied(mine.digest)).status, 200)
  t.equal((await copied(other.digest)).status, 404)
  index([entry(other, 'linux', 'sparc'), entry(other, 'unknown', 'unknown')])
  await t.rejects(obtain({ image: `${upstream.host}/team/app:multi` }), {
    message: /nothing for linux.*only for linux\/sparc/,
  })
})

/** A registry that wants a token of its token service, which takes this password. */
function wantTokens(upstream: UpstreamServer, service: UpstreamServer, basic: string | undefined): void {
  upstream.before = (request, response) => {
    if (request.headers.authorization === 'Bearer good') return false
    const realm = `${service.origin}/token`
    response.writeHead(401, {
      'www-authenticate': `Bearer realm="${realm}",service="up",scope="repository:team/app:pull"`,
    })
    response.end()
    return true
  }
  service.before = (request, response) => {
    const isKnown =
      basic === undefined ||
      request.headers.authorization === `Basic ${Buffer.from(basic).toString('base64')}`
    response.writeHead(isKnown ? 200 : 401).end(JSON.stringify({ access_token: 'good' }))
    return true
  }
}

test('tokens are fetched from the token service that a registry names, with a password or without', async (t) => {
  const { obtain, register } = await open(t)
  const [upstream, service] = [await openUpstream(t), await openUpstream(t)]
  const { digest } = addImage(upstream, [noise(1000)], 'v1')
  wantTokens(upstream, service, undefined)
  t.match(await obtain({ image: `${upstream.host}/team/app:v1` }), { digest })
  t.match(service.asked[0], {
    url: '/token?service=up&scope=repository%3Ateam%2Fapp%3Apull',
    authorization: undefined,
  })
  wantTokens(upstream, service, 'olive:secret')
  const good = register(upstream.origin, { auth_kind: 'basic', username: 'olive', password: 'secret' })
  t.match(await obtain({ image: 'team/app:v1', registry_id: good }), { digest })
  t.match(await obtain({ image: `${upstream.host}/team/app:v1` }), { digest }, 'the name alone leads to it')
  t.notOk(
    upstream.asked.some(({ authorization }) => authorization?.startsWith('Basic')),
    'the password goes to the token service only',
  )
  const bad = register(upstream.origin, { auth_kind: 'basic', username: 'olive', password: 'wrong' })
  await t.rejects(obtain({ image: 'team/app:v1', registry_id: bad }), { message: /refuses the credentials/ })
  await t.rejects(obtain({ image: `${upstream.host}/team/app:v1` }), { message: /refuses the credentials/ })
})

test("names of Docker Hub's images find its credentials, and its own images below library", async (t) => {
  const { api, source, register } = await open(t)
  const locate = (image: string, registry_id: string | null = null) =>
    source.locate(api.projectId, { image, registry_id })
  t.match(locate('postgres:17'), { kind: 'external', registry: undefined })
  register('https://registry-1.docker.io')
  t.match(locate('postgres:17'), { registry: undefined }, 'one without credentials is none')
  const hub = register('https://registry-1.docker.io', { auth_kind: 'basic', username: 'o', password: 'p' })
  for (const name of [
    'postgres:17',
    'olive/private',
    'docker.io/olive/private',
    'index.docker.io/olive/private',
  ])
    t.match(locate(name), { registry: { id: hub } }, name)
  t.match(locate('ghcr.io/olive/private'), { registry: undefined })
  t.match(locate('postgres:17', hub), { text: 'docker.io/library/postgres:17' })
  t.match(locate('olive/private', hub), { text: 'docker.io/olive/private:latest' })
})

test('a token is shown as it is, or exchanged where the registry wants that; Basic answers a Basic challenge', async (t) => {
  const { obtain, register, forget } = await open(t)
  const [upstream, service] = [await openUpstream(t), await openUpstream(t)]
  const { digest } = addImage(upstream, [noise(1000)], 'v1')
  wantTokens(upstream, service, undefined)
  const plain = register(upstream.origin, { auth_kind: 'token', token: 'good' })
  t.match(await obtain({ image: 'team/app:v1', registry_id: plain }), { digest })
  t.same(service.asked, [])
  const long = register(upstream.origin, { auth_kind: 'token', token: 'lives-long' })
  t.match(await obtain({ image: 'team/app:v1', registry_id: long }), { digest })
  t.match(service.asked, [{ method: 'POST', url: '/token' }])
  upstream.before = ({ headers }, response) => {
    if (headers.authorization === `Basic ${Buffer.from('AWS:ecr').toString('base64')}`) return false
    response.writeHead(401, { 'www-authenticate': 'Basic realm="ecr"' }).end()
    return true
  }
  const ecr = register(upstream.origin, { auth_kind: 'ecr_token', token: 'ecr' })
  t.match(await obtain({ image: 'team/app:v1', registry_id: ecr }), { digest })
  t.match(await obtain({ image: `${upstream.host}/team/app:v1` }), { digest })
  forget()
  await t.rejects(obtain({ image: `${upstream.host}/team/app:v1` }), {
    message: /refuses access.*may need credentials/,
  })
})

test('a redirect to another host is followed without the credentials, and never in circles', async (t) => {
  const { obtain, register } = await open(t)
  const [upstream, storage] = [await openUpstream(t), await openUpstream(t)]
  const layer = noise(1000)
  const { digest } = addImage(upstream, [layer], 'v1')
  storage.blobs = upstream.blobs
  upstream.before = (request, response) => {
    if (!request.url?.includes('/blobs/')) return false
    response.writeHead(307, { location: `${storage.origin}${request.url}?signature=secret` }).end()
    return true
  }
  const id = register(upstream.origin, { auth_kind: 'token', token: 'good' })
  t.match(await obtain({ image: 'team/app:v1', registry_id: id }), { digest })
  t.ok(upstream.asked.every(({ authorization }) => authorization === 'Bearer good'))
  t.ok(storage.asked.length === 2 && storage.asked.every(({ authorization }) => authorization === undefined))
  const again = addImage(upstream, [noise(1000)], 'v2')
  upstream.before = (request, response) => {
    if (!request.url?.includes('/blobs/')) return false
    response.writeHead(302, { location: request.url }).end()
    return true
  }
  await t.rejects(obtain({ image: `${upstream.host}/team/app@${again.digest}` }), {
    message: /redirects again and again/,
  })
})

test('private addresses are refused unless they are allowed, also behind a redirect or as a token service', async (t) => {
  const { obtain } = await open(t, [])
  const upstream = await openUpstream(t)
  addImage(upstream, [noise(1000)], 'v1')
  await t.rejects(obtain({ image: `${upstream.host}/team/app:v1` }), {
    message: /private address.*image_private_ranges/,
  })
  t.same(upstream.asked, [], 'nothing was asked')
  const some = await open(t, ['127.0.0.1'])
  for (const location of ['http://127.0.0.2/x', 'http://169.254.169.254/latest', 'file:///etc/passwd']) {
    upstream.before = (_, response) => {
      response.writeHead(302, { location }).end()
      return true
    }
    await t.rejects(
      some.obtain({ image: `${upstream.host}/team/app:v1` }),
      { name: 'UpstreamFailed' },
      location,
    )
  }
  upstream.before = (_, response) => {
    response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://127.0.0.2/token"' }).end()
    return true
  }
  await t.rejects(some.obtain({ image: `${upstream.host}/team/app:v1` }), { message: /private address/ })
})

test('what is wrong, cut or slow is told apart, and nothing of it stays', async (t) => {
  const { obtain, copied, api, lines } = await open(t)
  const upstream = await openUpstream(t)
  const layer = noise(500_000)
  const { digest } = addImage(upstream, [layer], 'v1')
  const image = `${upstream.host}/team/app:v1`
  let cuts = 0
  upstream.before = (request, response) => {
    if (!request.url?.endsWith(digestOf(layer)) || cuts >= 2) return false
    cuts += 1
    response
      .writeHead(200, { 'content-length': layer.length })
      .write(layer.subarray(0, 200_000), () => response.destroy())
    return true
  }
  t.match(await obtain({ image }), { digest }, 'a connection that breaks off is made again')
  t.match(lines.join(), /broke off.*trying again/)
  const wrong = addImage(upstream, [noise(400_000)], 'wrong')
  upstream.before = (request, response) => {
    const asked = upstream.blobs.get(request.url?.split('/').at(-1) ?? '')
    if (asked === undefined) return false
    response.end(noise(asked.length))
    return true
  }
  await t.rejects(obtain({ image: `${upstream.host}/team/app:wrong` }), { message: /other bytes than/ })
  t.equal((await copied(wrong.digest)).status, 404)
  t.same(readdirSync(join(api.dataDir, 'registry/uploads')), [])
  upstream.before = () => false
  upstream.manifests.set(digestOf('x'), { type: TYPES.image, bytes: Buffer.from('{}') })
  await t.rejects(obtain({ image: `${upstream.host}/team/app@${digestOf('x')}` }), {
    message: /another manifest/,
  })
  await t.rejects(obtain({ image: `${upstream.host}/team/app:none` }), { message: /has no image none/ })
  for (const broken of [
    { layers: {} },
    { layers: [null] },
    { config: { digest: '../../x/blobs/sha256:0' } },
  ]) {
    addManifest(upstream, Buffer.from(JSON.stringify(broken)), TYPES.image, 'broken')
    await t.rejects(obtain({ image: `${upstream.host}/team/app:broken` }), { message: /what is no manifest/ })
  }
  let refusals = 0
  upstream.before = (_, response) => {
    refusals += 1
    if (refusals > 2) return false
    response.writeHead(429, { 'retry-after': '1' }).end()
    return true
  }
  t.match(await obtain({ image }), { digest }, 'one that wants fewer requests is given time')
  upstream.before = (_, response) => {
    response.writeHead(429, { 'retry-after': '3600' }).end()
    return true
  }
  await t.rejects(obtain({ image }), { message: /wants fewer requests/ })
  upstream.before = (_, response) => {
    response.socket?.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
    return true
  }
  await t.rejects(obtain({ image }), { message: /cannot be asked: it switches protocols/ })
  const stop = new AbortController()
  upstream.before = () => {
    stop.abort(new Error('cancelled'))
    return true
  }
  await t.rejects(obtain({ image }, stop.signal), { message: 'cancelled' })
})

test("an image of Debian's docker-registry and one of this node are found by their names", async (t) => {
  const { obtain, client, source, api } = await open(t)
  const registry = await startDockerRegistry()
  t.teardown(() => registry.stop())
  const { digest } = await new RegistryClient(registry.origin).pushImage('team/app', 'v1')
  t.match(await obtain({ image: `${new URL(registry.origin).host}/team/app:v1` }), {
    digest,
    repository: `${PROJECT}/web`,
  })
  const own = await client.pushImage(`${PROJECT}/base`, 'v1')
  for (const image of [
    `${PROJECT}/base:v1`,
    `${api.host}/${PROJECT}/base:v1`,
    `${PROJECT}/base@${own.digest}`,
  ])
    t.same(await obtain({ image }), { digest: own.digest, repository: `${PROJECT}/base` }, image)
  await t.rejects(obtain({ image: `${PROJECT}/base:none` }), { message: /registry of this node has no/ })
  t.match(source.locate(api.projectId, { image: 'grafana/grafana', registry_id: null }), {
    kind: 'external',
    text: 'docker.io/grafana/grafana:latest',
  })
})

test('an image of another project is taken on the right of who named it, only as long as that holds', async (t) => {
  const { api, access, client, source } = await open(t)
  const { digest } = await client.pushImage(`${PROJECT}/base`, 'v1')
  const image = `${PROJECT}/base:v1`
  const pull_right = { project_id: api.projectId, user_id: 'olive' }
  const named = { image, registry_id: null, pull_right }
  const deployed: unknown[] = []
  const look = async (): Promise<unknown> => {
    const settings = { type: 'external_image', image, auto_deploy: true, pull_right } as const
    const web = { id: 'web', project_id: 'elsewhere', desired_state: 'running', source: settings }
    await createAutoDeploy({
      listServices: () => [web as ServiceSummary],
      store: { findPushed: () => undefined },
      images: source,
      deploy: async (_, { id }) => deployed.push(id),
      onError: (error) => void deployed.push(error),
    })(AbortSignal.timeout(10_000))
    return deployed.splice(0)
  }
  const place = source.locate('elsewhere', named)
  const to = { repository: 'elsewhere/web', tag: 'release-1', service_id: 'a', onProgress: () => {} }
  const signal = AbortSignal.timeout(10_000)
  const isRefused = async (why: string) => {
    t.same(await look(), [], why)
    t.equal(source.mayTake(place), false)
    await t.rejects(source.resolve(place, signal), { message: /may not pull from its project any more/ })
    await t.rejects(source.obtain(place, digest, to, signal), { name: 'UpstreamFailed' })
  }
  await isRefused('olive may not pull')
  access.pullers.add('olive')
  t.same(await look(), [digest])
  t.equal(await source.resolve(place, signal), digest)
  access.demo = 'another project of that name'
  await isRefused('her right was to the project, not to whatever has its name')
  const own = source.locate(api.projectId, named)
  t.equal(source.mayTake(own), false, 'the same holds for the project itself')
  access.demo = api.projectId
  for (const user_id of ['oscar', null]) {
    const other = { ...named, pull_right: { ...pull_right, user_id } }
    t.equal(source.mayTake(source.locate('elsewhere', other)), false)
  }
  t.match(source.locate('elsewhere', { image, registry_id: null }), { text: `docker.io/${image}` })
  const here = source.locate('elsewhere', { image: `${api.host}/${image}`, registry_id: null })
  t.equal(source.mayTake(here), false, 'named by its host and by nobody who may')
})

test('a challenge is read in time that grows with its length only', (t) => {
  const read = (rest: string) => readChallenges([`Bearer ${rest}`])
  t.match(read('realm="https://auth.example.com/token",service=hub'), [
    { scheme: 'bearer', parameters: { realm: 'https://auth.example.com/token', service: 'hub' } },
  ])
  const before = performance.now()
  read('a'.repeat(100_000))
  t.ok(performance.now() - before < 2_000, 'seconds for each ten thousand letters, it was')
  t.end()
})
