import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request, type RequestOptions } from 'node:http'
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { openApp } from '../support/app.ts'

/** What one kind of call took, and how it was answered. */
interface Figures {
  p50Ms: number
  p99Ms: number
  maxMs: number
  statuses: Record<string, number>
}

interface Result {
  reads: Figures
  logins: Figures
}

/** How busy the serving thread was, whatever the client and the machine made of it. */
interface Loop {
  busyPercent: number
  /** How late the event loop came to a timer. */
  lateP99Ms: number
}

/** Whether clients that are told to come back later do. */
type Manner = 'patient' | 'hostile'

/**
 * `npm run bench -- identity [logins] [seconds]`: other calls (GET /v1/me, 200 a second) while so many wrong logins are under way at a
 * time, each from an address and for an account of its own, so that no throttle takes them off the queue; and without them. Patient
 * clients wait as long as they are told, hostile ones come back at once. Who calls and who tries to log in are processes of their own: a client that opens 200 connections at
 * once would be late with its other calls by itself.
 */
export async function run(args: string[]): Promise<void> {
  const logins = Number(args[0] ?? 200)
  const seconds = Number(args[1] ?? 10)
  const app = await openApp({ environment: { BERTH_TRUSTED_PROXIES: '127.0.0.1' } })
  try {
    const token = await app.bootstrap()
    await app.server.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.server.address() as AddressInfo
    const quiet = await measure(port, token, 0, seconds, 'patient')
    print('GET /v1/me alone', quiet.reads, quiet.loop)
    for (const manner of ['patient', 'hostile'] satisfies Manner[]) {
      const { reads, logins: tries, loop } = await measure(port, token, logins, seconds, manner)
      print(`GET /v1/me with ${logins} ${manner} wrong logins at a time`, reads, loop)
      print('  the logins', tries)
      console.log(`  p99 is ${(reads.p99Ms / quiet.reads.p99Ms).toFixed(1)} times that without them`)
    }
  } finally {
    await app.close()
  }
}

async function measure(
  port: number,
  token: string,
  logins: number,
  seconds: number,
  manner: Manner,
): Promise<Result & { loop: Loop }> {
  const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS })
  const before = performance.eventLoopUtilization()
  delay.enable()
  const [reads, tries] = await Promise.all([
    runClient('reads', port, token, seconds),
    logins === 0 ? summarize([]) : runClient('logins', port, logins, seconds, manner),
  ])
  delay.disable()
  const { utilization } = performance.eventLoopUtilization(before)
  const lateP99Ms = Math.max(0, delay.percentile(99) / 1e6 - DELAY_RESOLUTION_MS)
  return { reads, logins: tries, loop: { busyPercent: utilization * 100, lateP99Ms } }
}

async function runClient(...args: (string | number)[]): Promise<Figures> {
  const child = fork(new URL(import.meta.url), args.map(String))
  const [figures] = (await once(child, 'message')) as [Figures]
  return figures
}

const DELAY_RESOLUTION_MS = 5

const READERS = 10
const READ_EVERY_MS = 50

const CLIENTS: Readonly<Record<string, (...args: string[]) => Promise<Sample[]>>> = {
  reads: async (port, token, seconds) => {
    const agent = new Agent({ keepAlive: true, maxSockets: READERS })
    const target = { host: '127.0.0.1', port: Number(port), agent, path: '/v1/me' }
    const headers = { authorization: `Bearer ${token}` }
    const reads: Sample[] = []
    await inParallel(READERS, Number(seconds), async () => {
      const next = performance.now() + READ_EVERY_MS
      reads.push(await send({ ...target, headers }))
      await delay(Math.max(0, next - performance.now()))
    })
    agent.destroy()
    return reads
  },
  logins: async (port, logins, seconds, manner) => {
    const agent = new Agent({ keepAlive: true, maxSockets: Number(logins) })
    const target = { host: '127.0.0.1', port: Number(port), agent, path: '/v1/auth/login' }
    const tries: Sample[] = []
    let serial = 0
    await inParallel(Number(logins), Number(seconds), async () => {
      serial += 1
      const address = `10.${serial >> 16}.${(serial >> 8) & 255}.${serial & 255}`
      const headers = { 'content-type': 'application/json', 'x-forwarded-for': address }
      const body = JSON.stringify({ username: `user${serial}`, password: 'not the password' })
      const sample = await send({ ...target, method: 'POST', headers }, body)
      tries.push(sample)
      if (manner === 'patient') await delay(sample.retryAfterMs)
    })
    agent.destroy()
    return tries
  },
}

/** So many at a time do the work again and again for so long. */
async function inParallel(count: number, seconds: number, work: () => Promise<void>): Promise<void> {
  const until = performance.now() + seconds * 1000
  const goOn = async (): Promise<void> => {
    while (performance.now() < until) await work()
  }
  await Promise.all(Array.from({ length: count }, goOn))
}

interface Sample {
  ms: number
  status: number
  retryAfterMs: number
}

function send(target: RequestOptions, body = ''): Promise<Sample> {
  const begin = performance.now()
  return new Promise((resolve, reject) => {
    const sent = request(target, (response) => {
      const retryAfterMs = Number(response.headers['retry-after'] ?? 0) * 1000
      response.resume()
      response.on('error', reject)
      response.on('end', () => {
        resolve({ ms: performance.now() - begin, status: response.statusCode ?? 0, retryAfterMs })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

function summarize(samples: readonly Sample[]): Figures {
  const times = samples.map((sample) => sample.ms).toSorted((a, b) => a - b)
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  const statuses: Record<string, number> = {}
  for (const { status } of samples) statuses[status] = (statuses[status] ?? 0) + 1
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: times.at(-1) ?? 0, statuses }
}

function print(what: string, { p50Ms, p99Ms, maxMs, statuses }: Figures, loop?: Loop): void {
  const counts = Object.entries(statuses).map(([status, count]) => `${count} times ${status}`)
  const times = `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, longest ${maxMs.toFixed(1)} ms`
  console.log(`${what}: ${times} (${counts.join(', ')})`)
  if (loop) {
    const busy = `event loop ${loop.busyPercent.toFixed(1)} % busy`
    console.log(`  ${busy}, 99 of 100 timers at most ${loop.lateP99Ms.toFixed(1)} ms late`)
  }
}

// The benchmark starts itself as its client.
if (import.meta.main && process.send) {
  const [kind = '', ...args] = process.argv.slice(2)
  process.send(summarize((await CLIENTS[kind]?.(...args)) ?? []))
  process.disconnect()
}
