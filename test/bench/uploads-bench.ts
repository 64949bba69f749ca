import { fork } from 'node:child_process'
import { createCipheriv } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import { END, header } from '../modules/uploads/tar-fixture.ts'
import { openUploadApi, SERVICE } from '../modules/uploads/upload-api.ts'

const TYPES: Record<string, string> = {
  'tar.zst': 'application/zstd',
  'tar.gz': 'application/gzip',
  tar: 'application/x-tar',
}
const FILE_BYTES = 64 * 1024 ** 2

/** As `npm start` and the unit run the daemon. */
const AS_DAEMON = { execArgv: ['--max-semi-space-size=4'], env: { ...process.env, MALLOC_ARENA_MAX: '2' } }

interface Figures {
  peak_rss_bytes: number
  loop_p99_ms: number
  loop_max_ms: number
}

/**
 * Sends a large upload (`uploads [MiB=2048] [format=tar.zst] [windowLog]`) to a server in a process of its own and prints how fast it was, the
 * most memory that the server held, and how long its event loop was busy at a stretch.
 */
export async function run(args: readonly string[] = []): Promise<void> {
  const mebibytes = Number(args[0] ?? 2048)
  const format = args[1] ?? 'tar.zst'
  const server = fork(fileURLToPath(import.meta.url), ['serve'], { stdio: 'inherit', ...AS_DAEMON })
  try {
    const [port] = (await once(server, 'message')) as [number]
    const startedAt = performance.now()
    const answer = await send(port, format, mebibytes, args[2])
    const seconds = (performance.now() - startedAt) / 1000
    server.send('figures')
    const [figures] = (await once(server, 'message')) as [Figures]
    console.log(`${format} of ${mebibytes} MiB: ${answer}`)
    console.log(
      `${seconds.toFixed(1)} s, ${(mebibytes / seconds).toFixed(0)} MiB/s; peak RSS ${(figures.peak_rss_bytes / 2 ** 20).toFixed(0)} MiB; ` +
        `event loop p99 ${figures.loop_p99_ms.toFixed(1)} ms, longest ${figures.loop_max_ms.toFixed(1)} ms`,
    )
  } finally {
    server.kill()
  }
}

async function send(port: number, format: string, mebibytes: number, windowLog?: string): Promise<string> {
  const sender = request({
    port,
    host: '127.0.0.1',
    path: `/v1/services/${SERVICE}/uploads`,
    method: 'POST',
    headers: { authorization: 'Bearer operator', 'content-type': TYPES[format] },
  })
  const answered = once(sender, 'response') as Promise<[Readable & { statusCode: number }]>
  const source = Readable.from(makeTar(mebibytes))
  if (format === 'tar') await pipeline(source, sender)
  else await pipeline(source, makePacker(format, windowLog), sender)
  const [response] = await answered
  return `${response.statusCode} ${(await text(response)).slice(0, 200)}`
}

function makePacker(format: string, windowLog = '0') {
  if (format === 'tar.gz') return createGzip({ level: 1 })
  const { ZSTD_c_compressionLevel: level, ZSTD_c_windowLog: window } = constants
  return createZstdCompress({ params: { [level]: 1, [window]: Number(windowLog) } })
}

/** Files of bytes that do not compress. */
async function* makeTar(mebibytes: number): AsyncGenerator<Buffer, void, undefined> {
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16))
  const zeros = Buffer.alloc(1024 ** 2)
  for (let left = mebibytes * 1024 ** 2, index = 0; left > 0; left -= FILE_BYTES, index += 1) {
    yield header({ name: `noise/${index}`, size: FILE_BYTES })
    for (let at = 0; at < FILE_BYTES; at += zeros.length) yield noise.update(zeros)
  }
  yield END
}

async function serve(): Promise<void> {
  const closers: (() => unknown)[] = []
  const api = await openUploadApi(
    { teardown: (close) => void closers.push(close) },
    {
      upload_max_bytes: 2 ** 40,
      unpacked_max_bytes: 2 ** 40,
      unpacked_max_entries: 200_000,
    },
  )
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  process.on('message', () => {
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    process.send?.({
      peak_rss_bytes: Number(peak) * 1024,
      loop_p99_ms: delay.percentile(99) / 1e6,
      loop_max_ms: delay.max / 1e6,
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
