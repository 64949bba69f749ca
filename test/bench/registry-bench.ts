import { createHash, randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { cpuMs, forgetPeak, median, peakRss, percentile } from './process-figures.ts'
import { RawConnection } from './raw-connection.ts'
import { MIB, startBerth, startOther, type Target } from './registry-targets.ts'

interface Figure {
  /** Per second: MiB or operations; of a wait: milliseconds. */
  rate: number
  /** Milliseconds of server CPU per GiB or per operation. */
  cpu: number
  peakBytes: number
}

interface Step {
  title: string
  unit: 'MiB' | 'op' | 'ms'
  amount: number
  /** Answers the figure itself where it is not `amount` by time. */
  run(side: Side): Promise<number | void>
}

/** A target with its connections. */
interface Side {
  target: Target
  connections: RawConnection[]
  first: RawConnection
}

type Results = Map<string, { step: Step; berth: Figure[]; other: Figure[] }>

/**
 * Compares Berth's registry with Debian's docker-registry: `registry [rounds=3] [large MiB=1024] [small=2000] [titles=]`. One client, token
 * authentication on both. Both run at the same time; each step is done by one and right after by the other, in turns who is first, so that a machine that others
 * use too is the same for both. Data directories are made anew for each round. `titles` is a regular expression: only those steps are shown.
 */
export async function run(args: readonly string[] = []): Promise<void> {
  const rounds = Number(args[0] ?? 3)
  const large = Number(args[1] ?? 1024) * MIB
  const small = Number(args[2] ?? 2000)
  const shown = new RegExp(args[3] ?? '', 'i')
  const results: Results = new Map()
  for (let round = 0; round < rounds; round += 1) {
    const targets = { berth: await startBerth(), other: await startOther() }
    try {
      for (const [index, step] of makeSteps(large, small).entries()) {
        const order =
          (round + index) % 2 === 0 ? (['berth', 'other'] as const) : (['other', 'berth'] as const)
        for (const name of order) await measure(step, targets[name], name, results)
      }
    } finally {
      for (const target of Object.values(targets)) await target.stop()
    }
  }
  print(results, shown)
}

function openSide(target: Target): Side {
  const connections = Array.from({ length: 32 }, () => new RawConnection(target.origin, target.authorization))
  const [first] = connections
  if (!first) throw new Error('no connection')
  return { target, connections, first }
}

async function measure(step: Step, target: Target, name: 'berth' | 'other', results: Results): Promise<void> {
  const { pid } = target
  // New ones: those of the last step have waited for as long as the other side took.
  const side = openSide(target)
  if (step.unit !== 'op') touchMemory(step.amount * MIB)
  forgetPeak(pid)
  const cpuBefore = cpuMs(pid)
  const startedAt = performance.now()
  const own = await step.run(side)
  const seconds = (performance.now() - startedAt) / 1000
  const cpu = cpuMs(pid) - cpuBefore
  for (const connection of side.connections) connection.close()
  const per = step.unit === 'op' ? step.amount : step.amount / 1024
  const entry = results.get(step.title) ?? { step, berth: [], other: [] }
  entry[name].push({ rate: own ?? step.amount / seconds, cpu: cpu / per, peakBytes: peakRss(pid) })
  results.set(step.title, entry)
}

/** The first use of a page costs a virtual machine ten times the second; whoever comes first would pay it for both. */
function touchMemory(bytes: number): void {
  const file = join(tmpdir(), `berth-bench-${process.pid}`)
  for (let at = 0; at < bytes; at += 8 * MIB) writeFileSync(file, filler, { flag: 'a' })
  rmSync(file, { force: true })
}

const filler = Buffer.alloc(8 * MIB, 1)
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

async function push(
  connection: RawConnection | undefined,
  content: Content | undefined,
  patch: boolean,
): Promise<void> {
  if (!connection || !content) throw new Error('nothing to push')
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

async function expect(
  connection: RawConnection,
  method: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<void> {
  const { status } = await connection.request(method, path, headers)
  if (status !== 200) throw new Error(`${method} ${path}: ${status}`)
}

/** Spreads the work over all connections. */
async function each(
  { connections }: Side,
  count: number,
  work: (index: number, connection: RawConnection) => Promise<void>,
): Promise<void> {
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

/** What one round does; the same content for both sides. */
function makeSteps(large: number, small: number): Step[] {
  const mib = large / MIB
  const [one, two] = [makeContent(large), makeContent(large)]
  const eighths = Array.from({ length: 8 }, () => makeContent(large / 8))
  const wholes = Array.from({ length: 8 }, () => makeContent(large / 4))
  const blob = `${REPOSITORY}/blobs/${one.digest}`
  const pushAll = async (side: Side, contents: readonly Content[]): Promise<void> => {
    await Promise.all(contents.map((content, index) => push(side.connections[index], content, true)))
  }
  return [
    { title: 'push, POST and PUT', unit: 'MiB', amount: mib, run: ({ first }) => push(first, one, false) },
    { title: 'push, PATCH and PUT', unit: 'MiB', amount: mib, run: ({ first }) => push(first, two, true) },
    { title: '8 pushes at once', unit: 'MiB', amount: mib, run: (side) => pushAll(side, eighths) },
    { title: 'pull', unit: 'MiB', amount: mib, run: ({ first }) => expect(first, 'GET', blob) },
    {
      title: '4 pulls at once',
      unit: 'MiB',
      amount: 4 * mib,
      run: async ({ connections }) => {
        await Promise.all(connections.slice(0, 4).map((connection) => expect(connection, 'GET', blob)))
      },
    },
    ...smallSteps(small),
    {
      title: 'p99 of GET manifest during 8 pushes',
      unit: 'ms',
      amount: 2 * mib,
      run: (side) => waitsDuring(pushAll(side, wholes), side),
    },
  ]
}

const TYPE = 'application/vnd.oci.image.manifest.v1+json'

function smallSteps(small: number): Step[] {
  const blobs = Array.from({ length: small }, () => makeContent(4096))
  const manifests = blobs.map(({ digest }) => {
    const descriptor = { mediaType: 'application/octet-stream', digest, size: 4096 }
    return Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: TYPE, config: descriptor, layers: [descriptor] }),
    )
  })
  const digests = manifests.map((body) => `sha256:${createHash('sha256').update(body).digest('hex')}`)
  const putManifest = async (index: number, connection: RawConnection): Promise<void> => {
    const body = manifests[index] ?? block
    const path = `${REPOSITORY}/manifests/t${index}`
    const reply = await connection.request('PUT', path, { 'Content-Type': TYPE }, [body], body.length)
    if (reply.status !== 201) throw new Error(`PUT manifest ${reply.status}`)
  }
  const reads = small * 4
  const read = (title: string, method: string, pathOf: (index: number) => string): Step => ({
    title,
    unit: 'op',
    amount: reads,
    run: (side) =>
      each(side, reads, (index, connection) =>
        expect(connection, method, `${REPOSITORY}/${pathOf(index % small)}`, { Accept: TYPE }),
      ),
  })
  return [
    {
      title: 'push 4 KiB blobs',
      unit: 'op',
      amount: small,
      run: (side) => each(side, small, (index, connection) => push(connection, blobs[index], false)),
    },
    { title: 'PUT manifests', unit: 'op', amount: small, run: (side) => each(side, small, putManifest) },
    read('GET manifest by tag', 'GET', (index) => `manifests/t${index}`),
    read('GET manifest by digest', 'GET', (index) => `manifests/${digests[index]}`),
    read('HEAD manifest by tag', 'HEAD', (index) => `manifests/t${index}`),
    read('HEAD manifest by digest', 'HEAD', (index) => `manifests/${digests[index]}`),
    read('HEAD blob', 'HEAD', (index) => `blobs/${blobs[index]?.digest}`),
    read('GET 4 KiB blob', 'GET', (index) => `blobs/${blobs[index]?.digest}`),
  ]
}

/** How long a small request waits while others push: a manifest GET, and with Berth a call of its API, in turns. */
async function waitsDuring(work: Promise<void>, { target, connections }: Side): Promise<number> {
  const waits: number[] = []
  const calls: number[] = []
  const api = target.call && new RawConnection(target.origin, target.call.authorization)
  const pushing = new AbortController()
  const over = work.finally(() => pushing.abort())
  while (!pushing.signal.aborted) {
    const startedAt = performance.now()
    await connections.at(-1)?.request('GET', `${REPOSITORY}/manifests/t0`, { Accept: TYPE })
    const answeredAt = performance.now()
    waits.push(answeredAt - startedAt)
    if (!api || !target.call) continue
    await api.request('GET', target.call.path)
    calls.push(performance.now() - answeredAt)
  }
  await over
  api?.close()
  if (calls.length > 0)
    console.log(
      `a /v1 call during 8 pushes: p50 ${percentile(calls, 50).toFixed(1)} ms, p99 ${percentile(calls, 99).toFixed(1)} ms of ${calls.length}; ` +
        `GET manifest: p50 ${percentile(waits, 50).toFixed(1)} ms`,
    )
  return percentile(waits, 99)
}

function print(results: Results, shown: RegExp): void {
  console.log(
    `${'what'.padEnd(40)}${['Berth', 'reference', 'ratio', 'CPU Berth', 'CPU ref.', 'ratio', 'peak MiB'].map((text) => text.padStart(10)).join('')}`,
  )
  for (const [title, { step, berth, other }] of results) {
    if (!shown.test(title)) continue
    const ratio = (of: (figure: Figure) => number): number =>
      median(berth.map((figure, index) => of(figure) / of(other[index] ?? figure)))
    const of = (figures: Figure[], value: (figure: Figure) => number, digits: number): string =>
      median(figures.map(value)).toFixed(digits)
    const cpuDigits = step.unit === 'op' ? 3 : 0
    const cells = [
      of(berth, ({ rate }) => rate, step.unit === 'ms' ? 1 : 0),
      of(other, ({ rate }) => rate, step.unit === 'ms' ? 1 : 0),
      ratio(({ rate }) => rate).toFixed(2),
      of(berth, ({ cpu }) => cpu, cpuDigits),
      of(other, ({ cpu }) => cpu, cpuDigits),
      (1 / ratio(({ cpu }) => cpu)).toFixed(2),
      (Math.max(...berth.map(({ peakBytes }) => peakBytes)) / MIB).toFixed(0),
    ]
    const unit = step.unit === 'ms' ? 'ms' : `${step.unit}/s`
    console.log(`${`${title} (${unit})`.padEnd(40)}${cells.map((cell) => cell.padStart(10)).join('')}`)
  }
  console.log('ratio: the median of the ratios of pairs, above 1 where Berth is ahead (waits: below 1)')
  console.log(
    'CPU: milliseconds of the server per GiB, or per operation; peak: the most memory of Berth in a step',
  )
  console.log(
    `load of the machine: ${loadavg()
      .map((load) => load.toFixed(1))
      .join(' ')}`,
  )
}

if (import.meta.main) await run(process.argv.slice(2))
