import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer as createHttpServer, type RequestListener, type Server as HttpServer } from 'node:http'
import {
  createServer as createHttp2Server,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import {
  CERTIFICATES_DIRECTORY,
  type CertificatePair,
} from '../../../src/ingress/contract/certificate-file.ts'
import { CertificateIndex } from '../../../src/ingress/tls/certificate-index.ts'
import type { CertificateEntry } from '../../../src/ingress/contract/certificate-table.ts'
import { createAddressList } from '../../../src/lib/address-list.ts'
import { DEFAULT_LIMITS, type IngressLimits } from '../../../src/ingress/contract/limits.ts'
import { createProxy, type Proxy } from '../../../src/ingress/worker/proxy.ts'
import { RouteIndex } from '../../../src/ingress/routing/route-index.ts'
import type { Route, Upstream } from '../../../src/ingress/contract/route-table.ts'
import { createWorkerContext, type WorkerContext } from '../../../src/ingress/worker/worker-context.ts'
import { createSystem } from '../../../src/lib/system.ts'
import { createCertificateFiles } from '../../../src/modules/ingress/certificate-files.ts'

export const HOST = 'app.demo.localhost'

export interface RunningProxy {
  port: number
  proxy: Proxy
  context: WorkerContext
  /** For TLS. */
  tlsPort: number
  publish(...routes: Route[]): void
  certify(certificates: Record<string, CertificatePair>): Promise<void>
}

export interface ProxyOptions {
  limits?: Partial<IngressLimits>
  trusted?: string[]
  proxyProtocolPeers?: string[]
  /** By hostname, as in a CertificateSet. */
  certificates?: Record<string, CertificatePair>
}

/** The data plane's HTTP side in this process, on a real port, with its deadlines looked at often. */
export async function startProxy(t: Test, options: ProxyOptions = {}): Promise<RunningProxy> {
  const system = createSystem()
  const limits = { ...DEFAULT_LIMITS, tick_ms: 20, ...options.limits }
  const context = createWorkerContext(system, limits, () => {}, new RouteIndex())
  const directory = await mkdtemp(join(tmpdir(), 'berth-proxy-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const key = system.randomBytes(32)
  const certificates = new CertificateIndex({ directory, key, log: context.log, maxContexts: 4 })
  const proxy = createProxy(context, certificates, {
    isTrusted: createAddressList(options.trusted ?? []),
    sendsProxyHeader: createAddressList(options.proxyProtocolPeers ?? []),
    expectsProxyHeaders: options.proxyProtocolPeers !== undefined,
  })
  for (const server of [proxy.listeners.http, proxy.listeners.https]) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  context.httpsPort = portOf(proxy.listeners.https)
  proxy.tls.useTicketKeys([system.randomBytes(48)])
  const stop = new AbortController()
  const ticking = keepTicking(proxy, limits.tick_ms, stop.signal)
  let version = 0
  const files = createCertificateFiles(directory, () => key)
  await mkdir(join(directory, CERTIFICATES_DIRECTORY))
  const certify = async (pairs: Record<string, CertificatePair>): Promise<void> => {
    const entries: CertificateEntry[] = []
    for (const [hostname, pair] of Object.entries(pairs))
      entries.push({ hostname, certificate_id: await files.write(pair) })
    certificates.replace({ version: certificates.version + 1, certificates: entries })
    await proxy.tls.certificatesChanged()
  }
  await certify(options.certificates ?? {})
  t.teardown(async () => {
    stop.abort()
    await ticking
    proxy.beginDrain()
    proxy.closeRequests()
    proxy.closeUpgraded()
    for (const upstream of context.routes.states()) for (const each of upstream.connections) each.destroy()
  })
  return {
    port: portOf(proxy.listeners.http),
    tlsPort: portOf(proxy.listeners.https),
    certify,
    proxy,
    context,
    publish: (...routes) => {
      version += 1
      context.routes.replace({ version, routes })
    },
  }
}

async function keepTicking(proxy: Proxy, everyMs: number, signal: AbortSignal): Promise<void> {
  const system = createSystem()
  while (!signal.aborted) {
    proxy.tick()
    await system.sleep(everyMs, signal).catch(() => {})
  }
}

export function portOf(server: Server | HttpServer | Http2Server): number {
  return (server.address() as AddressInfo).port
}

/** A replica that speaks bytes: `serve` gets each connection. */
export async function startRawReplica(
  t: Test,
  serve: (socket: Socket, index: number) => void,
): Promise<number> {
  const sockets = new Set<Socket>()
  let count = 0
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    serve(socket, count)
    count += 1
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return portOf(server)
}

/** A replica that answers every request with the same bytes, however they are wrong. */
export async function startCannedReplica(t: Test, response: string, thenClose = false): Promise<number> {
  return await startRawReplica(t, (socket) => {
    let text = ''
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1')
      if (!text.includes('\r\n\r\n')) return
      text = ''
      socket.write(response, 'latin1')
      if (thenClose) socket.end()
    })
  })
}

/** A replica that speaks HTTP. */
export async function startReplica(t: Test, listener: RequestListener): Promise<number> {
  const server = createHttpServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return portOf(server)
}

/** A server of gRPC's kind: HTTP/2 without TLS. */
export async function startH2c(
  t: Test,
  serve: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
): Promise<number> {
  const server = createHttp2Server()
  const sessions = new Set<{ destroy(): void }>()
  server.on('session', (session) => sessions.add(session))
  server.on('stream', serve)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  return portOf(server)
}

/** A port on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = portOf(server)
  server.close()
  await once(server, 'close')
  return port
}

export function route(hostname: string, ...ports: number[]): Route {
  const upstreams = ports.map(upstream)
  return { hostname, label: `demo/${hostname}`, service_id: 'service', upstreams }
}

export function upstream(port: number): Upstream {
  return { id: `replica-${port}`, address: '127.0.0.1', port, deployment_id: 'deployment' }
}

/** A client that speaks bytes. */
export class RawClient {
  readonly socket: Socket
  text = ''
  closed = false
  private readonly wakers: (() => void)[] = []

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.text += text
      this.wake()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.closed = true
      this.wake()
    })
  }

  static async open(t: Test, port: number): Promise<RawClient> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    const client = new RawClient(socket)
    t.teardown(() => socket.destroy())
    return client
  }

  send(text: string): void {
    this.socket.write(text, 'latin1')
  }

  /** Resolves with everything received once `done` holds; rejects when the connection closes before. */
  async until(done: (text: string) => boolean): Promise<string> {
    while (!done(this.text)) {
      if (this.closed) throw new Error(`closed after ${JSON.stringify(this.text)}`)
      await this.change()
    }
    return this.text
  }

  /** Everything until the other side closes. */
  async rest(): Promise<string> {
    while (!this.closed) await this.change()
    return this.text
  }

  /** One whole response with a Content-Length, taken off the received text. */
  async response(): Promise<string> {
    await this.until((text) => lengthOfResponse(text) !== undefined)
    const length = lengthOfResponse(this.text) ?? 0
    const response = this.text.slice(0, length)
    this.text = this.text.slice(length)
    return response
  }

  private async change(): Promise<void> {
    await new Promise<void>((resolve) => this.wakers.push(resolve))
  }

  private wake(): void {
    for (const waker of this.wakers.splice(0)) waker()
  }
}

