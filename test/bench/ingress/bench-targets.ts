import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CertificatePair } from '../../../src/ingress/contract/certificate-file.ts'
import { createIngress, type Ingress } from '../../../src/modules/ingress/ingress-control.ts'
import { freePort, pinned, pinProxy, start, system, untilListening } from './bench-process.ts'

/** A proxy in the comparison, in front of the same application. */
export interface Target {
  name: string
  port: number
  tlsPort: number
  /** Whose processor time and memory count. */
  pid: number
}

/** The application, and the names that the proxies answer to, each with its certificate. */
export interface Bench {
  directory: string
  application: number
  certificates: ReadonlyMap<string, CertificatePair>
}

const KEEP_ALIVE = 'keepalive_requests 1000000000; keepalive_timeout 3600;'

/** Writes every certificate to a file `<n>.pem` with its key in it, as all of them take it. */
async function writePems(directory: string, bench: Bench): Promise<[hostname: string, file: string][]> {
  await mkdir(directory, { recursive: true })
  const files: [string, string][] = []
  for (const [hostname, { chain_pem, key_pem }] of bench.certificates) {
    const file = join(directory, `${files.length}.pem`)
    await writeFile(file, chain_pem + key_pem)
    files.push([hostname, file])
  }
  return files
}

export async function startBerth(
  stack: AsyncDisposableStack,
  bench: Bench,
): Promise<Target & { ingress: Ingress }> {
  const log = { info: () => {}, warn: () => {}, error: () => {} }
  const ingress = createIngress({
    system,
    log,
    dataDir: join(bench.directory, 'berth'),
    bindAddress: '127.0.0.1',
    httpPort: 0,
    httpsPort: 0,
    workers: 1,
    trustedProxies: [],
  })
  await ingress.start()
  stack.defer(() => ingress.stop({ keepWorkers: false }))
  const upstream = {
    id: 'replica',
    address: '127.0.0.1',
    port: bench.application,
    deployment_id: 'deployment',
  }
  const entries: { hostname: string; certificate_id: string }[] = []
  for (const [hostname, pair] of bench.certificates)
    entries.push({ hostname, certificate_id: await ingress.certificates.write(pair) })
  await ingress.publishCertificates(entries)
  await ingress.publish(
    entries.map(({ hostname }) => ({
      hostname,
      label: 'demo/app',
      service_id: 'service',
      upstreams: [upstream],
    })),
  )
  const { http_port: port, https_port: tlsPort, workers } = await ingress.status()
  const pid = workers[0]?.pid ?? 0
  await pinProxy(pid)
  return { name: 'berth', port, tlsPort, pid, ingress }
}

export async function startCaddy(stack: AsyncDisposableStack, bench: Bench): Promise<Target> {
  const [port, tlsPort] = [await freePort(), await freePort()]
  const directory = join(bench.directory, 'caddy')
  const files = await writePems(directory, bench)
  const proxy = `\treverse_proxy 127.0.0.1:${bench.application} {\n\t\ttransport http {\n\t\t\tkeepalive_idle_conns_per_host 256\n\t\t}\n\t}\n`
  const sites = files.map(
    ([hostname, file]) => `https://${hostname}:${tlsPort} {\n\ttls ${file} ${file}\n${proxy}}\n`,
  )
  const file = join(directory, 'Caddyfile')
  await writeFile(
    file,
    `{\n\tadmin off\n\tauto_https off\n}\nhttp://:${port} {\n${proxy}}\n${sites.join('')}`,
  )
  const command = ['caddy', 'run', '--config', file, '--adapter', 'caddyfile']
  const child = start(stack, pinned(0, command), { HOME: directory, GOMAXPROCS: '1' })
  await untilListening(tlsPort, child)
  return { name: 'caddy', port, tlsPort, pid: child.pid ?? 0 }
}

