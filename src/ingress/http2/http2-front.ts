import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { passOn } from '../exchange/admission.ts'
import { ConnectionNames } from '../tls/connection-names.ts'
import { countAnswer } from '../exchange/answer.ts'
import { Http2Answer } from './http2-answer.ts'
import { Http2Arrivals } from './http2-arrivals.ts'
import { createStreamSource, type Trailers, watchTrailers } from './http2-body.ts'
import { Http2Client } from './http2-client.ts'
import { readHttp2Head } from './http2-request-head.ts'
import { Http2Tunnel } from './http2-tunnel.ts'
import type { Incoming } from '../exchange/incoming.ts'
import type { IngressLimits } from '../contract/limits.ts'
import { errorAnswer } from '../exchange/local-answer.ts'
import type { Peer } from '../connections/peer.ts'
import { RequestBody } from '../exchange/request-body.ts'
import type { RequestHead } from '../messages/request-head.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** The HTTP/2 side of a worker. */
export interface Http2Front {
  accept(socket: TLSSocket): void
  openSessions(): number
  tick(now: number): void
  /** Tells clients to open no more streams here. */
  beginDrain(): void
  closeIdle(): void
  /** Cuts off what is left of ordinary requests, or what left HTTP. */
  closeRequests(): void
  closeUpgraded(): void
}

/** A session may have this much of all its request bodies on the way. */
const SESSION_WINDOW_BYTES = 1024 * 1024
const STREAM_WINDOW_BYTES = 256 * 1024
/** RFC 9113, section 6.8: announces the end without turning away what is on its way. */
const LAST_STREAM_ID = 2 ** 31 - 1

/** Speaks HTTP/2 on encrypted connections that agreed on it. */
export function createHttp2Front(
  context: WorkerContext,
  peerOf: (socket: TLSSocket) => Peer | undefined,
): Http2Front {
  const sessions = new Set<Http2Session>()
  const arrivals = new Http2Arrivals()
  let draining = false
  return {
    accept: (socket) => {
      const peer = peerOf(socket)
      if (peer === undefined) {
        socket.destroy()
        return
      }
      const session = new Http2Session(context, arrivals, socket, peer, () => sessions.delete(session))
      sessions.add(session)
      context.counters.connections += 1
      // Its handshake was under way when the end was announced to the others.
      if (draining) session.announceEnd()
    },
    openSessions: () => sessions.size,
    tick: (now) => {
      for (const session of sessions) session.tick(now)
    },
    beginDrain: () => {
      draining = true
      for (const session of sessions) session.announceEnd()
    },
    closeIdle: () => {
      for (const session of sessions) session.close()
    },
    closeRequests: () => {
      for (const session of sessions) session.closeRequests()
    },
    closeUpgraded: () => {
      for (const session of sessions) session.closeUpgraded()
    },
  }
}

/** One client's connection. Its streams are served side by side. */
class Http2Session {
  private readonly context: WorkerContext
  private readonly session: ServerHttp2Session
  /** Ends with the connection, which a session that was closed leaves to the client. */
  private readonly socket: TLSSocket
  private readonly peer: Peer
  private readonly names: ConnectionNames
  private readonly streams = new Set<Http2Client>()
  private idleSince: number
  private used = false

  constructor(
    context: WorkerContext,
    arrivals: Http2Arrivals,
    socket: TLSSocket,
    peer: Peer,
    closed: () => void,
  ) {
    this.context = context
    this.peer = peer
    this.names = new ConnectionNames(socket)
    this.idleSince = context.clock.now
    this.socket = socket
    this.session = performServerHandshake(socket, sessionOptions(context.limits))
    this.session.on('error', ignore)
    socket.on('close', closed)
    this.session.on('stream', (stream, headers, _flags, raw) => {
      context.counters.requests += 1
      this.used = true
      this.idleSince = context.clock.now
      stream.on('error', ignore)
      const trailers = watchTrailers(stream)
      arrivals.add(() => this.take(stream, headers, raw, trailers))
    })
    this.session.setLocalWindowSize(SESSION_WINDOW_BYTES)
  }

  private take(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    raw: readonly string[],
    trailers: Trailers,
  ): void {
    // Reset in the same breath: nobody is to work for it.
    if (stream.closed) return
    const { context } = this
    const client = new Http2Client(context, stream)
    this.streams.add(client)
    stream.on('close', () => {
      this.streams.delete(client)
      if (this.streams.size === 0) this.idleSince = context.clock.now
      client.gone()
    })
    try {
      serve(context, client, stream, headers, raw, trailers, this.peer, this.names)
    } catch (error) {
      context.caught(error)
      client.destroy()
    }
  }

