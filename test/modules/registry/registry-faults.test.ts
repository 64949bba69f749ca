import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { digest, noise, RegistryClient, withQuery } from '../../conformance/registry/registry-client.ts'
import { openRegistryApi, PROJECT, type RegistryApiOptions } from '../../support/registry-api.ts'
import { forkRegistryServer, killServer } from '../../support/registry-server.ts'

/** How long collections and pushes run against each other; minutes find what the short form of every run does not. */
const RACE_SECONDS = Number(process.env['BERTH_TEST_RACE_SECONDS'] ?? 20)

function directory(t: Test): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-faults-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  return dataDir
}

async function open(t: Test, options: Partial<RegistryApiOptions> = {}) {
  const api = await openRegistryApi({ dataDir: directory(t), ...options })
  t.teardown(() => api.close())
  const client = new RegistryClient(api.origin, `Bearer ${await api.mintToken()}`)
  return { api, client }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 10))
}

/** Pulls an image as a client would, and checks every byte. */
async function pullWhole(client: RegistryClient, name: string, wanted: string): Promise<string[]> {
  const got = await client.send('GET', `/v2/${name}/manifests/${wanted}`)
  if (got.status !== 200 || digest(got.body) !== wanted) return [`${name}@${wanted}: ${got.status}`]
  const { config, layers } = got.json as { config: { digest: string }; layers: { digest: string }[] }
  const wrong: string[] = []
  for (const blob of [config, ...layers]) {
    const answer = await client.send('GET', `/v2/${name}/blobs/${blob.digest}`)
    if (answer.status !== 200 || digest(answer.body) !== blob.digest)
      wrong.push(`${name}: blob ${blob.digest}: ${answer.status}`)
  }
  return wrong
}

/** One image of a small and a large layer. */
async function pushOne(client: RegistryClient, name: string, tag: string): Promise<string> {
  const layer = noise(70_000 + Math.floor(Math.random() * 2_000_000))
  await client.pushBlob(name, layer)
  const image = await client.pushImage(name, tag)
  const manifest = JSON.stringify({
    ...(JSON.parse(image.manifest) as object),
    layers: [{ mediaType: 'application/octet-stream', digest: digest(layer), size: layer.length }],
  })
  const answer = await client.putManifest(name, tag, manifest)
  if (answer.status !== 201) throw new Error(answer.text)
  return digest(manifest)
}

test('kill -9 at any moment of 200 pushes by 8 clients loses nothing that was answered 201', async (t) => {
  const dataDir = directory(t)
  let server = await forkRegistryServer({ dataDir })
  t.teardown(() => server.child.kill('SIGKILL'))
  const made: { name: string; digest: string }[] = []
  let begun = 0
  let isDown: Promise<void> | undefined
  const pushSome = async (who: number): Promise<void> => {
    while (begun < 200) {
      begun += 1
      const name = `${PROJECT}/kill-${who}`
      try {
        const wanted = await pushOne(
          new RegistryClient(server.origin, `Bearer ${server.token}`),
          name,
          `t${begun}`,
        )
        made.push({ name, digest: wanted })
      } catch {
        await isDown
      }
    }
  }
  const work = Promise.all(Array.from({ length: 8 }, (_, who) => pushSome(who)))
  const kills = [10, 35, 36, 70, 110, 150, 180]
  for (const count of kills) {
    await until(() => begun >= count)
    const up = Promise.withResolvers<void>()
    isDown = up.promise
    await killServer(server)
    server = await forkRegistryServer({ dataDir })
    up.resolve()
  }
  await work
  const client = new RegistryClient(server.origin, `Bearer ${server.token}`)
  t.ok(made.length > 50, `${made.length} of ${begun} pushes were answered 201, with ${kills.length} kills`)
  const wrong: string[] = []
  for (const image of made) wrong.push(...(await pullWhole(client, image.name, image.digest)))
  t.same(wrong, [], 'every one of them pulls whole')
  await killServer(server)

  const uploads = join(dataDir, 'registry/uploads')
  const left = readdirSync(uploads)
  const longAgo = new Date(Date.now() - 2 * 86_400_000)
  for (const name of left) utimesSync(join(uploads, name), longAgo, longAgo)
  const api = await openRegistryApi({ dataDir })
  t.teardown(() => api.close())
  const report = await api.call(api.session, 'POST', '/v1/registry/gc')
  t.same(report.body['problems'], [])
  t.same(readdirSync(uploads), [], `${left.length} unfinished uploads are gone`)
  t.equal(report.body['expired_uploads'], left.length)
  t.comment(`${String(report.body['removed_files'])} files had no row`)
})

