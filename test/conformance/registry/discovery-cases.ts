import assert from 'node:assert/strict'
import { describe, digest, noise, type RegistryClient, TYPES } from './registry-client.ts'
import { expectError, expectStatus, type RegistryCase } from './registry-case.ts'

interface Referrer {
  digest: string
  artifactType?: string
  annotations?: Record<string, string>
}

async function referrers(client: RegistryClient, path: string): Promise<Referrer[]> {
  const got = await client.send('GET', path)
  expectStatus(got, 200)
  assert.equal(got.headers['content-type'], TYPES.index)
  assert.equal(got.json['schemaVersion'], 2)
  return got.json['manifests'] as Referrer[]
}

const nextOf = (link: unknown): string | undefined => /<([^>]+)>; *rel="?next"?/.exec(String(link))?.[1]

/** Content discovery and content management. */
export const DISCOVERY_CASES: readonly RegistryCase[] = [
  {
    group: 'discovery',
    level: 'must',
    title: 'tags in the order of their bytes',
    run: async (client, name) => {
      const { manifest } = await client.pushImage(name, 'b')
      for (const tag of ['a', 'B', 'c.1', '_x', '10', '9'])
        expectStatus(await client.putManifest(name, tag, manifest), 201)
      const got = await client.send('GET', `/v2/${name}/tags/list`)
      assert.deepEqual(got.json, { name, tags: ['10', '9', 'B', '_x', 'a', 'b', 'c.1'] })
    },
  },
  {
    group: 'discovery',
    level: 'must',
    title: 'n and last page through the tags',
    run: async (client, name) => {
      const { manifest } = await client.pushImage(name, 't1')
      for (const tag of ['t2', 't3', 't4', 't5']) await client.putManifest(name, tag, manifest)
      const list = async (query: string) =>
        (await client.send('GET', `/v2/${name}/tags/list${query}`)).json['tags']
      assert.deepEqual(await list('?n=2'), ['t1', 't2'])
      assert.deepEqual(await list('?n=50'), ['t1', 't2', 't3', 't4', 't5'])
      assert.deepEqual(await list('?n=2&last=t2'), ['t3', 't4'])
      assert.deepEqual(await list('?n=2&last=t5'), [])
      assert.deepEqual(await list('?last=t3'), ['t4', 't5'])
      assert.deepEqual(await list('?last=t2zzz'), ['t3', 't4', 't5'])
    },
  },
  {
    group: 'discovery',
    level: 'should',
    title: 'n=0 gives an empty list, and Link leads through all pages',
    run: async (client, name) => {
      const { manifest } = await client.pushImage(name, 't1')
      for (const tag of ['t2', 't3']) await client.putManifest(name, tag, manifest)
      const none = await client.send('GET', `/v2/${name}/tags/list?n=0`)
      assert.deepEqual([none.json['tags'], none.headers.link], [[], undefined])
      const seen: unknown[] = []
      let path: string | undefined = `/v2/${name}/tags/list?n=1`
      while (path !== undefined) {
        const got = await client.send('GET', path)
        seen.push(...(got.json['tags'] as string[]))
        path = nextOf(got.headers.link)
      }
      assert.deepEqual(seen, ['t1', 't2', 't3'])
    },
  },
  {
    group: 'discovery',
    level: 'berth',
    title: 'a repository without tags lists none',
    run: async (client, name) => {
      await client.pushBlob(name, noise(3))
      assert.deepEqual((await client.send('GET', `/v2/${name}/tags/list`)).json['tags'], [])
    },
  },
  {
    group: 'discovery',
    level: 'must',
    title: 'referrers of a manifest, with artifact type and annotations',
    run: async (client, name) => {
      const { manifest } = await client.pushImage(name, 'v1')
      const subject = describe(manifest, TYPES.image)
      const one = await client.pushImage(name, '', {
        subject,
        artifactType: 'application/vnd.example.sbom',
        annotations: { note: 'one' },
      })
      const two = await client.pushImage(name, '', { subject })
      const index = JSON.stringify({
        schemaVersion: 2,
        mediaType: TYPES.index,
        artifactType: 'application/vnd.example.index',
        manifests: [],
        subject,
      })
      expectStatus(await client.putManifest(name, digest(index), index, TYPES.index), 201)
      const found = await referrers(client, `/v2/${name}/referrers/${subject.digest}`)
      assert.deepEqual(
        found.map((each) => each.digest).toSorted(),
        [one.digest, two.digest, digest(index)].toSorted(),
      )
      const byDigest = new Map(found.map((each) => [each.digest, each]))
      assert.equal(byDigest.get(one.digest)?.artifactType, 'application/vnd.example.sbom')
      assert.deepEqual(byDigest.get(one.digest)?.annotations, { note: 'one' })
      assert.equal(byDigest.get(two.digest)?.artifactType, TYPES.config)
    },
  },
  {
    group: 'discovery',
    level: 'must',
    title: 'an index refers too, without an artifact type when it has none, with its annotations',
    run: async (client, name) => {
      const { manifest } = await client.pushImage(name, 'v1')
      const subject = describe(manifest, TYPES.image)
      const index = { schemaVersion: 2, mediaType: TYPES.index, manifests: [], subject }
      const plain = JSON.stringify({ ...index, annotations: { note: 'plain' } })
      const empty = JSON.stringify({ ...index, artifactType: '' })
      for (const each of [plain, empty])
        expectStatus(await client.putManifest(name, digest(each), each, TYPES.index), 201)
      const found = await referrers(client, `/v2/${name}/referrers/${subject.digest}`)
      const byDigest = new Map(found.map((each) => [each.digest, each]))
      assert.deepEqual(byDigest.get(digest(plain)), {
        ...describe(plain, TYPES.index),
        annotations: { note: 'plain' },
      })
      assert.deepEqual(byDigest.get(digest(empty)), describe(empty, TYPES.index))
    },
  },
  {
    group: 'discovery',
    level: 'must',
    title: 'referrers of what nobody refers to is an empty index',
    run: async (client, name) => {
      await client.pushImage(name, 'v1')
      assert.deepEqual(await referrers(client, `/v2/${name}/referrers/${digest(noise(9))}`), [])
      for (const unknown of [`${name}-none`, `nobody/${name}`, 'nobody'])
        assert.deepEqual(await referrers(client, `/v2/${unknown}/referrers/${digest(noise(9))}`), [])
    },
  },
  {
    group: 'discovery',
    level: 'must',
    title: 'referrers of what is no digest is 400',
    run: async (client, name) => {
      await client.pushImage(name, 'v1')
      expectError(await client.send('GET', `/v2/${name}/referrers/sha256:xyz`), 400)
    },
  },
  {
    group: 'discovery',
    level: 'should',
    title: 'referrers filtered by artifact type say so',
    run: async (client, name) => {
      const { manifest } = await client.pushImage(name, 'v1')
      const subject = describe(manifest, TYPES.image)
      const wanted = await client.pushImage(name, '', { subject, artifactType: 'application/vnd.a+b' })
      await client.pushImage(name, '', { subject, artifactType: 'application/vnd.other' })
      const path = `/v2/${name}/referrers/${subject.digest}?artifactType=${encodeURIComponent('application/vnd.a+b')}`
      const got = await client.send('GET', path)
      assert.equal(got.headers['oci-filters-applied'], 'artifactType')
      assert.deepEqual(
        (got.json['manifests'] as Referrer[]).map((each) => each.digest),
        [wanted.digest],
      )
    },
  },
  {
    group: 'discovery',
    level: 'berth',
    title: 'referrers are paged by Link',
    run: async (client, name) => {
      const { manifest } = await client.pushImage(name, 'v1')
      const subject = describe(manifest, TYPES.image)
      const made = new Set<string>()
      for (let count = 0; count < 5; count += 1)
        made.add((await client.pushImage(name, '', { subject })).digest)
      const seen: string[] = []
      let path: string | undefined = `/v2/${name}/referrers/${subject.digest}?n=2`
      while (path !== undefined) {
        const got = await client.send('GET', path)
        seen.push(...(got.json['manifests'] as Referrer[]).map((each) => each.digest))
        path = nextOf(got.headers.link)
      }
      assert.equal(seen.length, 5)
      assert.deepEqual(new Set(seen), made)
    },
  },
  {
    group: 'discovery',
    level: 'must',
    title: 'referrers that an older client left under the fallback tag are listed too',
    run: async (client, name) => {
      const { manifest } = await client.pushImage(name, 'v1')
      const subject = describe(manifest, TYPES.image)
      const old = await client.pushImage(name, '')
      const fallback = {
        schemaVersion: 2,
        mediaType: TYPES.index,
        manifests: [{ ...describe(old.manifest, TYPES.image), artifactType: 'application/vnd.old' }],
      }
      expectStatus(
        await client.putManifest(name, subject.digest.replace(':', '-'), fallback, TYPES.index),
        201,
      )
      const fresh = await client.pushImage(name, '', { subject })
      const found = await referrers(client, `/v2/${name}/referrers/${subject.digest}`)
      assert.deepEqual(found.map((each) => each.digest).toSorted(), [old.digest, fresh.digest].toSorted())
      const long = digest(noise(3), 'sha512')
      const tag = `sha512-${long.slice('sha512:'.length).slice(0, 64)}`
      expectStatus(await client.putManifest(name, tag, fallback, TYPES.index), 201)
      const ofLong = await referrers(client, `/v2/${name}/referrers/${long}`)
      assert.deepEqual(
        ofLong.map((each) => each.digest),
        [old.digest],
        'the tag has 64 digits at most',
      )
    },
  },
  {
    group: 'discovery',
    level: 'should',
    title: 'the catalogue lists and pages repositories',
    run: async (client, name) => {
      await client.pushImage(`${name}/one`, 'v1')
      await client.pushImage(`${name}/two`, 'v1')
      const seen: string[] = []
      let path: string | undefined = '/v2/_catalog?n=1'
      while (path !== undefined && seen.length < 2000) {
        const got = await client.send('GET', path)
        expectStatus(got, 200)
        seen.push(...(got.json['repositories'] as string[]))
        path = nextOf(got.headers.link)
      }
      assert.ok(seen.includes(`${name}/one`) && seen.includes(`${name}/two`))
      assert.deepEqual(seen, seen.toSorted())
    },
  },
  {
    group: 'management',
    level: 'must',
    title: 'DELETE of a tag removes the tag only',
    run: async (client, name) => {
      const { digest: wanted } = await client.pushImage(name, 'v1')
      expectStatus(await client.send('DELETE', `/v2/${name}/manifests/v1`), 202)
      expectStatus(await client.send('GET', `/v2/${name}/manifests/v1`), 404)
      expectStatus(await client.send('GET', `/v2/${name}/manifests/${wanted}`), 200)
      assert.deepEqual((await client.send('GET', `/v2/${name}/tags/list`)).json['tags'] ?? [], [])
    },
  },
  {
    group: 'management',
    level: 'must',
    title: 'DELETE of a manifest removes it and its tags at once',
    run: async (client, name) => {
      const { digest: wanted, manifest } = await client.pushImage(name, 'v1')
      await client.putManifest(name, 'v2', manifest)
      expectStatus(await client.send('DELETE', `/v2/${name}/manifests/${wanted}`), 202)
      for (const reference of [wanted, 'v1', 'v2'])
        expectStatus(await client.send('GET', `/v2/${name}/manifests/${reference}`), 404)
      expectError(await client.send('DELETE', `/v2/${name}/manifests/${wanted}`), 404, 'MANIFEST_UNKNOWN')
    },
  },
  {
    group: 'management',
    level: 'must',
    title: 'a deleted manifest is no referrer any more',
    run: async (client, name) => {
      const { manifest } = await client.pushImage(name, 'v1')
      const subject = describe(manifest, TYPES.image)
      const one = await client.pushImage(name, '', { subject })
      expectStatus(await client.send('DELETE', `/v2/${name}/manifests/${one.digest}`), 202)
      assert.deepEqual(await referrers(client, `/v2/${name}/referrers/${subject.digest}`), [])
    },
  },
  {
    group: 'management',
    level: 'must',
    title: 'DELETE of a blob, and of an unknown one',
    run: async (client, name) => {
      const wanted = await client.pushBlob(name, noise(30))
      expectStatus(await client.send('DELETE', `/v2/${name}/blobs/${wanted}`), 202)
      expectStatus(await client.send('HEAD', `/v2/${name}/blobs/${wanted}`), 404)
      expectError(await client.send('DELETE', `/v2/${name}/blobs/${wanted}`), 404, 'BLOB_UNKNOWN')
    },
  },
  {
    group: 'management',
    level: 'must',
    title: 'DELETE in a repository that does not exist is 404, of what is no digest 400 or 404',
    run: async (client, name) => {
      const some = digest(noise(3))
      for (const path of ['manifests/v1', `manifests/${some}`, `blobs/${some}`])
        expectError(await client.send('DELETE', `/v2/${name}-none/${path}`), 404)
      await client.pushImage(name, 'v1')
      for (const path of ['manifests/sha256:abc', 'blobs/sha256:abc'])
        expectStatus(await client.send('DELETE', `/v2/${name}/${path}`), 400, 404)
    },
  },
  {
    group: 'management',
    level: 'berth',
    title: 'a blob that a manifest needs stays',
    run: async (client, name) => {
      const { layer, digest: wanted } = await client.pushImage(name, 'v1')
      const path = `/v2/${name}/blobs/${digest(layer)}`
      expectError(await client.send('DELETE', path), 409, 'DENIED')
      expectStatus(await client.send('DELETE', `/v2/${name}/manifests/${wanted}`), 202)
      expectStatus(await client.send('DELETE', path), 202)
      await client.pushBlob(name, layer)
      expectStatus(await client.send('HEAD', path), 200)
    },
  },
  {
    group: 'management',
    level: 'must',
    title: 'what was deleted may be pushed again',
    run: async (client, name) => {
      const { manifest, digest: wanted } = await client.pushImage(name, 'v1')
      await client.send('DELETE', `/v2/${name}/manifests/${wanted}`)
      expectStatus(await client.putManifest(name, 'v1', manifest), 201)
      expectStatus(await client.send('GET', `/v2/${name}/manifests/v1`), 200)
    },
  },
]
