import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { describe, digest, RegistryClient, TYPES } from '../../conformance/registry/registry-client.ts'
import { movableSystem } from '../../support/identity-api.ts'
import { openRegistryApi, PROJECT } from '../../support/registry-api.ts'

const NAME = `${PROJECT}/web`
const DAY_MS = 86_400_000

async function open(t: Test) {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-pins-'))
  const system = movableSystem()
  const api = await openRegistryApi({ dataDir, system })
  t.teardown(async () => {
    await api.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const client = new RegistryClient(api.origin, `Bearer ${await api.mintToken()}`)
  const status = async (reference: string) =>
    (await client.send('GET', `/v2/${NAME}/manifests/${reference}`)).status
  const { images } = api.registry
  /** Berth itself, as the engine pushes in its name. */
  const berth = new RegistryClient(api.origin, `Bearer ${images.grant(NAME, ['pull', 'push'], 'a service')}`)
  return { api, system, client, berth, status, images }
}

test('what a release holds is refused for deletion by everyone, with the name of who holds it', async (t) => {
  const { api, client, images, status } = await open(t)
  const { digest: wanted } = await client.pushImage(NAME, 'v1')
  const release = api.addDeployment()
  images.pin(release, { repository: NAME, digest: wanted })
  t.match(images.pinned(release), { repository: NAME, digest: wanted, media_type: TYPES.image })
  for (const reference of [wanted, 'v1']) {
    const refused = await client.send('DELETE', `/v2/${NAME}/manifests/${reference}`)
    t.equal(refused.status, 409)
    t.match(refused.text, /DENIED/)
    t.match(refused.text, `deployment ${release}`)
  }
  const config = (JSON.parse((await client.send('GET', `/v2/${NAME}/manifests/v1`)).text) as Image).config
  t.not((await client.send('DELETE', `/v2/${NAME}/blobs/${config.digest}`)).status, 202, 'nor its parts')
  for (const path of ['', `/manifests/${wanted}`, '/tags/v1']) {
    const refused = await api.call(api.session, 'DELETE', `/v1/registry/repositories/${PROJECT}/web${path}`)
    t.match(refused, {
      status: 409,
      body: { error: 'IN_USE', details: [{ message: `deployment ${release}` }] },
    })
  }
  t.throws(() => api.database.run('DELETE FROM registry_repositories'), /FOREIGN KEY/, 'nor by a mistake')
  images.unpin([release])
  t.equal(await status('v1'), 200, 'what someone else pushed stays when it is let go')
  t.equal((await client.send('DELETE', `/v2/${NAME}/manifests/${wanted}`)).status, 202)
})

interface Image {
  config: { digest: string }
}

test('neither rules nor collections touch what a release holds, the parts of an index too', async (t) => {
  const { api, client, images, status, system } = await open(t)
  const child = await client.pushImage(NAME, '')
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: TYPES.index,
    manifests: [describe(child.manifest, TYPES.image)],
  })
  t.equal((await client.putManifest(NAME, 'moving', index, TYPES.index)).status, 201)
  const release = api.addDeployment()
  images.pin(release, { repository: NAME, digest: digest(index) })
  t.equal((await client.send('DELETE', `/v2/${NAME}/manifests/${child.digest}`)).status, 409)
  const other = await client.pushImage(NAME, 'moving')
  await api.call(api.session, 'PUT', `/v1/projects/${api.projectId}/registry-rules`, {
    quota_bytes: null,
    rules: [{ repositories: '*', keep_untagged_days: 0, retain: { tags: ['*'] } }],
  })
  system.advance(3 * DAY_MS)
  const collect = async () => api.call(await api.login(), 'POST', '/v1/registry/gc')
  t.match((await collect()).body, { deleted_tags: 1, deleted_manifests: 1, problems: [] })
  t.equal(await status(other.digest), 404)
  for (const reference of [digest(index), child.digest]) t.equal(await status(reference), 200)
  images.unpin([release])
  system.advance(3 * DAY_MS)
  await collect()
  for (const reference of [digest(index), child.digest]) t.equal(await status(reference), 404)
})

