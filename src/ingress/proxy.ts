import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { countAnswer } from './answer.ts'
import { ClientConnection } from './client-connection.ts'
import { rawErrorPage, sendErrorPage } from './error-page.ts'
import { Exchange } from './exchange.ts'
import { Http1Answer } from './http1-answer.ts'
import type { Incoming } from './incoming.ts'
import { type BodySource, discardBody, RequestBody } from './request-body.ts'
import { readRequestHead, type RequestHead, type RequestManner } from './request-head.ts'
import { mayUpgrade, type UpgradeRequest } from './upgrade.ts'
import type { WorkerContext } from './worker-context.ts'

/** The HTTP side of a worker. */
export interface Proxy {
  readonly server: Server
  /** Open client connections, upgraded ones among them. */
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

const ORDINARY: RequestManner = { expectsContinue: false, upgrades: false }
const ASKS_FIRST: RequestManner = { expectsContinue: true, upgrades: false }
const UPGRADES: RequestManner = { expectsContinue: false, upgrades: true }

/** Builds the HTTP server that passes requests on to replicas; the caller makes it listen. */
export function createProxy(context: WorkerContext, isTrusted: (address: string) => boolean): Proxy {
  const server = createHttpServer(context)
  const clients = new Map<Socket, ClientConnection>()

  const accept = (socket: Socket): void => {
    const client = new ClientConnection(socket, isTrusted)
    clients.set(socket, client)
    context.counters.connections += 1
    socket.on('close', () => {
      clients.delete(socket)
      contain(context, () => client.abandon())
    })
  }

  const serve = (request: IncomingMessage, response: ServerResponse, manner: RequestManner): void => {
    const client = clients.get(request.socket)
    if (client === undefined) request.socket.destroy()
    else passOn(context, client, request, response, manner, null)
  }

  server.on('connection', accept)
  server.on('request', (request, response) => serve(request, response, ORDINARY))
  server.on('checkContinue', (request, response) => serve(request, response, ASKS_FIRST))
  server.on('upgrade', (request, socket, behind) => {
    const client = clients.get(request.socket)
    if (client === undefined) {
      socket.destroy()
      return
    }
    client.upgraded = true
    passOn(context, client, request, upgradeResponse(request), UPGRADES, { socket: request.socket, behind })
  })
  server.on('connect', (_request, socket) => socket.end(rawErrorPage(405, context.newRequestId())))
  server.on('clientError', (error, socket) =>
    answerUnparsable(context, clients.get(socket as Socket), error, socket),
  )
  server.on('drop', () => context.log('connection_dropped', { open: clients.size }))

  return {
    server,
    openConnections: () => clients.size,
    tick: () => tick(context, clients),
    beginDrain: () => {
      context.draining = true
      // Not http's own `close`, which would at once cut connections whose next request may be on its way.
      NetServer.prototype.close.call(server)
    },
    closeIdle: () => server.closeIdleConnections(),
    closeRequests: () => close(clients, false),
    closeUpgraded: () => close(clients, true),
  }
}

function createHttpServer(context: WorkerContext): Server {
  const { limits } = context
  const server = createServer({
    insecureHTTPParser: false,
    requireHostHeader: true,
    joinDuplicateHeaders: false,
    optimizeEmptyRequests: true,
    maxHeaderSize: limits.request_header_bytes,
    headersTimeout: limits.request_head_ms,
    // Bodies have an idle limit of their own: a long upload is not a slow one.
    requestTimeout: 0,
    keepAliveTimeout: limits.client_keep_alive_ms,
    connectionsCheckingInterval: Math.max(limits.tick_ms, Math.min(1000, limits.request_head_ms)),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
    shouldUpgradeCallback: mayUpgrade,
  })
  // Node would drop the fields behind its own limit without a word; ours answers 431.
  server.maxHeadersCount = 0
  server.maxConnections = limits.client_connections
  return server
}

/** Finds the replica for a request, or answers it here. */
function passOn(
  context: WorkerContext,
  client: ClientConnection,
  request: IncomingMessage,
  response: ServerResponse,
  manner: RequestManner,
  upgrade: UpgradeRequest | null,
): void {
  if (client.closing) return
  context.counters.requests += 1
  try {
    const { limits, newRequestId, routes, draining } = context
    const head = readRequestHead(request, client, manner, limits, newRequestId)
    if (typeof head === 'number') {
      // The request may be framed in a way that hides another one behind it: nothing more is read from this connection.
      client.closing = true
      countAnswer(context, head)
      sendErrorPage(request, response, head, newRequestId(), true)
    } else if (routes.find(head.hostname) === undefined) {
      const status = routes.version === 0 ? 503 : 404
      client.closing = draining || upgrade !== null
      countAnswer(context, status)
      sendErrorPage(request, response, status, head.requestId, client.closing)
      if (head.body !== 'none' && !manner.expectsContinue) discardBody(request, client, context)
    } else if (client.waitingRequests >= limits.pipelined_requests) {
      client.socket.destroy()
    } else {
      client.serve(new Exchange(context, readIncoming(context, client, request, response, head, upgrade)))
    }
  } catch (error) {
    context.caught(error)
    client.socket.destroy()
  }
}

function readIncoming(
  context: WorkerContext,
  client: ClientConnection,
  request: IncomingMessage,
  response: ServerResponse,
  head: RequestHead,
  upgrade: UpgradeRequest | null,
): Incoming {
  const answer = new Http1Answer(context, client, request, response, upgrade !== null)
  if (head.body === 'none') return { client, head, answer, body: null, upgrade }
  const source: BodySource = {
    stream: request,
    trailers: () => request.rawTrailers,
    discard: () => discardBody(request, client, context),
  }
  return {
    client,
    head,
    answer,
    body: new RequestBody(source, head.body === 'chunked', head.expectsContinue),
    upgrade,
  }
}

/** A response on a connection that Node has already let go of, for a replica that does not switch protocols. */
function upgradeResponse(request: IncomingMessage): ServerResponse {
  const { socket } = request
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  socket.on('error', ignore)
  response.assignSocket(socket)
  socket.on('drain', () => response.emit('drain'))
  response.on('finish', () => {
    response.detachSocket(socket)
    socket.destroySoon()
  })
  return response
}

/** What the parser refused: an answer if none has begun, and the end of the connection. */
function answerUnparsable(
  context: WorkerContext,
  client: ClientConnection | undefined,
  error: Error,
  socket: Socket | NodeJS.WritableStream,
): void {
  const code = 'code' in error ? error.code : undefined
  const status = code === 'HPE_HEADER_OVERFLOW' ? 431 : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
  const reset = code === 'ECONNRESET' || code === 'EPIPE'
  if (client === undefined) return
  // The answer that ends the connection is on its way.
  if (client.closing) client.socket.destroySoon()
  else if (!reset && !client.busy && socket.writable) {
    countAnswer(context, status)
    socket.end(rawErrorPage(status, context.newRequestId()), () => client.socket.destroy())
  } else client.socket.destroy()
}

function tick(context: WorkerContext, clients: ReadonlyMap<Socket, ClientConnection>): void {
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
  for (const client of clients.values()) if (client.discardUntil <= now) client.socket.destroy()
  context.holds.tick(now)
  context.routes.sweep()
}

function close(clients: ReadonlyMap<Socket, ClientConnection>, upgraded: boolean): void {
  for (const client of clients.values()) if (client.upgraded === upgraded) client.socket.destroy()
}

function contain(context: WorkerContext, run: () => void): void {
  try {
    run()
  } catch (error) {
    context.caught(error)
  }
}

function ignore(): void {}
