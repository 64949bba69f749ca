import { spawn } from 'node:child_process'
import { createCipheriv } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import { END, header } from '../modules/uploads/tar-fixture.ts'
import { START_SETTINGS } from '../support/start-settings.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const TOKEN = 'the-install-admin-token-of-a-bench'
const TYPES: Record<string, string> = {
  'tar.zst': 'application/zstd',
  'tar.gz': 'application/gzip',
  tar: 'application/x-tar',
}
const FILE_BYTES = 64 * 1024 ** 2

/**
 * Sends a large upload (`uploads [MiB=2048] [format=tar.zst] [windowLog]`) to a daemon and prints how fast it was, the most memory that the
 * daemon held before and after, and how long a probe waited for its answer meanwhile.
 */
export async function run(args: readonly string[] = []): Promise<void> {
  const mebibytes = Number(args[0] ?? 2048)
  const format = args[1] ?? 'tar.zst'
  const daemon = await startDaemon()
  try {
    const service = await createService(daemon.api)
    const idle = await peakMebibytes(daemon.pid)
    const probing = new AbortController()
    const waits = probe(daemon.api, probing.signal)
    const startedAt = performance.now()
    const answer = await send(`${daemon.api}/v1/services/${service}/uploads`, format, mebibytes, args[2])
    const seconds = (performance.now() - startedAt) / 1000
    probing.abort()
    const sorted = (await waits).toSorted((a, b) => a - b)
    console.log(`${format} of ${mebibytes} MiB: ${answer}`)
    console.log(
      `${seconds.toFixed(1)} s, ${(mebibytes / seconds).toFixed(0)} MiB/s; peak RSS ${await peakMebibytes(daemon.pid)} MiB (${idle} before); ` +
        `/healthz p99 ${(sorted[Math.floor(sorted.length * 0.99)] ?? 0).toFixed(0)} ms, longest ${(sorted.at(-1) ?? 0).toFixed(0)} ms`,
    )
  } finally {
    await daemon.stop()
  }
}

/** A daemon with the settings of Node that `npm start` and the unit give it. */
async function startDaemon() {
  const dataDir = await mkdtemp(join(tmpdir(), 'berth-bench-'))
  const file = join(dataDir, 'empty.toml')
  await writeFile(file, '')
  const child = spawn(process.execPath, [...START_SETTINGS.execArgv, MAIN, 'daemon'], {
    env: {
      PATH: process.env['PATH'],
      HOME: dataDir,
      ...START_SETTINGS.env,
      BERTH_DATA_DIR: dataDir,
      BERTH_CONFIG_FILE: file,
      BERTH_BIND: '127.0.0.1:0',
      BERTH_HTTP_BIND: '127.0.0.1',
      BERTH_HTTP_PORT: '0',
      BERTH_HTTPS_PORT: '0',
      BERTH_ADMIN_TOKEN: TOKEN,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const api = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const entry = JSON.parse(line) as { msg?: string; api: string }
      if (entry.msg === 'Berth is ready') resolve(entry.api)
    })
    child.once('exit', (code) => reject(new Error(`the daemon ended with ${code}`)))
  })
  const stop = async (): Promise<void> => {
    const exited = once(child, 'exit')
    child.kill()
    await exited
    await rm(dataDir, { recursive: true, force: true })
  }
  return { api, pid: child.pid ?? 0, stop }
}

async function createService(api: string): Promise<string> {
  const response = await fetch(`${api}/v1/services`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'bench', source: { type: 'upload' } }),
  })
  if (!response.ok) throw new Error(await response.text())
  return ((await response.json()) as { id: string }).id
}

async function peakMebibytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024)
}

/** How long each of many small requests waited, in milliseconds. */
async function probe(api: string, signal: AbortSignal): Promise<number[]> {
  const waits: number[] = []
  while (!signal.aborted) {
    const startedAt = performance.now()
    await (await fetch(`${api}/healthz`)).text()
    waits.push(performance.now() - startedAt)
    await delay(20)
  }
  return waits
}

async function send(url: string, format: string, mebibytes: number, windowLog?: string): Promise<string> {
  const sender = request(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': TYPES[format] },
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
