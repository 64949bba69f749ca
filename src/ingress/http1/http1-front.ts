import { createServer, type Server, type Socket } from 'node:net'
import { passOn } from '../exchange/admission.ts'
import { countAnswer } from '../exchange/answer.ts'
import { Http1Answer } from './http1-answer.ts'
import { Http1Body } from './http1-body.ts'
import { Http1Connection } from './http1-connection.ts'
import { errorAnswer } from '../exchange/local-answer.ts'
import type { Peer } from '../connections/peer.ts'
import { RequestBody } from '../exchange/request-body.ts'
import { readRequestHead } from '../messages/request-head.ts'
import type { RawRequest } from '../messages/request-parser.ts'
import { mayUpgrade } from '../exchange/upgrade.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** The HTTP/1 side of a worker. */
export interface Http1Front {
  /** For connections without TLS; the caller makes it listen. */
  readonly server: Server
  readonly connections: ReadonlySet<Http1Connection>
  /** Serves a connection that is encrypted already. */
  accept(socket: Socket): void
}

/** Speaks HTTP/1 on connections of every kind. */
export function createHttp1Front(
  context: WorkerContext,
  peerOf: (socket: Socket) => Peer | undefined,
): Http1Front {
  const connections = new Set<Http1Connection>()
  const takeRequest = (connection: Http1Connection, request: RawRequest): Http1Body | null =>
    take(context, connection, request)
  const closed = (connection: Http1Connection): void => {
    connections.delete(connection)
  }
  const accept = (socket: Socket): void => {
    const peer = peerOf(socket)
    if (peer === undefined) {
      socket.destroy()
      return
    }
    context.counters.connections += 1
    connections.add(new Http1Connection(context, socket, peer, takeRequest, closed))
  }
  const server = createServer(
    {
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      allowHalfOpen: true,
      // Until it is read into buffers of ours.
      pauseOnConnect: true,
    },
    accept,
  )
  server.maxConnections = context.limits.client_connections
  server.on('drop', () => context.log('connection_dropped', { open: connections.size }))
  return { server, connections, accept }
}

/** Takes one request in, and gives its body if it has one. */
function take(context: WorkerContext, client: Http1Connection, request: RawRequest): Http1Body | null {
  const upgrades = mayUpgrade(request)
  const head = readRequestHead(request, client.peer, upgrades, context.limits, context.newRequestId)
  if (typeof head === 'number') {
    refuse(context, client, request, head)
    return null
  }
  const holdsBody = head.expectsContinue && head.body !== 'none'
  const answer = new Http1Answer(context, client, request, head.persistent && !upgrades, holdsBody)
  if (upgrades) client.upgraded = true
  if (head.body === 'none') {
    const upgrade = upgrades ? client : null
    passOn(context, { client, head, answer, body: null, source: null, upgrade })
    return null
  }
  const { discarded_body_bytes } = context.limits
  const source = new Http1Body(client, head.body === 'chunked' ? -1 : head.length, discarded_body_bytes)
  const body = new RequestBody(source, head.body === 'chunked', head.expectsContinue)
  passOn(context, { client, head, answer, body, source: null, upgrade: null })
  return source
}

/** The request may be framed in a way that hides another one behind it: nothing more is read from this connection. */
function refuse(context: WorkerContext, client: Http1Connection, request: RawRequest, status: number): void {
  countAnswer(context, status)
  client.ignoreRest()
  const answer = new Http1Answer(context, client, request, false)
  answer.local(errorAnswer(status, context.newRequestId(), answer.accepts()))
  client.answered()
}
