import assert from 'node:assert/strict'
import { digest, noise, TYPES } from './registry-client.ts'
import { expectError, expectStatus, type RegistryCase } from './registry-case.ts'

/** Pulling (distribution specification, "Pull") and the shape of failures. */
export const PULL_CASES: readonly RegistryCase[] = [
  {
    group: 'pull',
    level: 'must',
    title: '/v2/ answers 200 to those who may',
    run: async (client) => expectStatus(await client.send('GET', '/v2/'), 200),
  },
  {
    group: 'pull',
    level: 'must',
    title: 'a manifest by tag and digest, GET and HEAD alike, whatever Accept says',
    run: async (client, name) => {
      const { manifest, digest: wanted } = await client.pushImage(name, 'v1')
      for (const reference of ['v1', wanted]) {
        for (const accept of [TYPES.image, '*/*', 'text/plain', TYPES.docker]) {
          const got = await client.send('GET', `/v2/${name}/manifests/${reference}`, { headers: { accept } })
          expectStatus(got, 200)
          assert.equal(got.text, manifest)
          const head = await client.send('HEAD', `/v2/${name}/manifests/${reference}`, {
            headers: { accept },
          })
          expectStatus(head, 200)
          assert.equal(head.body.length, 0)
          for (const header of ['content-type', 'content-length', 'docker-content-digest'])
            assert.equal(head.headers[header], got.headers[header], header)
          assert.equal(got.headers['docker-content-digest'], wanted)
        }
      }
    },
  },
  {
    group: 'pull',
    level: 'must',
    title: 'an unknown manifest is 404, by tag, by digest, and by what is neither',
    run: async (client, name) => {
      await client.pushImage(name, 'v1')
      for (const reference of ['nothing', digest(noise(3)), '.INVALID_MANIFEST_NAME']) {
        const got = await client.send('GET', `/v2/${name}/manifests/${reference}`)
        expectStatus(got, 404)
        expectStatus(await client.send('HEAD', `/v2/${name}/manifests/${reference}`), 404)
      }
      expectError(await client.send('GET', `/v2/${name}/manifests/nothing`), 404, 'MANIFEST_UNKNOWN')
    },
  },
  {
    group: 'pull',
    level: 'must',
    title: 'a blob, GET and HEAD, small and large',
    run: async (client, name) => {
      for (const size of [0, 2, 5000, 700_000, 2_500_000]) {
        const content = noise(size)
        const wanted = await client.pushBlob(name, content)
        const got = await client.send('GET', `/v2/${name}/blobs/${wanted}`)
        expectStatus(got, 200)
        assert.ok(got.body.equals(content))
        assert.equal(got.headers['content-length'], String(size))
        assert.equal(got.headers['docker-content-digest'], wanted)
        const head = await client.send('HEAD', `/v2/${name}/blobs/${wanted}`)
        expectStatus(head, 200)
        assert.equal(head.headers['content-length'], String(size))
        assert.equal(head.headers['docker-content-digest'], wanted)
      }
    },
  },
  {
    group: 'pull',
    level: 'must',
    title: 'an unknown blob is 404, one that cannot be 400',
    run: async (client, name) => {
      await client.pushBlob(name, noise(3))
      expectError(await client.send('GET', `/v2/${name}/blobs/${digest(noise(3))}`), 404, 'BLOB_UNKNOWN')
      expectStatus(await client.send('HEAD', `/v2/${name}/blobs/${digest(noise(3))}`), 404)
      for (const bad of ['sha256:abc', `sha256:${'Z'.repeat(64)}`, `md5:${'a'.repeat(32)}`])
        expectError(await client.send('GET', `/v2/${name}/blobs/${bad}`), 400, 'DIGEST_INVALID')
    },
  },
  {
    group: 'pull',
    level: 'should',
    title: 'ranges of a blob',
    run: async (client, name) => {
      for (const size of [1000, 300_000]) {
        const content = noise(size)
        const path = `/v2/${name}/blobs/${await client.pushBlob(name, content)}`
        const table: [string, number, number][] = [
          ['bytes=0-0', 0, 1],
          ['bytes=10-19', 10, 20],
          [`bytes=${size - 5}-`, size - 5, size],
          ['bytes=-7', size - 7, size],
          [`bytes=5-${size * 2}`, 5, size],
          [`bytes=-${size * 2}`, 0, size],
        ]
        for (const [range, start, end] of table) {
          const got = await client.send('GET', path, { headers: { range } })
          expectStatus(got, 206)
          assert.equal(got.headers['content-range'], `bytes ${start}-${end - 1}/${size}`, range)
          assert.ok(got.body.equals(content.subarray(start, end)), range)
        }
        for (const range of [`bytes=${size}-`, 'bytes=500-0', 'bytes=-0'])
          expectStatus(await client.send('GET', path, { headers: { range } }), 416)
      }
    },
  },
  {
    group: 'pull',
    level: 'berth',
    title: 'entity tags and conditions on blobs',
    run: async (client, name) => {
      const content = noise(2000)
      const path = `/v2/${name}/blobs/${await client.pushBlob(name, content)}`
      const { headers } = await client.send('GET', path)
      const etag = headers.etag ?? ''
      assert.match(etag, /^"/)
      assert.match(headers['cache-control'] ?? '', /immutable/)
      assert.equal(headers['accept-ranges'], 'bytes')
      expectStatus(await client.send('GET', path, { headers: { 'if-none-match': etag } }), 304)
      const held = { range: 'bytes=0-9', 'if-range': etag }
      expectStatus(await client.send('GET', path, { headers: held }), 206)
      expectStatus(await client.send('GET', path, { headers: { ...held, 'if-range': '"other"' } }), 200)
    },
  },
  {
    group: 'pull',
    level: 'berth',
    title: 'entity tags and conditions on manifests, GET and HEAD alike',
    run: async (client, name) => {
      const { digest: wanted } = await client.pushImage(name, 'v1')
      for (const reference of ['v1', wanted]) {
        const path = `/v2/${name}/manifests/${reference}`
        for (const method of ['GET', 'HEAD']) {
          const etag = (await client.send(method, path)).headers.etag ?? ''
          assert.match(etag, /^"/)
          const same = await client.send(method, path, { headers: { 'if-none-match': `"x", W/${etag}` } })
          expectStatus(same, 304)
          assert.equal(same.headers.etag, etag)
          expectStatus(await client.send(method, path, { headers: { 'if-none-match': '"x"' } }), 200)
        }
      }
    },
  },
  {
    group: 'pull',
    level: 'should',
    title: 'a manifest comes with the content type that it was pushed with, without parameters',
    run: async (client, name) => {
      const { manifest } = await client.pushImage(name, 'v1')
      await client.putManifest(name, 'v2', manifest, `${TYPES.image}; charset=utf-8`)
      for (const tag of ['v1', 'v2']) {
        const got = await client.send('GET', `/v2/${name}/manifests/${tag}`, {
          headers: { accept: TYPES.image },
        })
        assert.equal(got.headers['content-type'], TYPES.image)
      }
    },
  },
  {
    group: 'pull',
    level: 'must',
    title: 'what is pulled from a repository that does not exist is 404',
    run: async (client, name) => {
      const some = digest(noise(3))
      for (const path of ['manifests/v1', `manifests/${some}`, `blobs/${some}`, 'tags/list'])
        expectStatus(await client.send('GET', `/v2/${name}-none/${path}`), 404)
    },
  },
  {
    group: 'pull',
    level: 'must',
    title: 'a name may hold the words of the API',
    run: async (client, name) => {
      for (const odd of ['manifests', 'blobs/uploads', 'tags/list', 'referrers', 'blobs', 'a_b/c__d/e-f.g']) {
        const repository = `${name}/${odd}`
        const { manifest } = await client.pushImage(repository, 'list')
        assert.equal((await client.send('GET', `/v2/${repository}/manifests/list`)).text, manifest)
        assert.deepEqual((await client.send('GET', `/v2/${repository}/tags/list`)).json['tags'], ['list'])
      }
    },
  },
  {
    group: 'errors',
    level: 'must',
    title: 'failures have the shape of the specification',
    run: async (client, name) => {
      await client.pushBlob(name, noise(3))
      expectError(await client.send('GET', `/v2/${name}/manifests/none`), 404, 'MANIFEST_UNKNOWN')
      expectError(await client.send('GET', `/v2/${name}-none/tags/list`), 404, 'NAME_UNKNOWN')
    },
  },
  {
    group: 'errors',
    level: 'should',
    title: 'a name that is none is NAME_INVALID',
    run: async (client, name) => {
      for (const bad of [`${name}/UPPER`, `${name}/a..b`, `${name}/-a`, `${name}/a___b`])
        expectError(await client.send('GET', `/v2/${bad}/tags/list`), 400, 'NAME_INVALID')
    },
  },
  {
    group: 'errors',
    level: 'berth',
    title: 'every answer says which API it is',
    run: async (client, name) => {
      for (const path of ['/v2/', `/v2/${name}/tags/list`, '/v2/nonsense', `/v2/${name}/blobs/x`])
        assert.equal(
          (await client.send('GET', path)).headers['docker-distribution-api-version'],
          'registry/2.0',
          path,
        )
    },
  },
  {
    group: 'errors',
    level: 'should',
    title: 'a method that a path does not support is refused',
    run: async (client, name) => {
      const { digest: wanted } = await client.pushImage(name, 'v1')
      expectStatus(await client.send('POST', `/v2/${name}/manifests/${wanted}`, { body: 'x' }), 404, 405)
      expectStatus(await client.send('PATCH', `/v2/${name}/tags/list`, { body: 'x' }), 404, 405)
    },
  },
]
