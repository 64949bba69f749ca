import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { open as openFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, type Readable } from 'node:stream'
import { test, type Test } from 'tap'
import { createRegistryTree } from '../../../src/modules/registry/registry-tree.ts'
import { createUploadSessions } from '../../../src/modules/registry/upload-sessions.ts'
import {
  describe,
  digest,
  noise,
  RegistryClient,
  TYPES,
  withQuery,
} from '../../conformance/registry/registry-client.ts'
import { movableSystem } from '../../support/identity-api.ts'
import { openRegistryApi, PROJECT } from '../../support/registry-api.ts'

const NAME = `${PROJECT}/uploads`
const MIB = 1024 ** 2

async function open(t: Test, dataDir = mkdtempSync(join(tmpdir(), 'berth-uploads-'))) {
  const api = await openRegistryApi({ dataDir })
  t.teardown(async () => {
    await api.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const authorization = `Bearer ${await api.mintToken()}`
  const client = new RegistryClient(api.origin, authorization)
  const begin = async (): Promise<string> =>
    (await client.send('POST', `/v2/${NAME}/blobs/uploads/`)).headers.location ?? ''
  return { api, authorization, client, begin }
}

test('what came of an upload that broke off is not mixed up with what others push', async (t) => {
  const { api, authorization, client, begin } = await open(t)
  const location = await begin()
  const mine = Buffer.alloc(10_240, 'a')
  const socket = connect(api.port, '127.0.0.1')
  const head = `PATCH ${location} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Length: 100000\r\n\r\n`
  socket.write(Buffer.concat([Buffer.from(head), mine]))
  const received = async (): Promise<boolean> =>
    (await client.send('GET', location)).headers.range === '0-10239'
  socket.end()
  socket.resume()
  await once(socket, 'close')
  t.ok(await received(), 'what came stays')
  for (let round = 0; round < 4; round += 1)
    await client.pushBlob(NAME, Buffer.alloc(3 * MIB, `other ${round}`))
  const done = await client.send('PUT', withQuery(location, { digest: digest(mine) }))
  t.equal(done.status, 201, done.text)
})

test('an upload whose file has a hole after a kill goes on from before it', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-uploads-'))
  const content = noise(6 * MIB + 5)
  const first = await openRegistryApi({ dataDir })
  const before = new RegistryClient(first.origin, `Bearer ${await first.mintToken()}`)
  const { headers } = await before.send('POST', `/v2/${NAME}/blobs/uploads/`)
  const location = headers.location ?? ''
  t.equal((await before.send('PATCH', location, { body: content.subarray(0, 3 * MIB) })).status, 202)
  await first.close()
  const folder = join(dataDir, 'registry/uploads')
  const name = readdirSync(folder, { recursive: true })
    .map(String)
    .find((each) => each.length > 30)
  const file = join(folder, name ?? '')
  const { api, client } = await open(t, dataDir)
  t.equal((await client.send('GET', location)).headers.range, `0-${3 * MIB - 1}`, 'whole: all of it is there')
  await api.close()
  // The block behind the next one was written, the next one was not.
  const handle = await openFile(file, 'r+')
  await handle.write(content, 4 * MIB, MIB, 4 * MIB)
  await handle.sync()
  await handle.close()
  const again = await open(t, dataDir)
  const range = String((await again.client.send('GET', location)).headers.range)
  const at = Number(/-(\d+)$/.exec(range)?.[1]) + 1
  t.ok(at <= 3 * MIB && at > 0, range)
  const done = await again.client.send('PUT', withQuery(location, { digest: digest(content) }), {
    body: content.subarray(at),
  })
  t.equal(done.status, 201, done.text)
  t.ok((await again.client.send('GET', `/v2/${NAME}/blobs/${digest(content)}`)).body.equals(content))
})

test('a push that the database refuses at the end may be finished later', async (t) => {
  const { api, client, begin } = await open(t)
  const content = noise(300_000)
  const location = await begin()
  t.equal((await client.send('PATCH', location, { body: content })).status, 202)
  api.database.exec(
    "CREATE TRIGGER no_blobs BEFORE INSERT ON registry_blobs BEGIN SELECT RAISE(ABORT, 'there is no room'); END",
  )
  const finish = () => client.send('PUT', withQuery(location, { digest: digest(content) }))
  t.equal((await finish()).status, 500)
  t.equal((await client.send('GET', location)).headers.range, '0-299999')
  api.database.exec('DROP TRIGGER no_blobs')
  t.equal((await finish()).status, 201)
  t.ok((await client.send('GET', `/v2/${NAME}/blobs/${digest(content)}`)).body.equals(content))
  api.problems.length = 0
})

test('bytes that are pushed again as another type of manifest hold what that type refers to', async (t) => {
  const { api, client } = await open(t)
  const [config, layer] = ['{}', noise(100_000)]
  for (const blob of [config, layer]) await client.pushBlob(NAME, blob)
  const document = JSON.stringify({
    schemaVersion: 2,
    manifests: [],
    config: describe(config, TYPES.config),
    layers: [describe(layer, TYPES.layer)],
  })
  const push = async (type: string) =>
    (
      await client.send('PUT', `/v2/${NAME}/manifests/both`, {
        headers: { 'content-type': type },
        body: document,
      })
    ).status
  t.equal(await push(TYPES.index), 201)
  t.equal(await push(TYPES.image), 201)
  const refused = await client.send('DELETE', `/v2/${NAME}/blobs/${digest(layer)}`)
  t.equal(refused.status, 409, 'the image needs its layer')
  t.equal(await push(TYPES.index), 201)
  const still = await client.send('DELETE', `/v2/${NAME}/blobs/${digest(layer)}`)
  t.equal(still.status, 409, 'as which somebody may have pulled it')
  const image = digest(document)
  api.registry.images.pin(api.addDeployment(), { repository: NAME, digest: image })
  t.equal(await push(TYPES.image), 409, 'what a release holds stays what it is')
  api.database.run('DELETE FROM registry_pins')
  const rules = [{ repositories: '*', immutable_tags: ['both'] }]
  const path = `/v1/projects/${api.projectId}/registry-rules`
  await api.call(api.session, 'PUT', path, { quota_bytes: null, rules })
  const renamed = await client.putManifest(NAME, image, document, TYPES.image)
  t.equal(renamed.status, 409, 'and what a rule keeps')
})

test('what was begun for a repository that is removed meanwhile ends nowhere, and in no other one', async (t) => {
  const { api, client, begin } = await open(t)
  const content = noise(100_000)
  const { digest: image, manifest } = await client.pushImage(NAME, 'v1')
  const bodies = { manifest: new PassThrough(), blob: new PassThrough(), file: new PassThrough() }
  const location = await begin()
  const put = (path: string, body: Readable, type = 'application/octet-stream') =>
    client.send('PUT', path, { body, headers: { 'content-type': type, 'transfer-encoding': 'chunked' } })
  const replies = [
    put(`/v2/${NAME}/manifests/v2`, bodies.manifest, TYPES.image),
    put(withQuery(await begin(), { digest: digest('small') }), bodies.blob),
    put(withQuery(location, { digest: digest(content) }), bodies.file),
  ]
  bodies.manifest.write(' ')
  bodies.blob.write('sm')
  bodies.file.write(content.subarray(0, 70_000))
  // Until all three are at their bodies.
  await api.system.sleep(300)
  const path = `/v1/registry/repositories/${NAME}`
  t.equal((await api.call(api.session, 'DELETE', path)).status, 204)
  const before = api.database.get<{ id: number }>('SELECT seq AS id FROM sqlite_sequence')?.id ?? 0
  await client.pushImage(`${PROJECT}/victim`, 'v1')
  t.match(api.database.get('SELECT id FROM registry_repositories'), { id: before + 1 })
  bodies.manifest.end(manifest)
  bodies.blob.end('all')
  bodies.file.end(content.subarray(70_000))
  const ends = await Promise.all(replies)
  t.same(
    ends.map(({ status, json }) => [status, (json['errors'] as { code: string }[])[0]?.code]),
    Array.from({ length: 3 }, () => [404, 'NAME_UNKNOWN']),
  )
  for (const [reference, status] of Object.entries({ v1: 200, v2: 404, [image]: 404 }))
    t.equal((await client.send('GET', `/v2/${PROJECT}/victim/manifests/${reference}`)).status, status)
  for (const blob of ['small', content])
    t.equal((await client.send('GET', `/v2/${PROJECT}/victim/blobs/${digest(blob)}`)).status, 404)
})

test('however many uploads others begin, some are left for the next project', async (t) => {
  const system = movableSystem()
  const tree = createRegistryTree('/nothing-is-written')
  const unused = {} as never
  const deps = { system, tree, hasher: unused, blocks: unused, requireRoom: unused, maxBytes: 1 }
  const sessions = createUploadSessions(deps)
  const beginAll = (project_id: string): number => {
    for (let count = 0; ; count += 1) {
      try {
        sessions.begin({ id: 1, project_id }, undefined)
      } catch {
        return count
      }
    }
  }
  const counts = Array.from({ length: 20 }, (_, index) => beginAll(`project-${index}`))
  t.equal(counts[0], 3334, 'a third for one alone')
  t.ok(counts.every((count) => count > 0))
  t.equal(beginAll('project-0'), 0)
  system.advance(16 * 60_000)
  t.ok(beginAll('project-0') > 100, 'those to which nothing came are given up')
})
