import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { describe, digest, noise, type RegistryClient, TYPES, withQuery } from './registry-client.ts'
import { expectError, expectStatus, type RegistryCase } from './registry-case.ts'

const octets = { 'content-type': 'application/octet-stream' }

async function begin(client: RegistryClient, name: string, query = ''): Promise<string> {
  const begun = await client.send('POST', `/v2/${name}/blobs/uploads/${query}`)
  expectStatus(begun, 202)
  assert.ok(begun.headers.location, 'no Location')
  return begun.headers.location
}

async function patch(client: RegistryClient, location: string, content: Buffer, range?: string) {
  return client.send('PATCH', location, {
    headers: { ...octets, ...(range === undefined ? {} : { 'content-range': range }) },
    body: content,
  })
}

async function expectBlob(client: RegistryClient, name: string, content: Buffer, wanted = digest(content)) {
  const got = await client.send('GET', `/v2/${name}/blobs/${wanted}`)
  expectStatus(got, 200)
  assert.ok(got.body.equals(content), 'other bytes came back')
}

/** Blobs of sizes at which implementations change their ways. */
const SIZES = [0, 1, 2, 4096, 65_535, 65_536, 65_537, 1_048_576, 3_000_001]

const monolithic: RegistryCase[] = SIZES.flatMap((size): RegistryCase[] => [
  {
    group: 'push',
    level: 'must',
    title: `a blob of ${size} bytes by POST and PUT`,
    run: async (client, name) => {
      const content = noise(size)
      const done = await client.send(
        'PUT',
        withQuery(await begin(client, name), { digest: digest(content) }),
        {
          headers: octets,
          body: content,
        },
      )
      expectStatus(done, 201)
      assert.ok(done.headers.location, 'no Location')
      expectStatus(await client.send('GET', done.headers.location), 200)
      await expectBlob(client, name, content)
    },
  },
  {
    group: 'push',
    level: 'berth',
    title: `a blob of ${size} bytes by one POST`,
    run: async (client, name) => {
      const content = noise(size)
      const done = await client.send('POST', `/v2/${name}/blobs/uploads/?digest=${digest(content)}`, {
        headers: octets,
        body: content,
      })
      expectStatus(done, 201)
      assert.ok(done.headers.location)
      await expectBlob(client, name, content)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: `a blob of ${size} bytes by a streamed PATCH and PUT`,
    run: async (client, name) => {
      const content = noise(size)
      const sent = await client.send('PATCH', await begin(client, name), {
        headers: octets,
        body: Readable.from(size === 0 ? [] : [content]),
      })
      expectStatus(sent, 202)
      const done = await client.send(
        'PUT',
        withQuery(sent.headers.location ?? '', { digest: digest(content) }),
      )
      expectStatus(done, 201)
      await expectBlob(client, name, content)
    },
  },
])

const chunked: RegistryCase[] = [
  {
    group: 'push',
    level: 'must',
    title: 'chunks in order, each answered with Location and Range',
    run: async (client, name) => {
      const parts = [noise(70_000), noise(10), noise(200_000)]
      const content = Buffer.concat(parts)
      let location = await begin(client, name)
      let at = 0
      for (const part of parts) {
        const sent = await patch(client, location, part, `${at}-${at + part.length - 1}`)
        expectStatus(sent, 202)
        at += part.length
        assert.equal(sent.headers.range, `0-${at - 1}`)
        location = sent.headers.location ?? ''
      }
      expectStatus(await client.send('PUT', withQuery(location, { digest: digest(content) })), 201)
      await expectBlob(client, name, content)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'the last chunk with the PUT',
    run: async (client, name) => {
      const content = noise(100_000)
      const sent = await patch(client, await begin(client, name), content.subarray(0, 60_000), '0-59999')
      expectStatus(sent, 202)
      const done = await client.send(
        'PUT',
        withQuery(sent.headers.location ?? '', { digest: digest(content) }),
        {
          headers: { ...octets, 'content-range': '60000-99999' },
          body: content.subarray(60_000),
        },
      )
      expectStatus(done, 201)
      await expectBlob(client, name, content)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'a chunk out of order is 416, and the upload goes on unchanged',
    run: async (client, name) => {
      const content = noise(3000)
      const sent = await patch(client, await begin(client, name), content.subarray(0, 1000), '0-999')
      const location = sent.headers.location ?? ''
      expectStatus(await patch(client, location, content.subarray(2000), '2000-2999'), 416)
      expectStatus(await patch(client, location, content.subarray(0, 1000), '0-999'), 416)
      const state = await client.send('GET', location)
      expectStatus(state, 204)
      assert.equal(state.headers.range, '0-999')
      expectStatus(await patch(client, location, content.subarray(1000), '1000-2999'), 202)
      expectStatus(await client.send('PUT', withQuery(location, { digest: digest(content) })), 201)
      await expectBlob(client, name, content)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'a closing chunk out of order is 416',
    run: async (client, name) => {
      const content = noise(3000)
      const sent = await patch(client, await begin(client, name), content.subarray(0, 1000), '0-999')
      const location = sent.headers.location ?? ''
      const wrong = await client.send('PUT', withQuery(location, { digest: digest(content) }), {
        headers: { ...octets, 'content-range': '2000-2999' },
        body: content.subarray(2000),
      })
      expectStatus(wrong, 416)
      expectStatus(await patch(client, location, content.subarray(1000), '1000-2999'), 202)
      expectStatus(await client.send('PUT', withQuery(location, { digest: digest(content) })), 201)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'GET of an upload answers 204 with Location and Range',
    run: async (client, name) => {
      const sent = await patch(client, await begin(client, name), noise(5000))
      const state = await client.send('GET', sent.headers.location ?? '')
      expectStatus(state, 204)
      assert.equal(state.headers.range, '0-4999')
      assert.ok(state.headers.location)
    },
  },
  {
    group: 'push',
    level: 'should',
    title: 'DELETE of an upload ends it',
    run: async (client, name) => {
      const location = await begin(client, name)
      expectStatus(await client.send('DELETE', location), 204)
      expectError(await client.send('GET', location), 404, 'BLOB_UPLOAD_UNKNOWN')
      expectError(await patch(client, location, noise(5)), 404, 'BLOB_UPLOAD_UNKNOWN')
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'a range that is longer than its chunk is refused',
    run: async (client, name) => {
      const answer = await patch(client, await begin(client, name), noise(10), '0-99')
      assert.ok(answer.status === 400 || answer.status === 416, String(answer.status))
    },
  },
]

const digests: RegistryCase[] = [
  {
    group: 'push',
    level: 'must',
    title: 'a wrong digest is DIGEST_INVALID and leaves no blob',
    run: async (client, name) => {
      const [content, other] = [noise(100), noise(100)]
      const wrong = await client.send(
        'PUT',
        withQuery(await begin(client, name), { digest: digest(other) }),
        {
          headers: octets,
          body: content,
        },
      )
      expectError(wrong, 400, 'DIGEST_INVALID')
      expectStatus(await client.send('HEAD', `/v2/${name}/blobs/${digest(other)}`), 404)
      expectStatus(await client.send('HEAD', `/v2/${name}/blobs/${digest(content)}`), 404)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'a PUT without a digest, or with one that is none, is 400',
    run: async (client, name) => {
      expectError(await client.send('PUT', await begin(client, name)), 400, 'DIGEST_INVALID')
      for (const bad of [
        'sha256:abc',
        'sha256',
        `sha256:${'A'.repeat(64)}`,
        `md5:${'a'.repeat(32)}`,
        'x:y:z',
      ]) {
        const location = await begin(client, name)
        expectError(await client.send('PUT', withQuery(location, { digest: bad })), 400, 'DIGEST_INVALID')
      }
    },
  },
  {
    group: 'push',
    level: 'should',
    title: 'sha512 blobs, also in an upload that began without an algorithm',
    run: async (client, name) => {
      for (const size of [100, 300_000]) {
        const content = noise(size)
        const wanted = digest(content, 'sha512')
        const done = await client.send('PUT', withQuery(await begin(client, name), { digest: wanted }), {
          headers: octets,
          body: content,
        })
        expectStatus(done, 201)
        assert.match(String(done.headers['docker-content-digest']), /^sha512:/)
        await expectBlob(client, name, content, wanted)
      }
    },
  },
  {
    group: 'push',
    level: 'berth',
    title: '?digest-algorithm= is honoured, an unknown one refused',
    run: async (client, name) => {
      const content = noise(200_000)
      const location = await begin(client, name, '?digest-algorithm=sha512')
      expectStatus(await patch(client, location, content), 202)
      const wanted = digest(content, 'sha512')
      expectStatus(await client.send('PUT', withQuery(location, { digest: wanted })), 201)
      await expectBlob(client, name, content, wanted)
      expectError(
        await client.send('POST', `/v2/${name}/blobs/uploads/?digest-algorithm=crc32`),
        400,
        'DIGEST_INVALID',
      )
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'a percent-encoded digest',
    run: async (client, name) => {
      const content = noise(50)
      await client.pushBlob(name, content)
      const encoded = digest(content).replace(':', '%3A')
      expectStatus(await client.send('GET', `/v2/${name}/blobs/${encoded}`), 200)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'the same blob twice, and by two clients at once',
    run: async (client, name) => {
      const content = noise(400_000)
      const answers = await Promise.all(
        Array.from({ length: 4 }, async () =>
          client.send('PUT', withQuery(await begin(client, name), { digest: digest(content) }), {
            headers: octets,
            body: content,
          }),
        ),
      )
      for (const answer of answers) expectStatus(answer, 201)
      await expectBlob(client, name, content)
    },
  },
]

const mounts: RegistryCase[] = [
  {
    group: 'push',
    level: 'must',
    title: 'a mount from another repository is 201 with Location',
    run: async (client, name) => {
      const content = noise(500)
      const wanted = await client.pushBlob(`${name}-from`, content)
      const mounted = await client.send(
        'POST',
        `/v2/${name}/blobs/uploads/?mount=${wanted}&from=${name}-from`,
      )
      expectStatus(mounted, 201)
      assert.ok(mounted.headers.location)
      expectStatus(await client.send('GET', mounted.headers.location), 200)
      await expectBlob(client, name, content)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'a mount of what is not there begins an upload',
    run: async (client, name) => {
      const wanted = digest(noise(10))
      for (const from of [`${name}-nowhere`, name]) {
        const answer = await client.send('POST', `/v2/${name}/blobs/uploads/?mount=${wanted}&from=${from}`)
        expectStatus(answer, 202)
        assert.ok(answer.headers.location)
      }
    },
  },
  {
    group: 'push',
    level: 'berth',
    title: 'a mount without from finds the blob where the caller may pull',
    run: async (client, name) => {
      const content = noise(70_000)
      const wanted = await client.pushBlob(`${name}-elsewhere`, content)
      expectStatus(await client.send('POST', `/v2/${name}/blobs/uploads/?mount=${wanted}`), 201)
      await expectBlob(client, name, content)
    },
  },
]

const image = (config: string, layer: Buffer, extra: Record<string, unknown> = {}) => ({
  schemaVersion: 2,
  mediaType: TYPES.image,
  config: describe(config, TYPES.config),
  layers: [describe(layer, TYPES.layer)],
  ...extra,
})

async function pushParts(client: RegistryClient, name: string): Promise<{ config: string; layer: Buffer }> {
  const [config, layer] = ['{}', noise(100)]
  await client.pushBlob(name, config)
  await client.pushBlob(name, layer)
  return { config, layer }
}

const manifests: RegistryCase[] = [
  {
    group: 'push',
    level: 'must',
    title: 'a manifest by tag: 201, Location, the exact bytes back',
    run: async (client, name) => {
      const { config, layer } = await pushParts(client, name)
      const text = `${JSON.stringify(image(config, layer), undefined, 3)}\n \n`
      const put = await client.putManifest(name, 'v1', text)
      expectStatus(put, 201)
      assert.equal(put.headers['docker-content-digest'], digest(text))
      expectStatus(await client.send('GET', put.headers.location ?? ''), 200)
      for (const reference of ['v1', digest(text)]) {
        const got = await client.send('GET', `/v2/${name}/manifests/${reference}`)
        assert.equal(got.text, text)
        assert.equal(got.headers['content-type'], TYPES.image)
      }
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'a manifest by digest, which must match',
    run: async (client, name) => {
      const { config, layer } = await pushParts(client, name)
      const text = JSON.stringify(image(config, layer))
      expectStatus(await client.putManifest(name, digest(text), text), 201)
      expectError(await client.putManifest(name, digest(noise(3)), text), 400, 'DIGEST_INVALID')
    },
  },
  {
    group: 'push',
    level: 'berth',
    title: '?tag= repeated on a push by digest, answered with OCI-Tag',
    run: async (client, name) => {
      const { config, layer } = await pushParts(client, name)
      const text = JSON.stringify(image(config, layer))
      const put = await client.putManifest(name, `${digest(text)}?tag=one&tag=two`, text)
      expectStatus(put, 201)
      assert.deepEqual(String(put.headers['oci-tag']).split(/, */).toSorted(), ['one', 'two'])
      for (const tag of ['one', 'two'])
        expectStatus(await client.send('HEAD', `/v2/${name}/manifests/${tag}`), 200)
    },
  },
  {
    group: 'push',
    level: 'should',
    title: 'mediaType and content type must agree, parameters aside',
    run: async (client, name) => {
      const { config, layer } = await pushParts(client, name)
      const manifest = image(config, layer)
      expectStatus(await client.putManifest(name, 'v1', manifest, `${TYPES.image}; charset=utf-8`), 201)
      expectError(await client.putManifest(name, 'v1', manifest, TYPES.docker), 400, 'MANIFEST_INVALID')
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'what is no manifest is MANIFEST_INVALID',
    run: async (client, name) => {
      await pushParts(client, name)
      for (const bad of ['', '{', '[]', 'null', '"x"', '{"schemaVersion":2}', '{"schemaVersion":1}'])
        expectError(await client.putManifest(name, 'v1', bad), 400, 'MANIFEST_INVALID')
      const { config, layer } = await pushParts(client, name)
      const broken = image(config, layer)
      expectError(
        await client.putManifest(name, 'v1', { ...broken, config: { ...broken.config, digest: 'nothing' } }),
        400,
        'MANIFEST_INVALID',
        'DIGEST_INVALID',
      )
    },
  },
  {
    group: 'push',
    level: 'should',
    title: 'missing blobs are MANIFEST_BLOB_UNKNOWN',
    run: async (client, name) => {
      const { config, layer } = await pushParts(client, name)
      const lost = image(config, noise(33))
      const answer = await client.putManifest(name, 'v1', lost)
      expectError(answer, answer.status === 404 ? 404 : 400, 'MANIFEST_BLOB_UNKNOWN')
      const noConfig = image('{"none":1}', layer)
      const other = await client.putManifest(name, 'v1', noConfig)
      expectError(other, other.status === 404 ? 404 : 400, 'MANIFEST_BLOB_UNKNOWN')
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'an index, nested indexes, an empty index, an index of absent children',
    run: async (client, name) => {
      const child = await client.pushImage(name, '')
      const inner = JSON.stringify({
        schemaVersion: 2,
        mediaType: TYPES.index,
        manifests: [
          { ...describe(child.manifest, TYPES.image), platform: { os: 'linux', architecture: 'arm64' } },
        ],
      })
      expectStatus(await client.putManifest(name, 'inner', inner, TYPES.index), 201)
      const outer = { schemaVersion: 2, mediaType: TYPES.index, manifests: [describe(inner, TYPES.index)] }
      expectStatus(await client.putManifest(name, 'outer', outer, TYPES.index), 201)
      const none = { schemaVersion: 2, mediaType: TYPES.index, manifests: [] }
      expectStatus(await client.putManifest(name, 'none', none, TYPES.index), 201)
    },
  },
  {
    group: 'push',
    level: 'berth',
    title: 'an index whose children are absent is accepted',
    run: async (client, name) => {
      const index = { schemaVersion: 2, mediaType: TYPES.index, manifests: [describe('{}', TYPES.image)] }
      expectStatus(await client.putManifest(name, 'absent', index, TYPES.index), 201)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'Docker schema 2 images and lists',
    run: async (client, name) => {
      const { config, layer } = await pushParts(client, name)
      const text = JSON.stringify({
        schemaVersion: 2,
        mediaType: TYPES.docker,
        config: describe(config, 'application/vnd.docker.container.image.v1+json'),
        layers: [describe(layer, 'application/vnd.docker.image.rootfs.diff.tar.gzip')],
      })
      expectStatus(await client.putManifest(name, 'docker', text, TYPES.docker), 201)
      const list = {
        schemaVersion: 2,
        mediaType: TYPES.list,
        manifests: [{ ...describe(text, TYPES.docker), platform: { os: 'linux', architecture: 'amd64' } }],
      }
      expectStatus(await client.putManifest(name, 'list', list, TYPES.list), 201)
    },
  },
  {
    group: 'push',
    level: 'should',
    title: 'artifacts: an artifact type, the empty config, no layers, unknown fields, inline data',
    run: async (client, name) => {
      await client.pushBlob(name, '{}')
      const empty = describe('{}', TYPES.empty)
      const artifact = {
        schemaVersion: 2,
        mediaType: TYPES.image,
        artifactType: 'application/vnd.example+type',
        config: { ...empty, data: 'e30=' },
        layers: [empty],
        annotations: { 'org.example': 'x' },
        somethingNew: [1, { a: 2 }],
      }
      expectStatus(await client.putManifest(name, 'artifact', artifact), 201)
      expectStatus(await client.putManifest(name, 'bare', { ...artifact, layers: [] }), 201)
    },
  },
  {
    group: 'push',
    level: 'should',
    title: 'layers that are not for distribution need not be pushed',
    run: async (client, name) => {
      await client.pushBlob(name, '{}')
      const foreign = {
        ...describe(noise(5), 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip'),
        urls: ['https://example.com/layer'],
      }
      const manifest = {
        schemaVersion: 2,
        mediaType: TYPES.image,
        config: describe('{}', TYPES.config),
        layers: [foreign],
      }
      expectStatus(await client.putManifest(name, 'foreign', manifest), 201)
    },
  },
  {
    group: 'push',
    level: 'should',
    title: 'a manifest of 4 MiB is taken',
    run: async (client, name) => {
      const { config, layer } = await pushParts(client, name)
      const big = image(config, layer, { annotations: { big: 'x'.repeat(4 * 1024 ** 2 - 2000) } })
      expectStatus(await client.putManifest(name, 'big', big), 201)
    },
  },
  {
    group: 'push',
    level: 'should',
    title: 'a manifest beyond the limit is 413',
    run: async (client, name) => {
      const { config, layer } = await pushParts(client, name)
      const big = image(config, layer, { annotations: { big: 'x'.repeat(9 * 1024 ** 2) } })
      expectStatus(await client.putManifest(name, 'big', big), 413)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'a subject is answered with OCI-Subject, also one that is missing',
    run: async (client, name) => {
      const subject = { mediaType: TYPES.image, digest: digest(noise(4)), size: 4 }
      const { answer } = await client.pushImage(name, 'v1', { subject })
      assert.equal(answer.headers['oci-subject'], subject.digest)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'a tag moves to what was pushed last',
    run: async (client, name) => {
      await client.pushImage(name, 'latest')
      const second = await client.pushImage(name, 'latest')
      const got = await client.send('HEAD', `/v2/${name}/manifests/latest`)
      assert.equal(got.headers['docker-content-digest'], second.digest)
    },
  },
  {
    group: 'push',
    level: 'should',
    title: 'a tag that is none is 400',
    run: async (client, name) => {
      const { config, layer } = await pushParts(client, name)
      for (const bad of ['.dot', '-dash', 'a'.repeat(129)])
        expectStatus(await client.putManifest(name, bad, image(config, layer)), 400, 404)
    },
  },
]

/** Pushing (distribution specification, "Push"). */
export const PUSH_CASES: readonly RegistryCase[] = [
  ...monolithic,
  ...chunked,
  ...digests,
  ...mounts,
  ...manifests,
]
