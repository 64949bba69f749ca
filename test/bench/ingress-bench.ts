import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createSystem } from '../../src/lib/system.ts'
import { createIngress } from '../../src/modules/ingress/ingress-control.ts'

const HOST = 'app.demo.localhost'
const ANSWER = 'hello, this is the small answer of an application'
const KEEP_ALIVE = 'keepalive_requests 1000000000; keepalive_timeout 3600;'
const system = createSystem()
const run1 = promisify(execFile)

/** A proxy in the comparison. */
interface Target {
  name: string
  port: number
  /** Whose processor time and memory count. */
  pid: number
}

interface Sample {
  perSecond: number
  p50Ms: number
  p99Ms: number
  cpuMicros: number
  rssMib: number
}

/**
 * `npm run bench -- ingress [rounds] [seconds]`: small requests on keep-alive connections through one worker of Berth, Caddy and
 * nginx, in turns, each alone on the first core; wrk and the application have the second.
 */
export async function run(args: string[]): Promise<void> {
  const rounds = Number(args[0] ?? 5)
  const seconds = Number(args[1] ?? 4)
  const directory = await mkdtemp(join(tmpdir(), 'berth-bench-'))
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const application = await freePort()
  await startNginx(stack, join(directory, 'application'), 1, applicationConfig(application))
  const targets = [
    await startBerth(stack, directory, application),
    await startCaddy(stack, directory, application),
    await startProxyingNginx(stack, directory, application),
  ]
  const samples = new Map<string, Sample[]>(targets.map(({ name }) => [name, []]))
  // The first turn warms every one up and is thrown away.
  for (let round = 0; round <= rounds; round += 1) {
    for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
      const sample = await measure(target, seconds)
      if (round > 0) samples.get(target.name)?.push(sample)
    }
  }
  report(samples)
}

function report(samples: ReadonlyMap<string, Sample[]>): void {
  console.log('small requests on 64 keep-alive connections, one core each, medians')
  console.log('proxy      requests/s   p50 ms   p99 ms   CPU us/request   RSS MiB')
  for (const [name, all] of samples) {
    const of = (pick: (sample: Sample) => number, digits: number, width: number): string =>
      median(all.map(pick)).toFixed(digits).padStart(width)
    console.log(
      name.padEnd(10) +
        of((each) => each.perSecond, 0, 11) +
        of((each) => each.p50Ms, 2, 9) +
        of((each) => each.p99Ms, 2, 9) +
        of((each) => each.cpuMicros, 1, 17) +
        of((each) => each.rssMib, 0, 10),
    )
  }
  const berth = samples.get('berth') ?? []
  for (const [name, all] of samples) {
    if (name === 'berth') continue
    const ratios = berth.map((each, index) => each.perSecond / (all[index]?.perSecond ?? Number.NaN))
    const cpu = berth.map((each, index) => (all[index]?.cpuMicros ?? Number.NaN) / each.cpuMicros)
    console.log(
      `berth / ${name}: ${median(ratios).toFixed(2)} by requests/s, ${median(cpu).toFixed(2)} by CPU a request ` +
        `(${ratios.map((each) => each.toFixed(2)).join(' ')})`,
    )
  }
}

