import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { START_SETTINGS } from '../support/start-settings.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const TOKEN = 'the-install-admin-token-of-a-bench'

/** Prints the resident memory of an idle control plane that knows some services (20 unless the argument says), and of each ingress process. */
export async function run([count = '20']: string[]): Promise<void> {
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
  try {
    const api = await new Promise<string>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const entry = JSON.parse(line) as { msg?: string; api: string }
        if (entry.msg === 'Berth is ready') resolve(entry.api)
      })
    })
    for (let index = 0; index < Number(count); index += 1) {
      const response = await fetch(`${api}/v1/services`, {
        method: 'POST',
        headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          name: `service-${index}`,
          source: { type: 'upload' },
          env: { NAME: 'value' },
        }),
      })
      if (response.status !== 201) throw new Error(await response.text())
    }
    for (const seconds of [1, 10, 30]) {
      await delay(seconds * 1000)
      console.log(
        `${await rssMiB(child.pid ?? 0)} MiB control plane with ${count} services, ${seconds} s later`,
      )
    }
    for (const pid of await workersOf(dataDir)) console.log(`${await rssMiB(pid)} MiB ingress process ${pid}`)
  } finally {
    child.kill('SIGINT')
    await new Promise((resolve) => child.once('exit', resolve))
    await rm(dataDir, { recursive: true, force: true })
  }
}

async function rssMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024)
}

async function workersOf(dataDir: string): Promise<number[]> {
  const { stdout } = await promisify(execFile)('pgrep', ['-f', `worker-main.*${dataDir}`])
  return stdout.split('\n').filter(Boolean).map(Number)
}
