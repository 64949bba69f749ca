import { execFileSync } from 'node:child_process'
import { createHash, randomBytes, sign, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { forkRegistryServer, killServer } from '../support/registry-server.ts'
import { RawConnection } from './raw-connection.ts'

const MIB = 1024 ** 2

interface Target {
  name: string
  origin: string
  pid: number
  authorization: string
  stop: () => Promise<void>
}

interface Figure {
  /** Per second: MiB or operations. */
  rate: number
  /** Milliseconds of server CPU per GiB or per operation. */
  cpu: number
}

/**
 * Compares Berth's registry with Debian's docker-registry: `registry [rounds=3] [large MiB=256] [small=1000]`. One client, token
 * authentication on both, alternating, data directories made anew for every round; prints medians and the median of the ratios of pairs.
 */
export async function run(args: readonly string[] = []): Promise<void> {
  const rounds = Number(args[0] ?? 3)
  const large = Number(args[1] ?? 256) * MIB
  const small = Number(args[2] ?? 1000)
  const results = new Map<string, { unit: string; berth: Figure[]; other: Figure[] }>()
  const peaks: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    for (const start of round % 2 === 0 ? [startBerth, startOther] : [startOther, startBerth]) {
      const target = await start()
      const side = target.name === 'berth' ? 'berth' : 'other'
      try {
        for (const [title, unit, figure] of await measure(target, large, small)) {
          const entry = results.get(title) ?? { unit, berth: [], other: [] }
          entry[side].push(figure)
          results.set(title, entry)
        }
        if (side === 'berth') peaks.push(peakRss(target.pid))
      } finally {
        await target.stop()
      }
    }
  }
  print(results)
  console.log(`peak RSS of Berth: ${peaks.map((bytes) => (bytes / MIB).toFixed(0)).join(', ')} MiB`)
}