async function measure(target: Target, seconds: number): Promise<Sample> {
  const cpuBefore = await cpuMsOf(target.pid)
  const url = `http://127.0.0.1:${target.port}/`
  const wrk = ['wrk', '-t1', '-c64', `-d${seconds}s`, '--latency', '-H', `Host: ${HOST}`, url]
  const [program = '', ...rest] = pinned(1, wrk)
  const { stdout } = await run1(program, rest)
  const cpuMs = (await cpuMsOf(target.pid)) - cpuBefore
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`${target.name} failed:\n${stdout}`)
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1])
  return {
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
    p50Ms: latencyMs(stdout, '50%'),
    p99Ms: latencyMs(stdout, '99%'),
    cpuMicros: (cpuMs * 1000) / requests,
    rssMib: Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${target.pid}/status`, 'utf8'))?.[1]) / 1024,
  }
}

function latencyMs(output: string, percentile: string): number {
  const [, number = '', unit = ''] = new RegExp(`${percentile}\\s+([\\d.]+)(us|ms|s)`).exec(output) ?? []
  return Number(number) * ({ us: 0.001, ms: 1, s: 1000 }[unit] ?? Number.NaN)
}

/** User and system time in milliseconds; the kernel counts in hundredths of a second. */
async function cpuMsOf(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

function pinned(core: number, command: readonly string[]): string[] {
  return availableParallelism() > 1 ? ['taskset', '-c', String(core), ...command] : [...command]
}

async function startBerth(
  stack: AsyncDisposableStack,
  directory: string,
  application: number,
): Promise<Target> {
  const log = { info: () => {}, warn: () => {}, error: () => {} }
  const ingress = createIngress({
    system,
    log,
    dataDir: join(directory, 'berth'),
    bindAddress: '127.0.0.1',
    httpPort: 0,
    httpsPort: 0,
    workers: 1,
    trustedProxies: [],
  })
  await ingress.start()
  stack.defer(() => ingress.stop({ keepWorkers: false }))
  const upstream = { id: 'replica', address: '127.0.0.1', port: application, deployment_id: 'deployment' }
  await ingress.publish([{ hostname: HOST, label: 'demo/app', service_id: 'service', upstreams: [upstream] }])
  const { http_port: port, workers } = await ingress.status()
  const pid = workers[0]?.pid ?? 0
  if (availableParallelism() > 1) await run1('taskset', ['-a', '-cp', '0', String(pid)])
  return { name: 'berth', port, pid }
}

async function startCaddy(
  stack: AsyncDisposableStack,
  directory: string,
  application: number,
): Promise<Target> {
  const port = await freePort()
  const file = join(directory, 'Caddyfile')
  await writeFile(
    file,
    `{\n\tadmin off\n\tauto_https off\n}\nhttp://:${port} {\n\treverse_proxy 127.0.0.1:${application} {\n` +
      '\t\ttransport http {\n\t\t\tkeepalive_idle_conns_per_host 256\n\t\t}\n\t}\n}\n',
  )
  const command = ['caddy', 'run', '--config', file, '--adapter', 'caddyfile']
  const child = start(stack, pinned(0, command), { HOME: directory, GOMAXPROCS: '1' })
  await untilListening(port, child)
  return { name: 'caddy', port, pid: child.pid ?? 0 }
}

async function startProxyingNginx(
  stack: AsyncDisposableStack,
  directory: string,
  application: number,
): Promise<Target> {
  const port = await freePort()
  const config =
    `upstream application { server 127.0.0.1:${application}; keepalive 256; }\n` +
    `server { listen 127.0.0.1:${port}; ${KEEP_ALIVE} location / { proxy_http_version 1.1; proxy_set_header Connection ""; ` +
    'proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto http; ' +
    'proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Request-Id $request_id; proxy_pass http://application; } }\n'
  const pid = await startNginx(stack, join(directory, 'nginx'), 0, { port, config })
  return { name: 'nginx', port, pid }
}

function applicationConfig(port: number): { port: number; config: string } {
  const location = `location / { default_type text/plain; return 200 "${ANSWER}"; }`
  return { port, config: `server { listen 127.0.0.1:${port}; ${KEEP_ALIVE} ${location} }\n` }
}

/** Starts nginx in one process and gives its pid. */
async function startNginx(
  stack: AsyncDisposableStack,
  directory: string,
  core: number,
  { port, config }: { port: number; config: string },
): Promise<number> {
  await mkdir(directory)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${directory}/${name};`)
    .join(' ')
  const file = join(directory, 'nginx.conf')
  await writeFile(
    file,
    `daemon off; master_process off; pid ${directory}/pid; error_log /dev/null;\nevents { worker_connections 4096; }\n` +
      `http { access_log off; ${temporary}\n${config}}\n`,
  )
  const child = start(stack, pinned(core, ['nginx', '-c', file, '-p', directory]), {})
  await untilListening(port, child)
  return child.pid ?? 0
}

/** taskset replaces itself by the command, so that the pid is the command's. */
function start(stack: AsyncDisposableStack, command: string[], env: Record<string, string>): ChildProcess {
  const [program = '', ...args] = command
  const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  const child = spawn(program, args, { env: { PATH: path, ...env }, stdio: 'ignore' })
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  return child
}

async function untilListening(port: number, child: ChildProcess): Promise<void> {
  for (let looks = 0; looks < 500; looks += 1) {
    if (child.exitCode !== null) {
      throw new Error(
        `${child.spawnargs.join(' ')} ended. The comparison needs Debian's caddy, nginx-light and wrk: ` +
          'apt-get install --no-install-recommends caddy nginx-light wrk',
      )
    }
    if (await answers(port)) return
    await system.sleep(20)
  }
  throw new Error(`Nothing listens on port ${port}.`)
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('No port was given.')
  return address.port
}