test('what Berth pushed goes with the last release that holds it, unless someone else named it', async (t) => {
  const { api, client, berth, images, status } = await open(t)
  const [mine, named] = [await berth.pushImage(NAME, 'release-1'), await berth.pushImage(NAME, 'release-2')]
  const releases = [api.addDeployment(), api.addDeployment(), api.addDeployment()] as const
  images.pin(releases[0], { repository: NAME, digest: mine.digest, tag: 'release-1' })
  t.ok(images.pinSame(releases[1], releases[0]), 'a rollback holds it as well')
  images.pin(releases[2], { repository: NAME, digest: named.digest, tag: 'release-2' })
  t.equal((await client.putManifest(NAME, 'stable', named.manifest)).status, 201)
  images.unpin([releases[0]])
  t.equal(await status('release-1'), 200)
  images.unpin([releases[1], releases[2]])
  t.equal(await status('release-1'), 404)
  t.equal(await status(mine.digest), 404)
  t.equal(await status('release-2'), 404)
  t.equal(await status('stable'), 200)
  t.notOk(images.pinSame(releases[1], releases[0]))
  t.throws(() => images.pin(releases[0], { repository: NAME, digest: mine.digest }), {
    code: 'MANIFEST_UNKNOWN',
  })
})

test('an image that was deployed again and again under tags of its own goes with the last of them', async (t) => {
  const { api, berth, images, status } = await open(t)
  const tags = ['release-1', 'release-2', 'release-3']
  const { manifest, digest: same } = await berth.pushImage(NAME, 'release-1')
  const releases = tags.map(() => api.addDeployment())
  for (const [index, tag] of tags.entries()) {
    t.equal((await berth.putManifest(NAME, tag, manifest)).status, 201)
    images.pin(releases[index] ?? '', { repository: NAME, digest: same, tag })
  }
  const [first = '', second = '', third = ''] = releases
  images.unpin([first])
  t.same(await Promise.all(tags.map(status)), [404, 200, 200], 'its tag goes with each')
  images.unpin([second, third])
  t.same(await Promise.all([...tags, same].map(status)), [404, 404, 404, 404])
})

test("what somebody pushed over a tag of Berth's is theirs, whether a release held it or not", async (t) => {
  const { api, client, berth, images, status } = await open(t)
  const unheld = () => images.listUnheldTags('release-', 0, 100)
  const held = await berth.pushImage(NAME, 'release-1')
  const release = api.addDeployment()
  images.pin(release, { repository: NAME, digest: held.digest, tag: 'release-1' })
  await berth.pushImage(NAME, 'release-2')
  const repository = unheld()?.[0]?.repository_id ?? 0
  t.match(unheld(), [{ tag: 'release-2' }], 'a push that no release came of')
  for (const tag of ['release-1', 'release-2']) await client.pushImage(NAME, tag)
  t.same(unheld(), [])
  images.removeUnheldTag(repository, 'release-2')
  images.unpin([release])
  t.same(await Promise.all(['release-1', 'release-2', held.digest].map(status)), [200, 200, 404])

  const same = await berth.pushImage(NAME, 'release-3')
  images.pin(release, { repository: NAME, digest: same.digest, tag: 'release-3' })
  t.equal((await client.putManifest(NAME, 'release-3', same.manifest)).status, 201)
  images.unpin([release])
  t.equal(await status('release-3'), 200, 'the same image, too')
})