  /** A connection that carries no request ends, however busy it is with other frames. */
  tick(now: number): void {
    const { limits } = this.context
    for (const stream of this.streams) stream.tick(now)
    for (const stream of this.streams) if (stream.lingers(now)) return this.destroy()
    if (this.streams.size > 0) return
    const patience = this.used ? limits.client_keep_alive_ms : limits.request_head_ms
    if (now - this.idleSince < patience) return
    this.close()
    // Who does not hang up then is cut off.
    if (now - this.idleSince >= 2 * patience) this.destroy()
  }

  announceEnd(): void {
    if (!this.session.destroyed) this.session.goaway(constants.NGHTTP2_NO_ERROR, LAST_STREAM_ID)
  }

  close(): void {
    if (!this.session.closed) this.session.close()
  }

  /** WebSockets live on, and their connection with them. */
  closeRequests(): void {
    const requests = [...this.streams].filter((stream) => !stream.upgraded)
    if (requests.length === this.streams.size) this.destroy()
    else for (const stream of requests) stream.destroy()
  }

  closeUpgraded(): void {
    for (const stream of this.streams) if (stream.upgraded) stream.destroy()
  }

  /** A session alone would wait until the client has taken everything, and then for the client's end. */
  destroy(): void {
    this.session.destroy()
    this.socket.destroy()
  }
}

/** Bounds that nghttp2 keeps: what goes beyond them ends the stream or the whole session. */
function sessionOptions(limits: IngressLimits): Parameters<typeof performServerHandshake>[1] {
  return {
    settings: {
      maxConcurrentStreams: limits.http2_streams,
      maxHeaderListSize: limits.request_header_bytes,
      initialWindowSize: STREAM_WINDOW_BYTES,
      enablePush: false,
      // WebSockets (RFC 8441).
      enableConnectProtocol: true,
    },
    // The pseudo fields come on top.
    maxHeaderListPairs: limits.request_header_count + 8,
    maxSessionMemory: limits.http2_session_mib,
    maxSettings: 16,
    maxOutstandingPings: 4,
    maxSessionInvalidFrames: 50,
    maxSessionRejectedStreams: 50,
    // Applications may send a field twice; that is between them and their clients.
    strictSingleValueFields: false,
  }
}

function serve(
  context: WorkerContext,
  client: Http2Client,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  raw: readonly string[],
  trailers: Trailers,
  peer: Peer,
  names: ConnectionNames,
): void {
  const tunnel = headers[':protocol'] === undefined ? null : new Http2Tunnel(context, stream)
  const read = readHttp2Head(
    raw,
    stream.endAfterHeaders,
    peer,
    context.limits,
    context.newRequestId,
    tunnel?.key ?? '',
  )
  // A proxy in front may carry requests for all names by one connection.
  const misdirected = typeof read === 'object' && !peer.trusted && !names.covers(read.hostname)
  // RFC 9110, section 15.5.20: the client asks again by a connection of its own.
  const head = misdirected ? 421 : read
  const answer = new Http2Answer(context, stream, headers, tunnel !== null)
  if (tunnel !== null) client.asksFor(tunnel)
  if (typeof head === 'number') {
    countAnswer(context, head)
    answer.local(errorAnswer(head, context.newRequestId(), headers.accept))
    client.answered()
    client.settle()
    return
  }
  if (tunnel === null) passOn(context, readIncoming(context, client, stream, trailers, head, answer))
  else passOn(context, { client, head, answer, body: null, source: null, upgrade: tunnel })
  client.settle()
}

function readIncoming(
  context: WorkerContext,
  client: Http2Client,
  stream: ServerHttp2Stream,
  trailers: Trailers,
  head: RequestHead,
  answer: Http2Answer,
): Incoming {
  if (head.body === 'none') return { client, head, answer, body: null, source: null, upgrade: null }
  const source = createStreamSource(
    stream,
    context.limits.discarded_body_bytes,
    () => client.answered(),
    trailers,
  )
  return {
    client,
    head,
    answer,
    body: new RequestBody(source, head.body === 'chunked', head.expectsContinue),
    source,
    upgrade: null,
  }
}

function ignore(): void {}
