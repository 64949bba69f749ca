import { type ExecFileException, execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { buffer } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import { createHash } from 'node:crypto'
import { test, type Test } from 'tap'
import {
  openRegistryApi,
  PASSWORD,
  PROJECT,
  type RegistryApiOptions,
  USERNAME,
} from '../../support/registry-api.ts'
import { forkRegistryServer, killServer } from '../../support/registry-server.ts'
import {
  describe,
  digest,
  noise,
  RegistryClient,
  TYPES,
  withQuery,
} from '../../conformance/registry/registry-client.ts'

/** Debian's client: newer ones in the PATH may speak to the engine in ways that it does not know. */
const DOCKER = '/usr/bin/docker'

async function open(t: Test, settings: RegistryApiOptions['settings'] = {}) {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-clients-'))
  const api = await openRegistryApi({ dataDir, settings })
  writeFileSync(join(dataDir, 'config.json'), '{}')
  t.teardown(async () => {
    await api.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const run = (program: string, args: string[], input?: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const child = execFile(
        program,
        args,
        {
          env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: dataDir, DOCKER_CONFIG: dataDir },
          timeout: 120_000,
        },
        (error: ExecFileException | null, stdout, stderr) =>
          error ? reject(new Error(`${program} ${args.join(' ')}: ${stderr}${stdout}`)) : resolve(stdout),
      )
      child.stdin?.end(input)
    })
  return { api, run, dataDir, token: await api.mintToken() }
}

/** A layer of one file. */
async function makeLayer(name: string, content: Buffer): Promise<Buffer> {
  const archive = pack()
  archive.entry({ name }, content)
  archive.finalize()
  return buffer(archive)
}

test('docker logs in, pushes, pulls and runs what it pulled', async (t) => {
  const { api, run, dataDir } = await open(t)
  const image = `${api.host}/${PROJECT}/clients:v1`
  const login = (password: string) =>
    run(DOCKER, ['login', api.host, '-u', USERNAME, '--password-stdin'], password)
  await t.rejects(login('not the password'))
  t.match(await login(PASSWORD), /Succeeded/)
  const context = join(dataDir, 'context')
  mkdirSync(context)
  writeFileSync(join(context, 'noise'), noise(3_000_000))
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY noise /noise\nCMD ["/noise"]\n')
  await run(DOCKER, ['build', '-q', '-t', image, context])
  t.teardown(() => run(DOCKER, ['rmi', '-f', image]).catch(() => ''))
  t.match(await run(DOCKER, ['push', image]), /digest: sha256:/)
  const before = await run(DOCKER, ['image', 'inspect', '-f', '{{.Id}}', image])
  await run(DOCKER, ['rmi', image])
  t.match(await run(DOCKER, ['pull', image]), /Downloaded newer image/)
  t.equal(await run(DOCKER, ['image', 'inspect', '-f', '{{.Id}}', image]), before)
  t.match(await run(DOCKER, ['push', image]), /Layer already exists/, 'the second push has nothing to send')
  const elsewhere = `${api.host}/${PROJECT}/mounted:v1`
  await run(DOCKER, ['tag', image, elsewhere])
  t.teardown(() => run(DOCKER, ['rmi', '-f', elsewhere]).catch(() => ''))
  t.match(await run(DOCKER, ['push', elsewhere]), /Mounted from/, 'a layer is mounted, not sent')
  await api.call(api.session, 'PUT', `/v1/projects/${api.projectId}/registry-rules`, {
    quota_bytes: 4_000_000,
    rules: [],
  })
  writeFileSync(join(context, 'noise'), noise(9_000_000))
  await run(DOCKER, ['build', '-q', '-t', image, context])
  await t.rejects(
    run(DOCKER, ['push', image]),
    /denied: The registry quota/,
    'a refusal is told with its reason',
  )
})

test('skopeo copies both ways, whole indexes with all platforms and zstd layers, and deletes', async (t) => {
  const { api, run, dataDir, token } = await open(t)
  const client = new RegistryClient(api.origin, `Bearer ${token}`)
  const name = `${PROJECT}/multi`
  const layers = [
    gzipSync(await makeLayer('a', noise(200_000))),
    zstdCompressSync(await makeLayer('b', noise(200_000))),
  ]
  const children = []
  for (const [index, layer] of layers.entries()) {
    const type = index === 0 ? 'tar+gzip' : 'tar+zstd'
    const config = JSON.stringify({
      architecture: index === 0 ? 'amd64' : 'arm64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [digest(noise(3))] },
    })
    await client.pushBlob(name, config)
    await client.pushBlob(name, layer)
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: TYPES.image,
      config: describe(config, TYPES.config),
      layers: [describe(layer, `application/vnd.oci.image.layer.v1.${type}`)],
    })
    await client.putManifest(name, digest(manifest), manifest)
    const platform = { os: 'linux', architecture: index === 0 ? 'amd64' : 'arm64' }
    children.push({ ...describe(manifest, TYPES.image), platform })
  }
  const index = JSON.stringify({ schemaVersion: 2, mediaType: TYPES.index, manifests: children })
  t.equal((await client.putManifest(name, 'v1', index, TYPES.index)).status, 201)
  const directory = join(dataDir, 'copy')
  const creds = `any:${token}`
  const from = ['--src-tls-verify=false', '--src-creds', creds]
  const to = ['--dest-tls-verify=false', '--dest-creds', creds]
  await run('skopeo', ['copy', '--all', ...from, `docker://${api.host}/${name}:v1`, `oci:${directory}:v1`])
  await run('skopeo', [
    'copy',
    '--all',
    ...to,
    `oci:${directory}:v1`,
    `docker://${api.host}/${PROJECT}/back:v1`,
  ])
  const back = await client.send('GET', `/v2/${PROJECT}/back/manifests/v1`)
  t.equal(digest(back.body), digest(index), 'the same index came back')
  await run('skopeo', [
    'copy',
    '--all',
    ...from,
    ...to,
    `docker://${api.host}/${name}:v1`,
    `docker://${api.host}/${PROJECT}/across:v2`,
  ])
  t.match(
    await run('skopeo', [
      'list-tags',
      '--tls-verify=false',
      '--creds',
      creds,
      `docker://${api.host}/${PROJECT}/across`,
    ]),
    /v2/,
  )
  await run('skopeo', [
    'delete',
    '--tls-verify=false',
    '--creds',
    creds,
    `docker://${api.host}/${PROJECT}/across:v2`,
  ])
  t.equal((await client.send('GET', `/v2/${PROJECT}/across/manifests/v2`)).status, 404)
})

