import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { digest, noise, RegistryClient, TYPES, describe } from '../../conformance/registry/registry-client.ts'
import { movableSystem } from '../../support/identity-api.ts'
import { openRegistryApi, PROJECT, type RegistryApiOptions } from '../../support/registry-api.ts'

const DAY_MS = 86_400_000

async function open(t: Test, options: Partial<RegistryApiOptions> = {}) {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-rules-'))
  const system = movableSystem()
  const api = await openRegistryApi({ dataDir, system, ...options })
  t.teardown(async () => {
    await api.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  let session = api.session
  const client = new RegistryClient(api.origin, `Bearer ${await api.mintToken()}`)
  return {
    api,
    system,
    client,
    control: (method: string, path: string, body?: unknown) => api.call(session, method, path, body),
    setRules: async (quota_bytes: number | null, ...rules: object[]) => {
      const answer = await api.call(session, 'PUT', `/v1/projects/${api.projectId}/registry-rules`, {
        quota_bytes,
        rules,
      })
      t.equal(answer.status, 200, JSON.stringify(answer.body))
    },
    tags: async (name: string) => (await client.send('GET', `/v2/${name}/tags/list`)).json['tags'],
    collect: async () => {
      session = await api.login()
      return api.call(session, 'POST', '/v1/registry/gc')
    },
    /** Days go by; sessions and tokens of the tests live on. */
    sleepDays: async (days: number) => {
      system.advance(days * DAY_MS)
      session = await api.login()
    },
  }
}

test('a quota refuses what does not fit, and warns before', async (t) => {
  const { client, setRules, control, api } = await open(t)
  const name = `${PROJECT}/web`
  await setRules(1_000_000)
  await client.pushBlob(name, noise(500_000))
  const begun = await client.send('POST', `/v2/${name}/blobs/uploads/`)
  const more = noise(450_000)
  const near = await client.send('PUT', `${begun.headers.location}?digest=${digest(more)}`, { body: more })
  t.equal(near.status, 201)
  t.match(near.headers['warning'], /^299 - "95 percent/)
  await t.rejects(client.pushBlob(name, noise(100_000)), /403.*DENIED/)
  const again = await client.send(
    'POST',
    `/v2/${PROJECT}/other/blobs/uploads/?mount=${digest(more)}&from=${name}`,
  )
  t.equal(again.status, 201, 'what the project has takes no more of it')
  t.match(again.headers['warning'], /^299 - "95 percent/)
  await client.pushBlob(name, more)
  const [left, race] = [40_000, Array.from({ length: 6 }, () => noise(40_000))]
  const pushes = await Promise.allSettled(race.map((content) => client.pushBlob(name, content)))
  t.equal(
    pushes.filter(({ status }) => status === 'fulfilled').length,
    1,
    `at once only one of ${left} bytes fits`,
  )
  await setRules(500_000)
  await client.pushBlob(name, more)
  const view = await control('GET', `/v1/projects/${api.projectId}/registry-rules`)
  t.equal(view.body['used_bytes'], 990_000)
})

test('immutable tags are made once, and neither moved nor deleted', async (t) => {
  const { client, setRules, control } = await open(t)
  const name = `${PROJECT}/web`
  await setRules(null, { repositories: 'w*', immutable_tags: ['v*'] })
  const { manifest, digest } = await client.pushImage(name, 'v1')
  await client.pushImage(name, 'latest')
  await client.pushImage(name, 'latest')
  t.equal((await client.putManifest(name, 'v1', manifest)).status, 201, 'the same again is no change')
  await t.rejects(client.pushImage(name, 'v1'), /409.*DENIED/)
  t.equal((await client.send('DELETE', `/v2/${name}/manifests/v1`)).status, 409)
  t.equal((await client.send('DELETE', `/v2/${name}/manifests/${digest}`)).status, 409)
  t.equal((await control('DELETE', `/v1/registry/repositories/${PROJECT}/web`)).status, 409)
  t.equal((await client.send('DELETE', `/v2/${name}/manifests/latest`)).status, 202)
})

test('retention keeps the newest and the young, and never what is used', async (t) => {
  const { client, setRules, tags, collect, sleepDays, api } = await open(t)
  const name = `${PROJECT}/web`
  const used = await client.pushImage(name, 'b0')
  api.registry.images.pin(api.addDeployment(), { repository: name, digest: used.digest })
  for (const tag of ['b1', 'b2', 'b3', 'keep']) await client.pushImage(name, tag)
  await setRules(null, { repositories: '*', retain: { tags: ['b*'], keep_last: 1, keep_days: 5 } })
  await collect()
  t.same(await tags(name), ['b0', 'b1', 'b2', 'b3', 'keep'], 'all are young')
  await sleepDays(6)
  const dry = await api.call(await api.login(), 'POST', '/v1/registry/gc?dry_run=true')
  t.equal(dry.body['deleted_tags'], 2)
  t.same(await tags(name), ['b0', 'b1', 'b2', 'b3', 'keep'], 'a dry run only tells')
  await collect()
  t.same(await tags(name), ['b0', 'b3', 'keep'])
  t.equal((await client.send('DELETE', `/v2/${name}/manifests/b0`)).status, 409, 'what a service needs stays')
})

test('a collection takes unused blobs after their grace, and untagged manifests only by rule', async (t) => {
  const { client, setRules, collect, sleepDays } = await open(t)
  const name = `${PROJECT}/web`
  const lost = await client.pushBlob(name, noise(100_000))
  const image = await client.pushImage(name, 'v1')
  const referrer = await client.pushImage(name, '', { subject: describe(image.manifest, TYPES.image) })
  const untagged = await client.pushImage(name, '')
  const get = async (path: string) => (await client.send('HEAD', `/v2/${name}/${path}`)).status
  await collect()
  t.equal(await get(`blobs/${lost}`), 200, 'young')
  await sleepDays(1)
  t.equal(await get(`blobs/${lost}`), 200, 'a question of someone who may push begins its age anew')
  await collect()
  t.equal(await get(`blobs/${lost}`), 200)
  await sleepDays(1)
  const report = await collect()
  t.equal(report.body['deleted_blobs'], 1)
  t.equal(report.body['freed_bytes'], 100_000)
  t.equal(await get(`blobs/${lost}`), 404)
  await setRules(null, { repositories: '*', keep_untagged_days: 1 })
  await sleepDays(2)
  t.equal((await collect()).body['deleted_manifests'], 1)
  t.equal(await get(`manifests/${untagged.digest}`), 404)
  t.equal(await get(`manifests/${referrer.digest}`), 200, 'a referrer lives as long as its subject')
  t.equal(await get('manifests/v1'), 200)
  await client.send('DELETE', `/v2/${name}/manifests/${image.digest}`)
  await sleepDays(2)
  await collect()
  t.equal(await get(`manifests/${referrer.digest}`), 404, 'and no longer')
})

test('referrers with large annotations, or among thousands of another type, come page by page and all', async (t) => {
  const { api, client } = await open(t)
  const name = `${PROJECT}/web`
  const { digest: subject, manifest } = await client.pushImage(name, 'v1')
  const refers = { subject: describe(manifest, TYPES.image), artifactType: 'test/large' }
  const pushed = new Set<string>()
  for (let index = 0; index < 5; index += 1) {
    const annotations = { note: String(index).repeat(700_000) }
    pushed.add((await client.pushImage(name, '', { ...refers, annotations })).digest)
  }
  const list = async (query: string) => {
    const found: string[] = []
    let pages = 0
    for (let next: string | undefined = `/v2/${name}/referrers/${subject}${query}`; next !== undefined;) {
      const { headers, json } = await client.send('GET', next)
      found.push(...(json['manifests'] as { digest: string }[]).map((each) => each.digest))
      next = /<([^>]+)>/.exec(String(headers.link ?? ''))?.[1]
      pages += 1
    }
    return { found, pages }
  }
  t.same(await list(''), { found: [...pushed].toSorted(), pages: 3 }, 'two mebibytes at a time')
  const others = `INSERT INTO registry_manifests (repository_id, digest, media_type, size_bytes, subject, artifact_type, created_ms, touched_ms, content)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
    SELECT m.repository_id, 'sha256:' || printf('%064d', i), m.media_type, 1, $subject, 'test/other', 1, 1, x'78'
    FROM n, (SELECT * FROM registry_manifests WHERE digest = $subject) m`
  api.database.run(others, { subject })
  const { found, pages } = await list('?artifactType=test/large')
  t.same(found, [...pushed].toSorted())
  t.ok(pages >= 3 + 2, `${pages} pages`)
})

test('the API lists and removes', async (t) => {
  const { client, control, api } = await open(t)
  const name = `${PROJECT}/web/deep`
  const { digest } = await client.pushImage(name, 'v1')
  const base = `/v1/registry/repositories/${PROJECT}/web%2Fdeep`
  const list = (await control('GET', '/v1/registry/repositories')).body as unknown as {
    name: string
    tags: number
  }[]
  t.match(list, [{ name, tags: 1 }])
  t.match((await control('GET', `${base}/tags`)).body, [{ name: 'v1', digest }])
  t.match((await control('GET', `${base}/manifests`)).body, [{ digest, tags: ['v1'] }])
  t.equal((await control('DELETE', `${base}/tags/v1`)).status, 204)
  t.equal((await control('DELETE', `${base}/tags/v1`)).status, 404)
  t.equal((await control('DELETE', `${base}/manifests/${digest}`)).status, 204)
  t.same(api.registry.describeContents(api.projectId), [`repository ${name}`])
  t.equal((await control('DELETE', base)).status, 204)
  t.equal((await client.send('GET', `/v2/${name}/tags/list`)).status, 404)
  const status = await control('GET', '/v1/registry/status')
  t.equal(status.body['repositories'], 0)
})
