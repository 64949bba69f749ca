import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openLogApi, SERVICE } from '../modules/logs/log-api.ts'
import { START_SETTINGS } from '../support/start-settings.ts'

/** As `npm start` and the unit run the daemon. */
const AS_DAEMON = { execArgv: START_SETTINGS.execArgv, env: { ...process.env, ...START_SETTINGS.env } }

interface Figures {
  lines: number
  seconds: number
  cpu_seconds: number
  rss_bytes: number
  loop_max_ms: number
}

type Task = { kind: 'ingest'; lines: number } | { kind: 'live'; perSecond: number; seconds: number }

/**
 * Measures the logs of services (`logs [readers=500] [lines a second=200] [seconds=5]`) in a process of its own: how fast lines are stored and
 * compressed, and what it costs to send them to readers as they come.
 */
export async function run(args: readonly string[] = []): Promise<void> {
  const [readers, perSecond, seconds] = [500, 200, 5].map((fallback, index) =>
    Number(args[index] ?? fallback),
  ) as [number, number, number]
  const server = fork(fileURLToPath(import.meta.url), ['serve'], { stdio: 'inherit', ...AS_DAEMON })
  try {
    const [port] = (await once(server, 'message')) as [number]
    const ask = async (task: Task): Promise<Figures> => {
      server.send(task)
      const [figures] = (await once(server, 'message')) as [Figures]
      return figures
    }
    print('stored', await ask({ kind: 'ingest', lines: 300_000 }))
    const received = Array.from({ length: readers }, () => ({ bytes: 0 }))
    const sockets = received.map((reader) => follow(port, reader))
    await Promise.all(sockets.map((socket) => once(socket, 'data')))
    const figures = await ask({ kind: 'live', perSecond, seconds })
    await delay(500)
    print(`sent to ${readers} readers`, figures)
    const bytes = received.reduce((sum, reader) => sum + reader.bytes, 0)
    console.log(
      `  ${(bytes / 2 ** 20 / figures.seconds).toFixed(1)} MiB a second, ${((figures.lines * readers) / figures.seconds).toFixed(0)} events a second`,
    )
    for (const socket of sockets) socket.destroy()
  } finally {
    server.kill()
  }
}

function print(what: string, { lines, seconds, cpu_seconds, rss_bytes, loop_max_ms }: Figures): void {
  console.log(
    `${lines} lines ${what}: ${seconds.toFixed(1)} s (${(lines / seconds).toFixed(0)} a second), ${cpu_seconds.toFixed(1)} s of CPU, ` +
      `RSS ${(rss_bytes / 2 ** 20).toFixed(0)} MiB, event loop at most ${loop_max_ms.toFixed(0)} ms`,
  )
}

function follow(port: number, reader: { bytes: number }): Socket {
  const socket = connect(port, '127.0.0.1')
  socket.write(
    `GET /v1/services/${SERVICE}/logs/stream?tail=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer operator\r\n\r\n`,
  )
  socket.on('data', (chunk: Buffer) => (reader.bytes += chunk.length))
  return socket
}

async function serve(): Promise<void> {
  const closers: (() => unknown)[] = []
  const fail = (message: string): never => {
    throw new Error(message)
  }
  const api = await openLogApi({ teardown: (close) => void closers.push(close), fail })
  const measure = async (lines: number, work: () => Promise<void>): Promise<void> => {
    const delays = monitorEventLoopDelay({ resolution: 5 })
    delays.enable()
    const startedAt = performance.now()
    const cpu = process.cpuUsage()
    await work()
    const { user, system } = process.cpuUsage(cpu)
    process.send?.({
      lines,
      seconds: (performance.now() - startedAt) / 1000,
      cpu_seconds: (user + system) / 1e6,
      rss_bytes: process.memoryUsage().rss,
      loop_max_ms: delays.max / 1e6,
    } satisfies Figures)
  }
  process.on('message', (task: Task) => {
    if (task.kind === 'ingest') void measure(task.lines, () => api.write(task.lines, { width: 40 }))
    else
      void measure(task.perSecond * task.seconds, async () => {
        for (let slice = 0; slice < task.seconds * 20; slice += 1) {
          await api.write(task.perSecond / 20, { width: 40 })
          await delay(50)
        }
      })
  })
  process.on('SIGTERM', () => {
    void Promise.all(closers.map(async (close) => close())).then(() => process.exit(0))
  })
  process.send?.(api.port)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2] === 'serve') await serve()
  else await run(process.argv.slice(2))
}
