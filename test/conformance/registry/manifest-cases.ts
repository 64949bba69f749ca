import assert from 'node:assert/strict'
import { describe, digest, noise, type RegistryClient, TYPES } from './registry-client.ts'
import { expectError, expectStatus, type RegistryCase } from './registry-case.ts'

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

/** Pushing manifests. */
export const MANIFEST_CASES: readonly RegistryCase[] = [
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
  {
    group: 'push',
    level: 'must',
    title: 'a manifest under a digest that is none is refused',
    run: async (client, name) => {
      const { config, layer } = await pushParts(client, name)
      const bad = 'sha256:baddigeststring'
      expectError(await client.putManifest(name, bad, image(config, layer)), 400, 'DIGEST_INVALID')
      expectStatus(await client.send('GET', `/v2/${name}/manifests/${bad}`), 400, 404)
    },
  },
  {
    group: 'push',
    level: 'berth',
    title: 'a sha512 manifest of sha512 blobs, with tags',
    run: async (client, name) => {
      const [config, layer] = ['{"architecture":"amd64"}', noise(90_000)]
      await client.pushBlob(name, config, 'sha512')
      await client.pushBlob(name, layer, 'sha512')
      const text = JSON.stringify({
        ...image(config, layer),
        config: { ...describe(config, TYPES.config), digest: digest(config, 'sha512') },
        layers: [{ ...describe(layer, TYPES.layer), digest: digest(layer, 'sha512') }],
      })
      const wanted = digest(text, 'sha512')
      const put = await client.putManifest(name, `${wanted}?tag=long`, text)
      expectStatus(put, 201)
      assert.equal(put.headers['docker-content-digest'], wanted)
      const got = await client.send('GET', `/v2/${name}/manifests/long`)
      assert.equal(got.text, text)
      assert.equal(got.headers['docker-content-digest'], wanted)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'a tag of 128 characters of every kind',
    run: async (client, name) => {
      const tag = '_Az09._-'.repeat(16)
      const { manifest } = await client.pushImage(name, tag)
      assert.equal((await client.send('GET', `/v2/${name}/manifests/${tag}`)).text, manifest)
    },
  },
]