test('buildah and podman push and pull', async (t) => {
  const { api, run, dataDir, token } = await open(t)
  const options = [
    '--root',
    join(dataDir, 'root'),
    '--runroot',
    join(dataDir, 'runroot'),
    '--storage-driver',
    'vfs',
  ]
  const container = (await run('buildah', [...options, 'from', 'scratch'])).trim()
  writeFileSync(join(dataDir, 'noise'), noise(100_000))
  await run('buildah', [...options, 'copy', container, join(dataDir, 'noise'), '/noise'])
  await run('buildah', [...options, 'commit', container, 'made'])
  await run('buildah', [...options, 'tag', 'made', 'kept'])
  const authFile = ['--tls-verify=false', '--authfile', join(dataDir, 'auth.json')]
  for (const program of ['buildah', 'podman']) {
    const login = ['login', ...authFile, '--username', 'x', '--password-stdin', api.host]
    t.match(await run(program, login, token), /Succeeded/)
    const name = `${api.host}/${PROJECT}/${program}:v1`
    await run(program, [...options, 'push', ...authFile, 'kept', `docker://${name}`])
    t.match(await run(program, [...options, 'pull', ...authFile, name]), /[0-9a-f]{64}/)
    t.match(await run(program, [...options, 'images']), `${api.host}/${PROJECT}/${program}`)
  }
})

test('curl reads why an upload is refused before it has sent all of it', async (t) => {
  const limited = await open(t, { registry_blob_max_bytes: 10_000_000 })
  const full = await open(t, { disk_reserve_bytes: 2 ** 50 })
  const file = join(limited.dataDir, 'zeros')
  writeFileSync(file, '')
  truncateSync(file, 60_000_000)
  const basic = (token: string) => `x:${token}`
  const chunked = ['-H', 'Transfer-Encoding: chunked']
  const table: [title: string, server: typeof full, user: string, options: string[], said: RegExp][] = [
    ['wrong credentials', limited, 'x:y', [], /UNAUTHORIZED.*401$/],
    ['too large', limited, basic(limited.token), [], /SIZE_INVALID.*413$/],
    ['found too large on the way', limited, basic(limited.token), chunked, /SIZE_INVALID.*413$/],
    ['no room', full, basic(full.token), [], /DISK_FULL.*507$/],
  ]
  for (const [title, { api, run }, user, options, said] of table) {
    const url = `${api.origin}/v2/${PROJECT}/curl/blobs/uploads?digest=${digest('x')}`
    // The last way is served by the general server.
    for (const way of [[], ['-H', 'Expect:'], ['-H', 'Expect:', '--http1.0']]) {
      if (way.includes('--http1.0') && options.length > 0) continue
      const send = [
        '-sS',
        '-X',
        'POST',
        '-u',
        user,
        '-w',
        ' %{http_code}',
        '-T',
        file,
        ...options,
        ...way,
        url,
      ]
      t.match(await run('curl', send), said, `${title} ${way.join(' ')}`)
    }
  }
})