test("a grant is good for its repository, for what it says and for a while, and counts as Berth's own", async (t) => {
  const { api, client, berth: pusher, images, system } = await open(t)
  const { digest: wanted } = await pusher.pushImage(NAME, 'release-1')
  t.equal((await pusher.send('DELETE', `/v2/${NAME}/manifests/${wanted}`)).status, 404)
  t.equal((await pusher.send('GET', `/v2/${PROJECT}/other/tags/list`)).status, 404)
  t.same((await pusher.send('GET', '/v2/_catalog')).json['repositories'], [])
  const puller = new RegistryClient(api.origin, `Bearer ${images.grant(NAME, ['pull'], 'a service')}`)
  t.equal((await puller.send('GET', `/v2/${NAME}/manifests/${wanted}`)).status, 200)
  t.equal((await puller.send('POST', `/v2/${NAME}/blobs/uploads/`)).status, 404)
  const event = api.database.get<{ actor_kind: string; actor_name: string }>(
    "SELECT actor_kind, actor_name FROM audit_events WHERE action = 'pushManifest'",
  )
  t.same(event, { actor_kind: 'system', actor_name: 'berth' })
  await client.pushImage(`${PROJECT}/other`, 'v1')
  system.advance(2 * 3_600_000)
  t.equal((await puller.send('GET', `/v2/${NAME}/manifests/${wanted}`)).status, 401)
})

test('a deleted service takes along what Berth pushed for it; what others pushed, only from who might delete it', async (t) => {
  const { api, client, berth, images, status } = await open(t)
  const service = { id: api.system.newId(), project_id: api.projectId, name: 'web' }
  const { digest: wanted, manifest } = await berth.pushImage(NAME, 'release-1')
  await client.pushImage(`${NAME}/cache`, 'v1')
  const release = api.addDeployment()
  images.pin(release, { repository: NAME, digest: wanted, tag: 'release-1' })
  const hide = (takesOthers: boolean) =>
    images.hideRepositories(service, { isOwn: (id) => id === release, takesOthers })
  const byHand = await client.pushImage(NAME, 'by-hand')
  t.same(hide(false), [NAME, `${NAME}/cache`])
  t.equal((await client.send('DELETE', `/v2/${NAME}/manifests/${byHand.digest}`)).status, 202)
  const signature = await client.pushImage(NAME, '', { subject: describe(manifest, TYPES.image) })
  t.same(hide(false), [NAME, `${NAME}/cache`], 'a signature is somebody’s, too')
  await client.send('DELETE', `/v2/${NAME}/manifests/${signature.digest}`)
  const rules = [{ repositories: '*', immutable_tags: ['*'] }]
  const path = `/v1/projects/${api.projectId}/registry-rules`
  t.equal((await api.call(api.session, 'PUT', path, { quota_bytes: null, rules })).status, 200)
  t.same(hide(true), [`${NAME}/cache`], 'a rule keeps its tag; those that Berth gave go')
  t.equal(await status('release-1'), 404)
})

test("a deleted service's repositories are out of sight at once, and gone once its releases are", async (t) => {
  const { api, client, images, status } = await open(t)
  const service = { id: api.system.newId(), project_id: api.projectId, name: 'web' }
  const { digest: wanted } = await client.pushImage(NAME, 'v1')
  for (const path of ['web/cache', 'web-two', 'website']) await client.pushImage(`${PROJECT}/${path}`, 'v1')
  const release = api.addDeployment()
  images.pin(release, { repository: NAME, digest: wanted })
  const hide = (isOwn: (id: string) => boolean, takesOthers = true) =>
    images.hideRepositories(service, { isOwn, takesOthers })
  t.same(
    hide(() => false),
    [NAME],
  )
  t.equal(await status('v1'), 200, "another service's release holds an image of it")
  hide((id) => id === release)
  t.equal(await status('v1'), 404)
  const left = [`${PROJECT}/web-two`, `${PROJECT}/website`]
  t.same((await client.send('GET', '/v2/_catalog')).json['repositories'], left)
  t.same(
    api.registry.describeContents(api.projectId),
    left.map((name) => `repository ${name}`),
  )
  t.match(images.pinned(release), { digest: wanted }, 'its releases have what they need')
  t.equal((await client.pushImage(NAME, 'v1')).digest.length, 71, 'the name is free')
  api.database.transact(() => {
    api.database.run('DELETE FROM registry_pins')
    images.removeHidden(service)
    images.removeHidden(service)
  })
  t.equal(await status('v1'), 200)
  t.match(api.database.get('SELECT count(*) AS count FROM registry_repositories'), { count: 3 })
})