function lengthOfResponse(text: string): number | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const head = text.slice(0, end + 4)
  const length = end + 4 + Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
  return text.length >= length ? length : undefined
}

/** Sends bytes and gives everything that comes until the other side closes. */
export async function exchangeRaw(t: Test, port: number, text: string): Promise<string> {
  const client = await RawClient.open(t, port)
  client.send(text)
  return await client.rest()
}

/** A GET that closes its connection, with more header lines. */
export function get(path: string, host = HOST, lines = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${lines}\r\n`
}

export function statusOf(response: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(response)?.[1])
}

/** The value of a header field, by its exact name; undefined when there is none. */
export function headerOf(response: string, name: string): string | undefined {
  return new RegExp(`\\r\\n${name}: ([^\\r]*)\\r\\n`).exec(response)?.[1]
}

export function bodyOf(response: string): string {
  return response.slice(response.indexOf('\r\n\r\n') + 4)
}

/** Waits until `holds` is true, looking again after short pauses. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  const system = createSystem()
  while (!(await holds())) await system.sleep(5)
}

/** A promise with its resolver outside. */
export function gate<T = void>(): { opened: Promise<T>; open: (value: T) => void } {
  const { promise, resolve } = Promise.withResolvers<T>()
  return { opened: promise, open: resolve }
}