test('a layer of 1 GiB is pushed and pulled byte for byte, in less than 200 MiB of memory', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-large-'))
  const server = await forkRegistryServer({ dataDir })
  t.teardown(async () => {
    await killServer(server)
    rmSync(dataDir, { recursive: true, force: true })
  })
  const client = new RegistryClient(server.origin, `Bearer ${server.token}`)
  const begun = await client.send('POST', `/v2/${PROJECT}/large/blobs/uploads/`)
  const [block, pushed] = [noise(1024 ** 2), createHash('sha256')]
  const pieces = function* (): Generator<Buffer> {
    for (let count = 0; count < 1024; count += 1) {
      const piece = Buffer.from(block)
      piece.writeUInt32BE(count)
      pushed.update(piece)
      yield piece
    }
  }
  const sent = await client.send('PATCH', begun.headers.location ?? '', { body: Readable.from(pieces()) })
  t.equal(sent.headers.range, `0-${1024 ** 3 - 1}`)
  const wanted = `sha256:${pushed.digest('hex')}`
  const done = await client.send('PUT', withQuery(sent.headers.location ?? '', { digest: wanted }))
  t.equal(done.status, 201, done.text)
  const asked = get(`${server.origin}${done.headers.location}`, {
    headers: { authorization: client.authorization ?? '' },
  })
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  const pulled = createHash('sha256')
  for await (const piece of answer) pulled.update(piece as Buffer)
  t.equal(`sha256:${pulled.digest('hex')}`, wanted)
  server.child.send('figures')
  const [figures] = (await once(server.child, 'message')) as [{ peak_rss_bytes: number }]
  const mebibytes = Math.round(figures.peak_rss_bytes / 1024 ** 2)
  t.ok(mebibytes < 200, `${mebibytes} MiB at most`)
})

test('an upload that was cut is taken up where it stopped, also after a restart', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-cut-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const content = noise(6_000_000)
  const sha = createHash('sha256').update(content).digest('hex')
  let api = await openRegistryApi({ dataDir })
  const token = await api.mintToken()
  let client = new RegistryClient(api.origin, `Bearer ${token}`)
  const begun = await client.send('POST', `/v2/${PROJECT}/cut/blobs/uploads/`)
  const location = begun.headers.location ?? ''
  const cut = new AbortController()
  const half = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(content.subarray(0, 4_000_000)),
  })
  const sending = fetch(`${api.origin}${location}`, {
    method: 'PATCH',
    headers: { authorization: `Bearer ${token}` },
    body: half,
    duplex: 'half',
    signal: cut.signal,
  }).catch(() => undefined)
  const received = async (): Promise<number> => {
    const state = await client.send('GET', location)
    return Number(/-(\d+)$/.exec(String(state.headers.range))?.[1] ?? -1) + 1
  }
  while ((await received()) < 2_000_000) await api.system.sleep(10)
  cut.abort()
  await sending
  let at = await received()
  t.ok(at >= 2_000_000 && at <= 4_000_000, `${at} bytes stayed`)
  const goOn = () =>
    client.send('PATCH', location, {
      headers: { 'content-range': `${at}-${at + 99_999}` },
      body: content.subarray(at, at + 100_000),
    })
  let answer = await goOn()
  // Whoever cut may ask before the server has noticed.
  while (answer.status === 400 || answer.status === 416) {
    await api.system.sleep(10)
    at = await received()
    answer = await goOn()
  }
  t.equal(answer.status, 202)
  await api.close()
  api = await openRegistryApi({ dataDir })
  client = new RegistryClient(api.origin, `Bearer ${token}`)
  at = await received()
  t.equal(answer.headers.range, `0-${at - 1}`, 'as much as the last answer said')
  const done = await client.send('PUT', `${location}?digest=sha256:${sha}`, { body: content.subarray(at) })
  t.equal(done.status, 201, done.text)
  const got = await client.send('GET', `/v2/${PROJECT}/cut/blobs/sha256:${sha}`)
  t.ok(got.body.equals(content), 'whole')
  await api.close()
})
