import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { cpuMsOf, type MemoryMib, memoryOf, runClient, system } from './bench-process.ts'
import type { Target } from './bench-targets.ts'

/** One turn of one proxy. What a scenario does not measure is NaN. */
export interface Sample {
  /** Requests, handshakes or megabytes. */
  perSecond: number
  p50Ms: number
  p99Ms: number
  /** Of the proxy, for each request, handshake or megabyte. */
  cpuMicros: number
  memory: MemoryMib
}

export interface Scenario {
  name: string
  unit: string
  measure(target: Target, seconds: number): Promise<Sample>
}

const HOST = 'localhost'
const BIG_MB = 100

export const SMALL: Scenario = {
  name: 'small requests, 64 keep-alive connections',
  unit: 'requests',
  measure: (target, seconds) => wrk(target, seconds, `http://${HOST}:${target.port}/`, ['-c64']),
}

export const TLS: Scenario = {
  name: 'TLS, 64 keep-alive connections',
  unit: 'requests',
  measure: (target, seconds) => wrk(target, seconds, `https://${HOST}:${target.tlsPort}/`, ['-c64']),
}

export const HANDSHAKES: Scenario = {
  name: 'TLS handshakes, a request each',
  unit: 'handshakes',
  measure: (target, seconds) =>
    wrk(target, seconds, `https://${HOST}:${target.tlsPort}/`, ['-c16', '-H', 'Connection: close']),
}

export const HTTP2: Scenario = {
  name: 'HTTP/2, 16 connections of 16 streams',
  unit: 'requests',
  measure: async (target, seconds) =>
    await counted(target, async () => {
      const url = `https://${HOST}:${target.tlsPort}/`
      const log = join(tmpdir(), `berth-bench-${process.pid}.log`)
      const output = await runClient([
        'h2load',
        '-t1',
        '-c16',
        '-m16',
        '-D',
        String(seconds),
        `--log-file=${log}`,
        url,
      ])
      const times = await readTimes(log)
      const requests = Number(/(\d+) succeeded/.exec(output)?.[1])
      const failed = Number(/(\d+) failed/.exec(output)?.[1])
      if (failed > 0) throw new Error(`${target.name} failed:\n${output}`)
      return {
        count: requests,
        perSecond: Number(/finished in [\d.]+s, ([\d.]+) req\/s/.exec(output)?.[1]),
        ...percentiles(times),
      }
    }),
}

export const DOWNLOAD: Scenario = {
  name: `${BIG_MB} MB answers, two at a time`,
  unit: 'MB',
  measure: (target) => curls(target, ['-o', '/dev/null', `http://${HOST}:${target.port}/big`]),
}

/** The file is the one that the application serves. */
export function upload(file: string, sink: Sink): Scenario {
  return {
    name: `${BIG_MB} MB request bodies, two at a time`,
    unit: 'MB',
    measure: async (target) => {
      const before = sink.bytes()
      const sample = await curls(target, [
        '-H',
        'Expect:',
        '-o',
        '/dev/null',
        '-T',
        file,
        `http://${HOST}:${target.port}/sink`,
      ])
      const got = (sink.bytes() - before) / 1024 ** 2
      if (got < 2 * BIG_MB) throw new Error(`only ${got} MB of the uploads arrived`)
      return sample
    },
  }
}

/** Opens so many WebSockets and lets them be; what counts is memory. */
export function webSockets(count: number, sink: Sink): Scenario {
  return {
    name: `${count} idle WebSockets`,
    unit: 'openings',
    measure: async (target) => {
      const sockets: Socket[] = []
      try {
        return await counted(target, async () => {
          const startedAt = performance.now()
          for (let opened = 0; opened < count; opened += 50) {
            const batch = Array.from({ length: Math.min(50, count - opened) }, () =>
              openWebSocket(target.port),
            )
            sockets.push(...(await Promise.all(batch)))
          }
          const seconds = (performance.now() - startedAt) / 1000
          return { count, perSecond: count / seconds, p50Ms: Number.NaN, p99Ms: Number.NaN }
        })
      } finally {
        // By resets from the far end on: else the ports of all these connections would be taken for another minute.
        sink.reset()
        for (const socket of sockets) socket.resetAndDestroy()
        await untilRelaxed(target)
      }
    },
  }
}

/** Waits until a proxy has put away what it had open. */
export async function untilRelaxed({ pid }: Target): Promise<void> {
  let before = await cpuMsOf(pid)
  let spent = Number.POSITIVE_INFINITY
  while (spent >= 50) {
    await system.sleep(200)
    const now = await cpuMsOf(pid)
    spent = now - before
    before = now
  }
}

