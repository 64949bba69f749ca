import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CertificatePair } from '../../src/ingress/contract/certificate-file.ts'
import { makeCertificate } from '../support/certificate.ts'
import { ATTACKED } from './ingress/attacks.ts'
import { memoryOf } from './ingress/bench-process.ts'
import { makeCertificates } from './ingress/many-certificates.ts'
import { showOwnCosts } from './ingress/own-costs.ts'
import {
  DOWNLOAD,
  HANDSHAKES,
  HTTP2,
  manyNames,
  type Sample,
  type Scenario,
  SMALL,
  startSink,
  TLS,
  upload,
  webSockets,
} from './ingress/bench-scenarios.ts'
import {
  startApplication,
  startBerth,
  startCaddy,
  startHaproxy,
  startProxyingNginx,
  type Target,
} from './ingress/bench-targets.ts'

const BIG_BYTES = 100 * 1024 * 1024
const WEB_SOCKETS = 5000
const MANY_NAMES = 2000

/**
 * `npm run bench -- ingress [rounds] [seconds] [words]`: Berth, Caddy, nginx and HAProxy in turns, each alone on the first core; clients and
 * the application have the second. `words` choose scenarios by parts of their names: `small,attacks,tls,http/2,mb,websockets,costs,names`.
 */
export async function run(args: string[]): Promise<void> {
  const rounds = Number(args[0] ?? 5)
  const seconds = Number(args[1] ?? 4)
  const words = (args[2] ?? '').toLowerCase().split(',')
  const wanted = (name: string): boolean => words.some((word) => name.toLowerCase().includes(word))
  const directory = await mkdtemp(join(tmpdir(), 'berth-bench-'))
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  await writeBig(join(directory, 'big'))
  const own = new Map([['localhost', await makeCertificate('localhost')]])
  {
    await using turn = new AsyncDisposableStack()
    const application = await startApplication(turn, directory, directory)
    const scenarios = [SMALL, ATTACKED, TLS, HANDSHAKES, HTTP2, DOWNLOAD].filter(({ name }) => wanted(name))
    await compare(turn, join(directory, 'a'), application, own, scenarios, rounds, seconds)
    if (wanted('costs of log and rules')) {
      const bench = { directory: join(directory, 'd'), application, certificates: own }
      await showOwnCosts(await startBerth(turn, bench), application, rounds, seconds)
    }
  }
  {
    await using turn = new AsyncDisposableStack()
    const sink = await startSink(turn)
    const scenarios = [upload(join(directory, 'big'), sink), webSockets(WEB_SOCKETS, sink)].filter(
      ({ name }) => wanted(name),
    )
    await compare(turn, join(directory, 'b'), sink.port, own, scenarios, rounds, seconds)
  }
  await compareNames(join(directory, 'c'), rounds, seconds, wanted)
}

async function compareNames(
  directory: string,
  rounds: number,
  seconds: number,
  wanted: (name: string) => boolean,
): Promise<void> {
  const names = Array.from({ length: MANY_NAMES }, (_, index) => `n${10_000 + index}.many.localhost`)
  const scenario = manyNames(names)
  if (!wanted(scenario.name)) return
  await using stack = new AsyncDisposableStack()
  const sink = await startSink(stack)
  const pairs = await makeCertificates(names)
  await compare(stack, directory, sink.port, pairs, [scenario], rounds, seconds)
}

async function compare(
  stack: AsyncDisposableStack,
  directory: string,
  application: number,
  certificates: ReadonlyMap<string, CertificatePair>,
  scenarios: readonly Scenario[],
  rounds: number,
  seconds: number,
): Promise<void> {
  if (scenarios.length === 0) return
  const bench = { directory, application, certificates }
  const berth = await startBerth(stack, bench)
  const targets: Target[] = [
    berth,
    await startCaddy(stack, bench),
    await startProxyingNginx(stack, bench),
    await startHaproxy(stack, bench),
  ]
  const idle = await Promise.all(
    targets.map(async ({ name, pid }) => `${name} ${(await memoryOf(pid)).rss.toFixed(0)}`),
  )
  console.log(`\n${certificates.size} certificate(s); MiB at the start: ${idle.join(', ')}`)
  if (certificates.size > 1) await showSwap(berth, certificates)
  for (const scenario of scenarios) await compareOnce(scenario, targets, rounds, seconds)
}