async function startBerth(): Promise<Target> {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-bench-'))
  const server = await forkRegistryServer({ dataDir })
  const scope = 'repository:demo/bench:pull,push'
  const basic = Buffer.from(`x:${server.token}`).toString('base64')
  const answer = await fetch(`${server.origin}/v2/token?scope=${scope}`, {
    headers: { authorization: `Basic ${basic}` },
  })
  const { token } = (await answer.json()) as { token: string }
  return {
    name: 'berth',
    origin: server.origin,
    pid: server.child.pid ?? 0,
    authorization: `Bearer ${token}`,
    stop: async () => {
      await killServer(server)
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

/** The reference verifies a signature of ES256 with each request, as it does behind any token service. */
async function startOther(): Promise<Target> {
  const directory = mkdtempSync(join(tmpdir(), 'reference-bench-'))
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=bench',
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { stdio: 'ignore' },
  )
  const registry = await startDockerRegistry({
    auth: `auth: {token: {realm: "http://127.0.0.1/token", service: bench, issuer: bench, rootcertbundle: ${cert}}}`,
  })
  const x5c = [new X509Certificate(readFileSync(cert)).raw.toString('base64')]
  const now = Math.floor(Date.now() / 1000)
  const access = [{ type: 'repository', name: 'demo/bench', actions: ['pull', 'push'] }]
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = {
    iss: 'bench',
    sub: 'x',
    aud: 'bench',
    exp: now + 36_000,
    nbf: now - 10,
    iat: now,
    jti: 'x',
    access,
  }
  const signed = `${encode({ typ: 'JWT', alg: 'ES256', x5c })}.${encode(claims)}`
  const signature = sign('sha256', Buffer.from(signed), { key: readFileSync(key), dsaEncoding: 'ieee-p1363' })
  return {
    name: 'docker-registry',
    origin: registry.origin,
    pid: registry.pid,
    authorization: `Bearer ${signed}.${signature.toString('base64url')}`,
    stop: async () => {
      await registry.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

const block = randomBytes(MIB)

interface Content {
  digest: string
  length: number
  pieces: () => Iterable<Buffer>
}

/** Large content that no other push has, made of one block. */
function makeContent(length: number): Content {
  const first = Buffer.concat([randomBytes(64), block.subarray(64, Math.min(length, MIB))])
  const pieces = function* (): Generator<Buffer> {
    yield first
    for (let at = MIB; at < length; at += MIB) yield block.subarray(0, Math.min(MIB, length - at))
  }
  const hash = createHash('sha256')
  for (const piece of pieces()) hash.update(piece)
  return { digest: `sha256:${hash.digest('hex')}`, length, pieces }
}

const REPOSITORY = '/v2/demo/bench'

async function push(connection: RawConnection, content: Content, patch: boolean): Promise<void> {
  const begun = await connection.request('POST', `${REPOSITORY}/blobs/uploads/`)
  let location = locationOf(begun.head)
  const octets = { 'Content-Type': 'application/octet-stream' }
  if (patch) {
    const sent = await connection.request('PATCH', location, octets, content.pieces(), content.length)
    if (sent.status !== 202) throw new Error(`PATCH ${sent.status}`)
    location = locationOf(sent.head)
  }
  const path = `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(content.digest)}`
  const done = patch
    ? await connection.request('PUT', path)
    : await connection.request('PUT', path, octets, content.pieces(), content.length)
  if (done.status !== 201) throw new Error(`PUT ${done.status} ${done.head}`)
}

function locationOf(head: string): string {
  const location = /\r\nlocation: *([^\r]+)/i.exec(head)?.[1] ?? ''
  return location.startsWith('http') ? location.slice(location.indexOf('/', 8)) : location
}

type Row = [title: string, unit: string, figure: Figure]

async function measure(target: Target, large: number, small: number): Promise<Row[]> {
  const rows: Row[] = []
  const connections = Array.from({ length: 32 }, () => new RawConnection(target.origin, target.authorization))
  const [first] = connections
  if (!first) return rows
  const timed = async (title: string, unit: 'MiB' | 'op', amount: number, work: () => Promise<void>) => {
    const cpuBefore = cpuMs(target.pid)
    const startedAt = performance.now()
    await work()
    const seconds = (performance.now() - startedAt) / 1000
    const cpu = cpuMs(target.pid) - cpuBefore
    const per = unit === 'MiB' ? amount / 1024 : amount
    rows.push([title, unit, { rate: amount / seconds, cpu: cpu / per }])
  }
  const expect = async (
    method: string,
    path: string,
    status: number,
    connection: RawConnection,
  ): Promise<void> => {
    const reply = await connection.request(method, path)
    if (reply.status !== status) throw new Error(`${method} ${path}: ${reply.status}`)
  }
  /** Spreads the work over all connections. */
  const each = async (count: number, work: (index: number, connection: RawConnection) => Promise<void>) => {
    let next = 0
    await Promise.all(
      connections.map(async (connection) => {
        while (next < count) {
          const index = next
          next += 1
          await work(index, connection)
        }
      }),
    )
  }

  const big = makeContent(large)
  await timed('push, POST and PUT', 'MiB', large / MIB, () => push(first, big, false))
  const other = makeContent(large)
  await timed('push, PATCH and PUT', 'MiB', large / MIB, () => push(first, other, true))
  const parts = Array.from({ length: 8 }, () => makeContent(large / 8))
  await timed('8 pushes at once', 'MiB', large / MIB, async () => {
    await Promise.all(parts.map((part, index) => push(connections[index] ?? first, part, true)))
  })
  const blobPath = `${REPOSITORY}/blobs/${big.digest}`
  await timed('pull', 'MiB', large / MIB, () => expect('GET', blobPath, 200, first))
  await timed('4 pulls at once', 'MiB', (4 * large) / MIB, async () => {
    await Promise.all(connections.slice(0, 4).map((connection) => expect('GET', blobPath, 200, connection)))
  })
  const blobs = Array.from({ length: small }, () => makeContent(4096))
  await timed('push 4 KiB blobs', 'op', small, () =>
    each(small, (index, connection) => push(connection, blobs[index] ?? big, false)),
  )
  const type = 'application/vnd.oci.image.manifest.v1+json'
  const descriptor = (index: number) => ({
    mediaType: 'application/octet-stream',
    digest: blobs[index]?.digest,
    size: 4096,
  })
  const manifests = blobs.map((_, index) =>
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: type,
        config: descriptor(index),
        layers: [descriptor(index)],
      }),
    ),
  )
  await timed('PUT manifests', 'op', small, () =>
    each(small, async (index, connection) => {
      const body = manifests[index] ?? block
      const path = `${REPOSITORY}/manifests/t${index}`
      const reply = await connection.request('PUT', path, { 'Content-Type': type }, [body], body.length)
      if (reply.status !== 201) throw new Error(`PUT manifest ${reply.status}`)
    }),
  )
  const reads = small * 4
  const accept = { Accept: type }
  const read = (title: string, method: string, pathOf: (index: number) => string) =>
    timed(title, 'op', reads, () =>
      each(reads, async (index, connection) => {
        const reply = await connection.request(method, pathOf(index % small), accept)
        if (reply.status !== 200) throw new Error(`${title}: ${reply.status}`)
      }),
    )
  const digests = manifests.map((body) => `sha256:${createHash('sha256').update(body).digest('hex')}`)
  await read('GET manifest by tag', 'GET', (index) => `${REPOSITORY}/manifests/t${index}`)
  await read('GET manifest by digest', 'GET', (index) => `${REPOSITORY}/manifests/${digests[index]}`)
  await read('HEAD manifest by tag', 'HEAD', (index) => `${REPOSITORY}/manifests/t${index}`)
  await read('HEAD blob', 'HEAD', (index) => `${REPOSITORY}/blobs/${blobs[index]?.digest}`)
  await read('GET 4 KiB blob', 'GET', (index) => `${REPOSITORY}/blobs/${blobs[index]?.digest}`)
  const more = Array.from({ length: 8 }, () => makeContent(large / 4))
  const latencies: number[] = []
  const pushing = new AbortController()
  const pushes = Promise.all(more.map((part, index) => push(connections[index] ?? first, part, true))).then(
    () => {
      pushing.abort()
      return undefined
    },
  )
  while (!pushing.signal.aborted) {
    const startedAt = performance.now()
    await connections.at(-1)?.request('GET', `${REPOSITORY}/manifests/t0`, accept)
    latencies.push(performance.now() - startedAt)
  }
  await pushes
  latencies.sort((one, two) => one - two)
  rows.push([
    'p99 of GET manifest during 8 pushes',
    'ms',
    { rate: latencies[Math.floor(latencies.length * 0.99)] ?? 0, cpu: 0 },
  ])
  for (const connection of connections) connection.close()
  return rows
}

/** User and system time of a process and its threads (proc(5): stat, fields 14 and 15, in hundredths of a second). */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

function peakRss(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

function print(results: ReadonlyMap<string, { unit: string; berth: Figure[]; other: Figure[] }>): void {
  console.log(
    `${'what'.padEnd(38)}${'Berth'.padStart(10)}${'reference'.padStart(11)}${'ratio'.padStart(7)}${'CPU Berth'.padStart(11)}${'CPU ref.'.padStart(10)}`,
  )
  for (const [title, { unit, berth, other }] of results) {
    const ratios = berth.map((figure, index) => figure.rate / (other[index]?.rate ?? Number.NaN))
    const shown = (figures: Figure[]): string =>
      median(figures.map(({ rate }) => rate)).toFixed(unit === 'ms' ? 1 : 0)
    const cpu = (figures: Figure[]): string =>
      median(figures.map((figure) => figure.cpu)).toFixed(unit === 'MiB' ? 0 : 2)
    console.log(
      `${`${title} (${unit === 'ms' ? 'ms' : `${unit}/s`})`.padEnd(38)}${shown(berth).padStart(10)}${shown(other).padStart(11)}` +
        `${median(ratios).toFixed(2).padStart(7)}${cpu(berth).padStart(11)}${cpu(other).padStart(10)}`,
    )
  }
  console.log('CPU: milliseconds of the server per GiB, or per operation')
}

if (import.meta.main) await run(process.argv.slice(2))