test('a collection that runs all the time never takes a blob from under 8 clients that push, mount and delete', async (t) => {
  const { api, client } = await open(t, { settings: { registry_grace_seconds: 0.02 } })
  // A pool of blobs that all share, so that the collection and the pushes meet at the same digests.
  const pool = Array.from({ length: 12 }, (_, index) => noise(index % 2 === 0 ? 3000 : 90_000))
  const end = Date.now() + RACE_SECONDS * 1000
  const wrong: string[] = []
  let pushes = 0
  let refusals = 0
  const churn = async (who: number): Promise<void> => {
    const name = `${PROJECT}/race-${who % 3}`
    const other = `${PROJECT}/race-${(who + 1) % 3}`
    while (Date.now() < end) {
      const layers = [
        pool[Math.floor(Math.random() * pool.length)],
        pool[Math.floor(Math.random() * pool.length)],
      ]
      try {
        for (const layer of layers) {
          const wanted = digest(layer ?? '')
          const mounted = await client.send(
            'POST',
            `/v2/${name}/blobs/uploads/?mount=${wanted}&from=${other}`,
          )
          if (mounted.status !== 201) await client.pushBlob(name, layer ?? '')
        }
        const config = `{"n":${Math.random()}}`
        await client.pushBlob(name, config)
        const manifest = JSON.stringify({
          schemaVersion: 2,
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          config: { mediaType: 'application/json', digest: digest(config), size: config.length },
          layers: layers.map((layer) => ({
            mediaType: 'application/octet-stream',
            digest: digest(layer ?? ''),
            size: layer?.length,
          })),
        })
        const tag = `w${who}`
        const put = await client.putManifest(name, tag, manifest)
        if (put.status === 201) {
          pushes += 1
          wrong.push(...(await pullWhole(client, name, digest(manifest))))
        } else if (put.json['errors'] && put.text.includes('MANIFEST_BLOB_UNKNOWN')) refusals += 1
        else wrong.push(`push: ${put.status} ${put.text}`)
        await client.send('DELETE', `/v2/${name}/manifests/${digest(manifest)}`)
      } catch (error) {
        wrong.push(String(error))
      }
    }
  }
  let collections = 0
  let deleted = 0
  const collect = async (): Promise<void> => {
    while (Date.now() < end) {
      const { status, body } = await api.call(api.session, 'POST', '/v1/registry/gc')
      if (status !== 200 || (body['problems'] as string[]).length > 0) wrong.push(JSON.stringify(body))
      collections += 1
      deleted += Number(body['deleted_blobs'])
    }
  }
  await Promise.all([collect(), ...Array.from({ length: 8 }, (_, who) => churn(who))])
  t.same(wrong.slice(0, 5), [], 'no manifest ever missed a blob')
  t.ok(
    pushes > 20 && deleted > 20,
    `${pushes} pushes, ${refusals} told to push again, ${deleted} blobs deleted in ${collections} collections`,
  )
  t.same(api.problems, [])
})

test('a blob that was damaged by hand is never served, and a push repairs it', async (t) => {
  const { api, client } = await open(t)
  const content = noise(300_000)
  const name = `${PROJECT}/damaged`
  const wanted = await client.pushBlob(name, content)
  const hex = wanted.slice('sha256:'.length)
  const file = join(api.dataDir, 'registry/blobs/sha256', hex.slice(0, 2), hex)
  const path = `/v2/${name}/blobs/${wanted}`
  t.equal((await client.send('GET', path)).status, 200)
  const { mtime, atime } = statSync(file)
  const damaged = Buffer.from(content)
  damaged[150_000] = (damaged[150_000] ?? 0) ^ 1
  writeFileSync(file, damaged)
  utimesSync(file, atime, mtime)
  const got = await client.send('GET', path)
  t.equal(got.status, 500)
  t.match(got.text, /BLOB_CORRUPT/)
  t.equal((await client.send('HEAD', path)).status, 404, 'a client that pushes is told to push it')
  t.same(readdirSync(join(api.dataDir, 'registry/quarantine')), [`sha256-${hex}`])
  t.equal(await client.pushBlob(name, content), wanted)
  t.ok((await client.send('GET', path)).body.equals(content), 'the push repaired it')
  rmSync(file)
  t.equal((await client.send('GET', path)).status, 500, 'a file that is gone is damage too')
  await client.pushBlob(name, content)
  t.equal((await client.send('GET', path)).status, 200)
  utimesSync(file, new Date(), new Date())
  t.ok(
    (await client.send('GET', path)).body.equals(content),
    'one that was only touched is read and found whole',
  )
})

