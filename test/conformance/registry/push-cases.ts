import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { MANIFEST_CASES } from './manifest-cases.ts'
import { digest, noise, type RegistryClient, withQuery } from './registry-client.ts'
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
export const SIZES = [0, 1, 2, 4096, 65_535, 65_536, 65_537, 1_048_576, 3_000_001]

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

const addresses: RegistryCase[] = [
  {
    group: 'push',
    level: 'must',
    title: 'every upload has an address of its own, with a UUID in it',
    run: async (client, name) => {
      const [one, other] = [await begin(client, name), await begin(client, name)]
      assert.notEqual(one, other)
      assert.match(one, /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/i)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'a first chunk that does not begin at 0 is 416',
    run: async (client, name) => {
      expectStatus(await patch(client, await begin(client, name), noise(10), '5-14'), 416)
    },
  },
  {
    group: 'push',
    level: 'must',
    title: 'a Content-Range that is none is refused, and nothing of its chunk is kept',
    run: async (client, name) => {
      const content = noise(10)
      const location = await begin(client, name)
      for (const bad of ['0-', 'a-b', '9-0', '-10', '0..9'])
        expectStatus(await patch(client, location, content, bad), 400, 416)
      expectStatus(
        await client.send('PUT', withQuery(location, { digest: digest(content) }), { body: content }),
        201,
      )
    },
  },
  {
    group: 'push',
    level: 'berth',
    title:
      'a streamed chunk that is longer than its range is refused, and the upload keeps no more than the range',
    run: async (client, name) => {
      const location = await begin(client, name)
      const answer = await client.send('PATCH', location, {
        headers: { ...octets, 'content-range': '0-99999' },
        body: Readable.from([noise(80_000), noise(80_000)]),
      })
      expectError(answer, 413, 'SIZE_INVALID')
      const kept = Number(/-(\d+)$/.exec(String((await client.send('GET', location)).headers.range))?.[1])
      assert.ok(kept < 100_000, `${kept} bytes stayed`)
    },
  },
  {
    group: 'push',
    level: 'berth',
    title: 'one writer at a time: the second is refused, the first goes on',
    run: async (client, name) => {
      const content = noise(3_500_000)
      const location = await begin(client, name)
      const slow = new Readable({ read: () => {} })
      slow.push(content.subarray(0, 3_000_000))
      const first = client.send('PATCH', location, { headers: octets, body: slow })
      try {
        let range = ''
        for (let turn = 0; turn < 100 && /^(0-0)?$/.test(range); turn += 1) {
          await new Promise((resolve) => setTimeout(resolve, 10))
          range = (await client.send('GET', location)).headers.range ?? ''
        }
        expectError(await patch(client, location, noise(10)), 400, 'BLOB_UPLOAD_INVALID')
        expectStatus(await client.send('DELETE', location), 400)
      } finally {
        slow.push(content.subarray(3_000_000))
        slow.push(null)
        await first.catch(() => {})
      }
      expectStatus(await first, 202)
      expectStatus(await client.send('PUT', withQuery(location, { digest: digest(content) })), 201)
      await expectBlob(client, name, content)
    },
  },
]

const digests: RegistryCase[] = [
  {
    group: 'push',
    level: 'must',
    title: 'a wrong digest is refused whichever way the blob comes',
    run: async (client, name) => {
      for (const algorithm of ['sha256', 'sha512']) {
        const [content, wrong] = [noise(70_000), digest(noise(10), algorithm)]
        const finish = async (location: string, body?: Buffer) =>
          expectError(
            await client.send('PUT', withQuery(location, { digest: wrong }), {
              headers: octets,
              ...(body && { body }),
            }),
            400,
            'DIGEST_INVALID',
          )
        const chunked = await patch(client, await begin(client, name), content, '0-69999')
        await finish(chunked.headers.location ?? '')
        const half = await patch(client, await begin(client, name), content.subarray(0, 40_000), '0-39999')
        await finish(half.headers.location ?? '', content.subarray(40_000))
        const streamed = await client.send('PATCH', await begin(client, name), {
          headers: octets,
          body: Readable.from([content]),
        })
        await finish(streamed.headers.location ?? '')
        expectStatus(await client.send('HEAD', `/v2/${name}/blobs/${wrong}`), 404)
      }
    },
  },
  {
    group: 'push',
    level: 'berth',
    title: 'a wrong digest is refused in a single POST',
    run: async (client, name) => {
      const wrong = digest(noise(10))
      const sent = await client.send('POST', `/v2/${name}/blobs/uploads/?digest=${wrong}`, {
        headers: octets,
        body: noise(70_000),
      })
      expectError(sent, 400, 'DIGEST_INVALID')
      expectStatus(await client.send('HEAD', `/v2/${name}/blobs/${wrong}`), 404)
    },
  },
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

/** Pushing (distribution specification, "Push"). */
export const PUSH_CASES: readonly RegistryCase[] = [
  ...monolithic,
  ...chunked,
  ...addresses,
  ...digests,
  ...mounts,
  ...MANIFEST_CASES,
]
