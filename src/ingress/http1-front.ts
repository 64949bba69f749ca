import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { passOn } from './admission.ts'
import { countAnswer } from './answer.ts'
import type { ClientConnection } from './client-connection.ts'
import { rawErrorPage } from './error-page.ts'
import { Http1Answer } from './http1-answer.ts'
import type { Incoming } from './incoming.ts'
import { errorAnswer } from './local-answer.ts'
import { type BodySource, discardBody, RequestBody } from './request-body.ts'
import { readRequestHead, type RequestHead, type RequestManner } from './request-head.ts'
import { mayUpgrade, type UpgradeRequest } from './upgrade.ts'
import type { WorkerContext } from './worker-context.ts'

const ORDINARY: RequestManner = { expectsContinue: false, upgrades: false }
const ASKS_FIRST: RequestManner = { expectsContinue: true, upgrades: false }
const UPGRADES: RequestManner = { expectsContinue: false, upgrades: true }

/**
 * Builds the server that parses HTTP/1 on connections of every kind: those that it accepts itself, and those that are handed to it
 * by its `connection` event once they are encrypted.
 */
export function createHttp1Server(
  context: WorkerContext,
  clientOf: (socket: Socket) => ClientConnection | undefined,
): Server {
  const server = createHttpServer(context)

  const serve = (request: IncomingMessage, response: ServerResponse, manner: RequestManner): void => {
    const client = clientOf(request.socket)
    if (client === undefined) request.socket.destroy()
    else take(context, client, request, response, manner, null)
  }

  server.on('request', (request, response) => serve(request, response, ORDINARY))
  server.on('checkContinue', (request, response) => serve(request, response, ASKS_FIRST))
  server.on('upgrade', (request, socket, behind) => {
    const client = clientOf(request.socket)
    if (client === undefined) {
      socket.destroy()
      return
    }
    client.upgraded = true
    take(context, client, request, upgradeResponse(request), UPGRADES, { socket: request.socket, behind })
  })
  server.on('connect', (_request, socket) => socket.end(rawErrorPage(405, context.newRequestId())))
  server.on('clientError', (error, socket) =>
    answerUnparsable(context, clientOf(socket as Socket), error, socket),
  )
  return server
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

/** Takes one request in. */
function take(
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
    const head = readRequestHead(request, client.peer, manner, context.limits, context.newRequestId)
    if (typeof head === 'number') refuse(context, client, request, response, head)
    else passOn(context, readIncoming(context, client, request, response, head, upgrade))
  } catch (error) {
    context.caught(error)
    client.socket.destroy()
  }
}

/** The request may be framed in a way that hides another one behind it: nothing more is read from this connection. */
function refuse(
  context: WorkerContext,
  client: ClientConnection,
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
): void {
  client.closing = true
  countAnswer(context, status)
  const { headers, body } = errorAnswer(status, context.newRequestId(), request.headers.accept)
  headers.push('Connection', 'close')
  response.writeHead(status, headers)
  response.end(body)
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
  if (head.body === 'none') return { client, head, answer, body: null, source: null, upgrade }
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
    source,
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

function ignore(): void {}