/** Whole handshakes with each name in turn. */
export function manyNames(names: readonly string[]): Scenario {
  return {
    name: `handshakes with ${names.length} names in turn`,
    unit: 'handshakes',
    measure: async (target) =>
      await counted(target, async () => {
        const startedAt = performance.now()
        const times: number[] = []
        for (let at = 0; at < names.length; at += 8) {
          const batch = names.slice(at, at + 8).map(async (servername) => {
            const begun = performance.now()
            const socket = connectTls({
              host: '127.0.0.1',
              port: target.tlsPort,
              servername,
              rejectUnauthorized: false,
            })
            await once(socket, 'secureConnect')
            times.push(performance.now() - begun)
            socket.destroy()
          })
          await Promise.all(batch)
        }
        return {
          count: names.length,
          perSecond: (names.length * 1000) / (performance.now() - startedAt),
          ...percentiles(times),
        }
      }),
  }
}

/** An application that takes uploads and upgrades; it lives in this process. */
export interface Sink {
  port: number
  bytes(): number
  /** Cuts off every connection. */
  reset(): void
}

export async function startSink(stack: AsyncDisposableStack): Promise<Sink> {
  let bytes = 0
  const open = new Set<Socket>()
  const server = createServer((request, response) => {
    request.on('data', (piece: Buffer) => (bytes += piece.length))
    request.on('end', () => response.end('taken'))
  })
  server.on('upgrade', (_request, socket) => {
    socket.on('error', () => {})
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        // The answer to the key of `openWebSocket` (RFC 6455, section 1.3).
        'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
    )
  })
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
  })
  server.listen(0, '127.0.0.1', 8192)
  await once(server, 'listening')
  stack.defer(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    bytes: () => bytes,
    reset: () => {
      for (const socket of open) socket.resetAndDestroy()
    },
  }
}

async function openWebSocket(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(
    `GET /socket HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  const [answer] = (await once(socket, 'data')) as [Buffer]
  if (!answer.toString('latin1').startsWith('HTTP/1.1 101')) throw new Error(answer.toString('latin1'))
  return socket
}

/** What h2load has noted of each request: its start, its status and the microseconds that it took. */
async function readTimes(log: string): Promise<number[]> {
  const lines = (await readFile(log, 'utf8')).trimEnd().split('\n')
  await rm(log)
  return lines.map((line) => Number(line.slice(line.lastIndexOf('\t') + 1)) / 1000)
}

function percentiles(times: number[]): { p50Ms: number; p99Ms: number } {
  times.sort((a, b) => a - b)
  const at = (part: number): number => times[Math.floor(times.length * part)] ?? Number.NaN
  return { p50Ms: at(0.5), p99Ms: at(0.99) }
}

async function counted(
  target: Target,
  run: () => Promise<{ count: number; perSecond: number; p50Ms: number; p99Ms: number }>,
): Promise<Sample> {
  const before = await cpuMsOf(target.pid)
  const { count, ...sample } = await run()
  const cpuMs = (await cpuMsOf(target.pid)) - before
  return { ...sample, cpuMicros: (cpuMs * 1000) / count, memory: await memoryOf(target.pid) }
}

async function wrk(target: Target, seconds: number, url: string, options: string[]): Promise<Sample> {
  return await counted(target, async () => {
    const output = await runClient(['wrk', '-t1', `-d${seconds}s`, '--latency', ...options, url])
    if (/Non-2xx|Socket errors: connect [1-9]/.test(output))
      throw new Error(`${target.name} failed:\n${output}`)
    return {
      count: Number(/(\d+) requests in/.exec(output)?.[1]),
      perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]),
      p50Ms: milliseconds(/^ +50%\s+(\S+)/m.exec(output)?.[1]),
      p99Ms: milliseconds(/^ +99%\s+(\S+)/m.exec(output)?.[1]),
    }
  })
}

/** Twice at once; the sum of both. */
async function curls(target: Target, args: readonly string[]): Promise<Sample> {
  return await counted(target, async () => {
    const startedAt = performance.now()
    await Promise.all([0, 1].map(() => runClient(['curl', '-sSf', ...args])))
    const seconds = (performance.now() - startedAt) / 1000
    return { count: 2 * BIG_MB, perSecond: (2 * BIG_MB) / seconds, p50Ms: Number.NaN, p99Ms: Number.NaN }
  })
}

function milliseconds(text: string | undefined): number {
  const [, number = '', unit = ''] = /^([\d.]+)(us|ms|s)$/.exec(text ?? '') ?? []
  return Number(number === '' ? Number.NaN : number) * ({ us: 0.001, ms: 1, s: 1000 }[unit] ?? Number.NaN)
}
