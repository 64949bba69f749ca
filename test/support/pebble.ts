import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { waitFor } from './wait.ts'

const run = promisify(execFile)

export interface PebbleOptions {
  /** Where it fetches the proofs of HTTP-01. */
  httpPort: number
  dnsServer: string
  /** How long its certificates are good. */
  validSeconds?: number
  /** Share of good nonces that it refuses, in per cent. */
  nonceRejectPercent?: number
  external?: { kid: string; hmacKey: string }
}

export interface Pebble {
  directoryUrl: string
  /** What the daemon must trust to speak to it. */
  caFile: string
  /** Its own certificate for localhost, and the authority of that. */
  tls: { cert: string; key: string; ca: string }
  /** The root of the certificates that it issues now: a new one at each start. */
  root(): Promise<string>
  /** Its answer to a question about a certificate: `Valid` or `Revoked`. */
  statusOf(serial: string): Promise<string>
  stop(): Promise<void>
  start(): Promise<void>
}

/** A real ACME server for one test, on ports of its own. */
export async function startPebble(t: Test, options: PebbleOptions): Promise<Pebble> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-pebble-'))
  const caFile = join(directory, 'ca.pem')
  tls ??= makeCertificate()
  const { ca, cert, key } = await tls
  await writeFile(caFile, ca)
  await writeFile(join(directory, 'server.pem'), cert)
  await writeFile(join(directory, 'server.key'), key)
  const [port, managementPort] = await freePorts(2)
  await writeFile(
    join(directory, 'config.json'),
    JSON.stringify({
      pebble: {
        listenAddress: `127.0.0.1:${port}`,
        managementListenAddress: `127.0.0.1:${managementPort}`,
        certificate: join(directory, 'server.pem'),
        privateKey: join(directory, 'server.key'),
        httpPort: options.httpPort,
        tlsPort: 1,
        externalAccountBindingRequired: options.external !== undefined,
        ...(options.external && {
          externalAccountMACKeys: { [options.external.kid]: options.external.hmacKey },
        }),
        certificateValidityPeriod: options.validSeconds ?? 90 * 86_400,
      },
    }),
  )
  let child: ChildProcess | undefined
  const get = (url: string) => fetchTrusting(url, ca)
  const pebble: Pebble = {
    directoryUrl: `https://localhost:${port}/dir`,
    caFile,
    tls: { cert, key, ca },
    root: () => get(`https://localhost:${managementPort}/roots/0`),
    statusOf: async (serial) =>
      (
        JSON.parse(await get(`https://localhost:${managementPort}/cert-status-by-serial/${serial}`)) as {
          Status: string
        }
      ).Status,
    start: async () => {
      child = spawn('pebble', ['-config', join(directory, 'config.json'), '-dnsserver', options.dnsServer], {
        cwd: directory,
        stdio: 'ignore',
        env: {
          PATH: process.env['PATH'],
          PEBBLE_VA_NOSLEEP: '1',
          PEBBLE_WFE_NONCEREJECT: String(options.nonceRejectPercent ?? 0),
        },
      })
      await waitFor('pebble answers', () => get(pebble.directoryUrl).catch(() => undefined), 20_000)
    },
    stop: async () => {
      if (!child || child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
  t.teardown(async () => {
    await pebble.stop()
    await rm(directory, { recursive: true, force: true })
  })
  await pebble.start()
  return pebble
}

let tls: Promise<Pebble['tls']> | undefined

/** An authority and a certificate of it for localhost, one for all of a process: Debian's package brings none. */
async function makeCertificate(): Promise<Pebble['tls']> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-pebble-'))
  try {
    const openssl = (line: string) => run('openssl', line.split(' '), { cwd: directory })
    const newKey = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
    await openssl(`req -x509 ${newKey} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem`)
    await openssl(`req ${newKey} -subj /CN=localhost -keyout server.key -out server.csr`)
    await writeFile(join(directory, 'names'), 'subjectAltName=DNS:localhost')
    const signed = '-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names'
    await openssl(`x509 -req -in server.csr ${signed} -out server.pem`)
    const read = (name: string) => readFile(join(directory, name), 'utf8')
    return { ca: await read('ca.pem'), cert: await read('server.pem'), key: await read('server.key') }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Ports that nobody listened on a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  for (const server of servers) server.close()
  return ports
}

async function fetchTrusting(url: string, ca: string): Promise<string> {
  const asked = request(url, { ca, agent: false, signal: AbortSignal.timeout(2000) })
  asked.end()
  const [response] = (await once(asked, 'response')) as [NodeJS.ReadableStream & { statusCode: number }]
  const body = await text(response)
  if (response.statusCode !== 200) throw new Error(`${url}: ${response.statusCode} ${body}`)
  return body
}
