import type { Socket } from 'node:net'
import { isFromIngress } from '../ingress-door.ts'
import type { Server } from '../server.ts'
import { type PlainExchange, RawConnection } from './raw-connection.ts'
import type { PlainHead } from './request-head.ts'

export interface RawService {
  /** The requests whose path begins so are ours, if they are plain ones. */
  prefix: string
  serve(exchange: PlainExchange): Promise<void>
}

const SWEEP_MS = 5000
/** How long a client may keep a connection without a request, or take for a head, or for the rest of a body that was refused. */
const WAIT_MS = 75_000
const DISCARD_MS = 30_000
/** How long it may take for an answer that is not a file: at most a manifest. */
const UNREAD_MS = 5 * 60_000
/** How long an orderly stop waits for requests that are under way. */
const CLOSE_GRACE_MS = 10_000
const CLAIMS = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto'] as const
/** Longer than any method and prefix: enough to tell whose a connection is. */
const TELLING_BYTES = 16

/**
 * Takes connections that begin with a request of the prefix from the server's listener and serves them without Node's and Fastify's handling of
 * each request; what is not plain goes to the server after all. The routes of the prefix must exist there as well.
 */
export function serveRaw(server: Server, service: RawService): void {
  const { system } = server
  const open = new Set<RawConnection>()
  /** Connections on which nothing has come yet. */
  const silent = new Set<Socket>()
  const [handle] = server.server.listeners('connection')
  if (handle === undefined) throw new Error('the server has no listener of connections')
  const toServer = (stream: unknown): void => void Reflect.apply(handle, server.server, [stream])
  /** Whom a proxy speaks for is the framework's to find out. */
  const hasClaims = ({ headers }: PlainHead): boolean =>
    server.trustsProxies && CLAIMS.some((name) => headers.has(name))
  const accepts = (head: PlainHead): boolean => head.url.startsWith(service.prefix) && !hasClaims(head)
  const telling = new RegExp(`^(?:GET|HEAD|POST|PUT|PATCH|DELETE) ${service.prefix}`)
  let closing = false
  let dateAt = 0
  let date = ''
  const deps = {
    accepts,
    serve: service.serve,
    handOver: toServer,
    now: () => system.monotonic(),
    date: () => {
      const second = Math.floor(system.now() / 1000)
      if (second !== dateAt) date = new Date(second * 1000).toUTCString()
      dateAt = second
      return date
    },
  }

  const take = (accepted: Socket, first: Buffer): void => {
    const connection = new RawConnection(accepted, deps)
    const { socket } = connection
    if (!socket) {
      accepted.unshift(first)
      toServer(accepted)
      return
    }
    if (open.size === 0) system.later(SWEEP_MS, sweep)
    open.add(connection)
    socket.once('close', () => open.delete(connection))
    connection.start(first)
  }

  const sweep = (): void => {
    const now = system.monotonic()
    for (const connection of open) {
      const limit = connection.isDiscarding ? DISCARD_MS : connection.isUnread ? UNREAD_MS : WAIT_MS
      if (connection.isWaiting && now - connection.waitsSince > limit) connection.destroy()
    }
    if (open.size > 0) system.later(SWEEP_MS, sweep)
  }

  server.server.removeListener('connection', handle as (socket: Socket) => void)
  server.server.on('connection', (accepted: Socket) => {
    // Asked now, which keeps it. One that has been reset already has none, like those of the ingress, who are believed.
    if (accepted.remoteAddress === undefined && !isFromIngress(accepted)) {
      accepted.destroy()
      return
    }
    const drop = (): void => void accepted.destroy()
    const onReadable = (): void => {
      const first = accepted.read() as Buffer | null
      if (first === null) return
      silent.delete(accepted)
      accepted
        .off('readable', onReadable)
        .off('error', drop)
        .off('end', drop)
        .off('timeout', drop)
        .setTimeout(0)
      if (!closing && telling.test(first.toString('latin1', 0, TELLING_BYTES))) take(accepted, first)
      else {
        accepted.unshift(first)
        toServer(accepted)
      }
    }
    silent.add(accepted)
    accepted.once('close', () => silent.delete(accepted))
    accepted.setTimeout(WAIT_MS)
    accepted.on('readable', onReadable).on('error', drop).on('end', drop).on('timeout', drop)
  })

  server.addHook('preClose', async () => {
    closing = true
    for (const accepted of silent) accepted.destroy()
    for (const connection of open) connection.close()
    system.later(CLOSE_GRACE_MS, () => {
      for (const connection of open) connection.destroy()
    })
  })
}