/** How long it takes to replace one certificate of many. */
async function showSwap(
  { ingress }: Awaited<ReturnType<typeof startBerth>>,
  certificates: ReadonlyMap<string, CertificatePair>,
): Promise<void> {
  const entries: { hostname: string; certificate_id: string }[] = []
  for (const [hostname, pair] of certificates)
    entries.push({ hostname, certificate_id: await ingress.certificates.write(pair) })
  const [first] = certificates.keys()
  const fresh = await ingress.certificates.write(await makeCertificate(first ?? ''))
  const startedAt = performance.now()
  await ingress.publishCertificates(
    entries.map((entry) => (entry.hostname === first ? { ...entry, certificate_id: fresh } : entry)),
  )
  console.log(
    `berth: one of ${entries.length} certificates replaced in ${(performance.now() - startedAt).toFixed(1)} ms`,
  )
}

async function compareOnce(
  scenario: Scenario,
  targets: readonly Target[],
  rounds: number,
  seconds: number,
): Promise<void> {
  const samples = new Map<string, Sample[]>(targets.map(({ name }) => [name, []]))
  // The first turn warms every one up and is thrown away.
  for (let round = 0; round <= rounds; round += 1) {
    for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
      const sample = await scenario.measure(target, seconds)
      if (round > 0) samples.get(target.name)?.push(sample)
    }
  }
  report(scenario, samples)
}

function report({ name, unit }: Scenario, samples: ReadonlyMap<string, Sample[]>): void {
  console.log(`\n${name}; one core each, medians`)
  console.log(
    `proxy    ${`${unit}/s`.padStart(14)}   p50 ms   p99 ms  CPU us/${unit.padEnd(10)} RSS MiB  own MiB`,
  )
  for (const [proxy, all] of samples) {
    const of = (pick: (sample: Sample) => number, digits: number, width: number): string =>
      median(all.map(pick)).toFixed(digits).padStart(width)
    console.log(
      proxy.padEnd(9) +
        of((each) => each.perSecond, 0, 14) +
        of((each) => each.p50Ms, 2, 9) +
        of((each) => each.p99Ms, 2, 9) +
        of((each) => each.cpuMicros, 1, 18) +
        of((each) => each.memory.rss, 0, 8) +
        of((each) => each.memory.own, 0, 9),
    )
  }
  const berth = samples.get('berth') ?? []
  for (const [proxy, all] of samples) {
    if (proxy === 'berth') continue
    const rate = berth.map((each, index) => each.perSecond / (all[index]?.perSecond ?? Number.NaN))
    const cpu = berth.map((each, index) => (all[index]?.cpuMicros ?? Number.NaN) / each.cpuMicros)
    const p99 = berth.map((each, index) => each.p99Ms / (all[index]?.p99Ms ?? Number.NaN))
    console.log(
      `berth / ${proxy}: ${median(rate).toFixed(2)} by rate, ${median(cpu).toFixed(2)} by CPU, p99 ${median(p99).toFixed(2)} ` +
        `(${rate.map((each) => each.toFixed(2)).join(' ')})`,
    )
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

/** Zeros, but real ones: a file with holes would be read faster than any other. */
async function writeBig(file: string): Promise<void> {
  await using handle = await open(file, 'w')
  const piece = Buffer.alloc(1024 * 1024)
  for (let written = 0; written < BIG_BYTES; written += piece.length) await handle.write(piece)
}