test('the check of all blobs sets aside what is damaged, small ones in the database too', async (t) => {
  const system = (await import('../../support/identity-api.ts')).movableSystem()
  const { api, client } = await open(t, { system })
  const name = `${PROJECT}/scrub`
  const [large, small, good] = [noise(200_000), noise(200), noise(100_000)]
  for (const content of [large, small, good]) await client.pushBlob(name, content)
  const hex = digest(large).slice('sha256:'.length)
  appendFileSync(join(api.dataDir, 'registry/blobs/sha256', hex.slice(0, 2), hex), 'x')
  api.database.run("UPDATE registry_blobs SET content = x'00' WHERE digest = $digest", {
    digest: digest(small),
  })
  system.advance(15 * 86_400_000)
  const scrub = api.registry.workers.find((worker) => worker.status().name === 'registry-scrub')
  scrub?.start()
  while ((scrub?.status().runs ?? 1) === 0) await system.sleep(10)
  const token = await api.login()
  const after = new RegistryClient(api.origin, `Bearer ${token}`)
  t.equal((await after.send('GET', `/v2/${name}/blobs/${digest(large)}`)).status, 500)
  t.equal((await after.send('GET', `/v2/${name}/blobs/${digest(small)}`)).status, 500)
  t.equal((await after.send('GET', `/v2/${name}/blobs/${digest(good)}`)).status, 200)
  t.equal((await api.call(token, 'GET', '/v1/registry/status')).body['corrupt_blobs'], 2)
})

test('a disk that takes no writes refuses pushes with 507, and pulls go on', async (t) => {
  const { api, client } = await open(t, { settings: { registry_grace_seconds: 0.01 } })
  const name = `${PROJECT}/read-only`
  const [large, small] = [noise(300_000), noise(300)]
  for (const content of [large, small]) await client.pushBlob(name, content)
  const image = await client.pushImage(name, 'v1')
  const files = join(api.dataDir, 'registry')
  execFileSync('mount', ['--bind', files, files])
  const unmount = (): void => void execFileSync('umount', ['-l', files])
  let isMounted = true
  t.teardown(() => isMounted && unmount())
  execFileSync('mount', ['-o', 'remount,ro,bind', files])
  api.database.exec('PRAGMA query_only = ON')
  const refused = async (content: Buffer) => {
    const answer = await client.send('POST', `/v2/${name}/blobs/uploads/?digest=${digest(content)}`, {
      body: content,
    })
    t.equal(answer.status, 507)
    t.match(answer.json['errors'], [{ code: 'DISK_FULL', message: 'The disk takes no writes.' }])
  }
  for (const content of [noise(300_000), noise(300)]) await refused(content)
  t.equal((await client.putManifest(name, 'v2', image.manifest)).status, 507)
  t.equal((await client.send('DELETE', `/v2/${name}/manifests/v1`)).status, 507)
  for (const content of [large, small]) {
    const path = `/v2/${name}/blobs/${digest(content)}`
    t.equal((await client.send('HEAD', path)).status, 200)
    t.ok((await client.send('GET', path)).body.equals(content))
  }
  t.equal((await client.send('HEAD', `/v2/${name}/manifests/v1`)).status, 200)
  t.same(await pullWhole(client, name, image.digest), [])
  unmount()
  isMounted = false
  api.database.exec('PRAGMA query_only = OFF')
  await pushOne(client, name, 'v3')
})

test('a full disk answers 507, and the push goes on once there is room', async (t) => {
  const mount = mkdtempSync(join(tmpdir(), 'berth-full-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', mount])
  t.teardown(() => {
    execFileSync('umount', ['-l', mount])
    rmSync(mount, { recursive: true, force: true })
  })
  const dataDir = join(mount, 'data')
  mkdirSync(dataDir)
  const { api, client } = await open(t, { dataDir })
  const name = `${PROJECT}/full`
  const content = noise(12_000_000)
  const begun = await client.send('POST', `/v2/${name}/blobs/uploads/`)
  const location = begun.headers.location ?? ''
  t.equal((await client.send('PATCH', location, { body: content.subarray(0, 3_000_000) })).status, 202)
  const filler = join(mount, 'filler')
  try {
    writeFileSync(filler, Buffer.alloc(24_000_000))
  } catch {
    // It takes all there is.
  }
  const refused = await client.send('PATCH', location, { body: content.subarray(3_000_000) })
  t.equal(refused.status, 507)
  t.match(refused.text, /DISK_FULL/)
  const small = await client.send('POST', `/v2/${name}/blobs/uploads/?digest=${digest('{}')}`, { body: '{}' })
  t.ok(small.status === 507 || small.status === 201, `a tiny push: ${small.status}`)
  rmSync(filler)
  const state = await client.send('GET', location)
  t.equal(state.status, 204)
  const at = Number(/-(\d+)$/.exec(String(state.headers.range))?.[1]) + 1
  t.ok(at >= 3_000_000, `${at} bytes are there still`)
  const done = await client.send('PUT', withQuery(location, { digest: digest(content) }), {
    body: content.subarray(at),
  })
  t.equal(done.status, 201, done.text)
  t.ok((await client.send('GET', `/v2/${name}/blobs/${digest(content)}`)).body.equals(content))
  t.same(readdirSync(join(api.dataDir, 'registry/uploads')), [])
})
