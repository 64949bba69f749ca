import type { Server as NetServer, Socket } from 'node:net'
import type { CertificateIndex } from '../tls/certificate-index.ts'
import type { Http1Connection } from '../http1/http1-connection.ts'
import { createHttp1Front } from '../http1/http1-front.ts'
import { createHttp2Front } from '../http2/http2-front.ts'
import { Peer } from '../connections/peer.ts'
import { PendingConnections } from '../connections/pending-connections.ts'
import { createProxyFront, ProxiedPeers } from '../connections/proxy-front.ts'
import { createTlsFront, type TlsFront } from '../tls/tls-front.ts'
import type { WorkerContext } from './worker-context.ts'

/** What a worker does on its ports. */
export interface Proxy {
  readonly tls: TlsFront
  /** For connections without TLS and with it; the caller makes them listen. */
  readonly listeners: { readonly http: NetServer; readonly https: NetServer }
  /** Open client connections, upgraded ones among them and those whose handshake or PROXY header is awaited. */
  openConnections(): number
  /** Looks at every deadline. */
  tick(): void
  /** Takes no new connections; answers from now on ask clients to close theirs. */
  beginDrain(): void
  /** Closes connections that carry no request. */
  closeIdle(): void
  /** Cuts off what is left of ordinary requests, or of upgraded connections. */
  closeRequests(): void
  closeUpgraded(): void
}

/** Who may say whom he speaks for, and how. */
export interface Trust {
  /** By forwarding header fields. */
  isTrusted: (address: string) => boolean
  /** By the PROXY protocol. */
  sendsProxyHeader: (address: string) => boolean
  /** There is anybody who does. */
  expectsProxyHeaders: boolean
}

/** Builds the servers that pass requests on to replicas; the caller makes them listen. */
export function createProxy(context: WorkerContext, certificates: CertificateIndex, trust: Trust): Proxy {
  const pending = new PendingConnections()
  const proxied = new ProxiedPeers(trust.sendsProxyHeader)
  /** A connection that was reset before it was accepted has no address: it is nobody's, and no rule could refuse it. */
  const peerOf = (socket: Socket): Peer | undefined => {
    const address = proxied.addressOf(socket)
    return address === undefined ? undefined : new Peer(address, 'encrypted' in socket, trust.isTrusted)
  }
  const http1 = createHttp1Front(context, peerOf)
  const http2 = createHttp2Front(context, peerOf)
  const tls = createTlsFront(context, certificates, pending, { http1: http1.accept, http2: http2.accept })
  const clients = http1.connections

  const front = (each: NetServer, allowHalfOpen: boolean): NetServer =>
    trust.expectsProxyHeaders ? createProxyFront(context, proxied, pending, each, allowHalfOpen) : each
  const listeners = { http: front(http1.server, true), https: front(tls.server, false) }

  return {
    tls,
    listeners,
    openConnections: () => clients.size + http2.openSessions() + pending.size,
    tick: () => {
      tick(context, clients)
      contain(context, () => http2.tick(context.clock.now))
    },
    beginDrain: () => {
      context.draining = true
      for (const each of [listeners.http, listeners.https]) each.close()
      http2.beginDrain()
    },
    closeIdle: () => {
      // One whose handshake has just ended is about to send its first request.
      const openedBefore = context.clock.now - context.limits.drain_idle_ms
      for (const client of clients)
        if (client.idle && client.openedAt <= openedBefore && client.socket.writableLength === 0)
          client.destroy()
      http2.closeIdle()
    },
    closeRequests: () => {
      pending.closeAll()
      close(clients, false)
      http2.closeRequests()
    },
    closeUpgraded: () => {
      close(clients, true)
      http2.closeUpgraded()
    },
  }
}

function tick(context: WorkerContext, clients: ReadonlySet<Http1Connection>): void {
  const { clock, limits } = context
  const elapsed = context.system.monotonic() - clock.real
  const stalled = elapsed > 2 * limits.tick_ms
  clock.real += elapsed
  // While this process stood still, answers were waiting to be read: that time is nobody's fault.
  clock.now += stalled ? limits.tick_ms : elapsed
  const { now } = clock
  for (const upstream of context.routes.states()) {
    upstream.closeExpired(stalled ? Number.POSITIVE_INFINITY : now)
    for (const { user } of upstream.connections) contain(context, () => user?.tick(now))
  }
  for (const client of clients) contain(context, () => client.tick(now))
  context.holds.tick(now)
  context.routes.sweep()
}

function close(clients: ReadonlySet<Http1Connection>, upgraded: boolean): void {
  for (const client of clients) if (client.upgraded === upgraded) client.socket.destroy()
}

function contain(context: WorkerContext, run: () => void): void {
  try {
    run()
  } catch (error) {
    context.caught(error)
  }
}