export async function startProxyingNginx(stack: AsyncDisposableStack, bench: Bench): Promise<Target> {
  const [port, tlsPort] = [await freePort(), await freePort()]
  const files = await writePems(join(bench.directory, 'nginx-pems'), bench)
  const location =
    'client_max_body_size 0; location / { proxy_http_version 1.1; proxy_set_header Connection $connection_upgrade; ' +
    'proxy_set_header Upgrade $http_upgrade; proxy_request_buffering off; proxy_buffering on; proxy_max_temp_file_size 0; ' +
    'proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; ' +
    'proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Request-Id $request_id; proxy_pass http://application; }'
  const servers = files.map(
    ([hostname, file]) =>
      `server { listen 127.0.0.1:${tlsPort} ssl http2; server_name ${hostname}; ${KEEP_ALIVE} http2_max_requests 1000000000; ` +
      `ssl_certificate ${file}; ssl_certificate_key ${file}; ${location} }\n`,
  )
  const config =
    "map $http_upgrade $connection_upgrade { default upgrade; '' ''; }\n" +
    'server_names_hash_max_size 16384; server_names_hash_bucket_size 128; ' +
    'ssl_session_cache shared:s:4m; ssl_session_tickets on;\n' +
    `upstream application { server 127.0.0.1:${bench.application}; keepalive 256; }\n` +
    `server { listen 127.0.0.1:${port} default_server; ${KEEP_ALIVE} ${location} }\n${servers.join('')}`
  const pid = await startNginx(stack, join(bench.directory, 'nginx'), 0, { port: tlsPort, config })
  return { name: 'nginx', port, tlsPort, pid }
}

export async function startHaproxy(stack: AsyncDisposableStack, bench: Bench): Promise<Target> {
  const [port, tlsPort] = [await freePort(), await freePort()]
  const pems = join(bench.directory, 'haproxy-pems')
  await writePems(pems, bench)
  const file = join(bench.directory, 'haproxy.cfg')
  await writeFile(
    file,
    'global\n  nbthread 1\n  maxconn 8000\n  tune.ssl.default-dh-param 2048\n' +
      'defaults\n  mode http\n  option http-keep-alive\n  http-reuse always\n  timeout client 1h\n  timeout server 1h\n' +
      '  timeout connect 5s\n  timeout tunnel 1h\n' +
      `frontend f\n  bind 127.0.0.1:${port}\n  bind 127.0.0.1:${tlsPort} ssl crt ${pems} alpn h2,http/1.1\n` +
      '  option forwardfor\n  http-request set-header X-Forwarded-Proto https if { ssl_fc }\n' +
      '  http-request set-header X-Request-Id %[uuid()]\n  default_backend b\n' +
      `backend b\n  server a 127.0.0.1:${bench.application} pool-max-conn 256\n`,
  )
  const child = start(stack, pinned(0, ['haproxy', '-db', '-f', file]))
  await untilListening(tlsPort, child)
  return { name: 'haproxy', port, tlsPort, pid: child.pid ?? 0 }
}

/** The application: nginx on the other core, with a small answer and a file of `bigBytes`. */
export async function startApplication(
  stack: AsyncDisposableStack,
  directory: string,
  root: string,
): Promise<number> {
  const port = await freePort()
  const answer = 'hello, this is the small answer of an application'
  await startNginx(stack, join(directory, 'application'), 1, {
    port,
    config:
      `server { listen 127.0.0.1:${port}; ${KEEP_ALIVE} client_max_body_size 0; ` +
      `location / { default_type text/plain; return 200 "${answer}"; } location /big { root ${root}; } }\n`,
  })
  return port
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
    `daemon off; master_process off; pid ${directory}/pid; error_log /dev/null;\n` +
      'worker_rlimit_nofile 65536;\nevents { worker_connections 16384; }\n' +
      `http { access_log off; sendfile on; ${temporary}\n${config}}\n`,
  )
  const child = start(stack, pinned(core, ['nginx', '-c', file, '-p', directory]))
  await untilListening(port, child)
  return child.pid ?? 0
}
