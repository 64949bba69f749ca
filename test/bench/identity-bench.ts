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
 * clients wait as long as they are told, hostile ones come back at once. The client is a process of its own.
 */
export async function run(args: string[]): Promise<void> {
  const logins = Number(args[0] ?? 200)
  const seconds = Number(args[1] ?? 10)
  const app = await openApp({ environment: { BERTH_TRUSTED_PROXIES: '127.0.0.1' } })
  try {
    const token = await app.bootstrap()
    await app.server.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.server.address() as AddressInfo
    const quiet = await measure([port, token, 0, seconds, 'patient'])
    print('GET /v1/me alone', quiet.reads, quiet.loop)
    for (const manner of ['patient', 'hostile'] satisfies Manner[]) {
      const { reads, logins: tries, loop } = await measure([port, token, logins, seconds, manner])
      print(`GET /v1/me with ${logins} ${manner} wrong logins at a time`, reads, loop)
      print('  the logins', tries)
      console.log(`  p99 is ${(reads.p99Ms / quiet.reads.p99Ms).toFixed(1)} times that without them`)
    }
  } finally {
    await app.close()
  }
}

async function measure(args: (string | number)[]): Promise<Result & { loop: Loop }> {
  const child = fork(new URL(import.meta.url), args.map(String))
  const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS })
  const before = performance.eventLoopUtilization()
  delay.enable()
  const [result] = (await once(child, 'message')) as [Result]
  delay.disable()
  const { utilization } = performance.eventLoopUtilization(before)
  const lateP99Ms = Math.max(0, delay.percentile(99) / 1e6 - DELAY_RESOLUTION_MS)
  return { ...result, loop: { busyPercent: utilization * 100, lateP99Ms } }
}

const DELAY_RESOLUTION_MS = 5

const READERS = 10
const READ_EVERY_MS = 50

async function runClient([port, token, logins, seconds, manner]: string[]): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: Number(logins) + READERS })
  const target = { host: '127.0.0.1', port: Number(port), agent }
  const until = performance.now() + Number(seconds) * 1000
  const reads: Sample[] = []
  const tries: Sample[] = []
  const read = async (): Promise<void> => {
    while (performance.now() < until) {
      const next = performance.now() + READ_EVERY_MS
      reads.push(await send({ ...target, path: '/v1/me', headers: { authorization: `Bearer ${token}` } }))
      await delay(Math.max(0, next - performance.now()))
    }
  }
  let serial = 0
  const login = async (): Promise<void> => {
    while (performance.now() < until) {
      serial += 1
      const address = `10.${serial >> 16}.${(serial >> 8) & 255}.${serial & 255}`
      const headers = { 'content-type': 'application/json', 'x-forwarded-for': address }
      const body = JSON.stringify({ username: `user${serial}`, password: 'not the password' })
      const sample = await send({ ...target, method: 'POST', path: '/v1/auth/login', headers }, body)
      tries.push(sample)
      if (manner === 'patient') await delay(sample.retryAfterMs)
    }
  }
  await Promise.all([
    ...Array.from({ length: READERS }, read),
    ...Array.from({ length: Number(logins) }, login),
  ])
  agent.destroy()
  process.send?.({ reads: summarize(reads), logins: summarize(tries) })
  process.disconnect()
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
if (import.meta.main && process.send) await runClient(process.argv.slice(2))
