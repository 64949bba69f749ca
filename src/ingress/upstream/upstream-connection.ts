import { connect, type Socket } from 'node:net'
import { ConnectionBuffer, type KeptPiece } from '../exchange/read-buffers.ts'
import { ResponseParser } from '../messages/response-parser.ts'
import { ownSocket, type SocketEvent, type SocketOwner } from '../connections/socket-owner.ts'
import type { UpstreamState } from './upstream.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** Who is using a connection at the moment: a request, or the other end of an upgraded connection. */
export interface ConnectionUser {
  connected(): void
  /** Bytes have come: the first `length` of `buffer`, which is only theirs during the call. */
  received(buffer: Buffer, length: number): void
  /** All that was written has left. */
  drained(): void
  /** The upstream has closed its side; nothing more comes. */
  ended(): void
  /** The connection is gone. At most one of `ended` and `lost` is the last call. */
  lost(error: Error | undefined): void
  /** An exception was contained while it did its work; its state is not to be relied on. */
  crashed(): void
  /** Looks at its deadline. */
  tick(now: number): void
}

const TCP_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 } as const
/** At this many bytes to come, a response gets read buffers of its own. */
const BULK_BYTES = 64 * 1024
const NO_PARSER = new ResponseParser(0, 0)

/**
 * One TCP connection to a replica. Small reads of all connections share one buffer, so that ten thousand idle ones cost nothing;
 * a large body is read into buffers that are passed on as they are.
 */
export class UpstreamConnection implements SocketOwner {
  readonly upstream: UpstreamState
  readonly socket: Socket
  parser: ResponseParser
  readonly buffer: ConnectionBuffer
  user: ConnectionUser | null = null
  connected = false
  destroyed = false
  /** It has carried a whole request and response before. */
  reused = false
  idleSince = 0
  keepAliveMs: number
  private readonly context: WorkerContext
  private paused = false
  private error: Error | undefined

  constructor(upstream: UpstreamState, context: WorkerContext) {
    this.upstream = upstream
    this.context = context
    this.buffer = new ConnectionBuffer(context.readBuffers)
    this.keepAliveMs = context.limits.upstream_idle_ms
    this.parser = new ResponseParser(
      context.limits.response_header_bytes,
      context.limits.response_header_count,
    )
    const onread = { buffer: () => this.buffer.next(), callback: (length: number) => this.take(length) }
    const { socketPath } = upstream
    this.socket =
      socketPath === undefined
        ? connect({ host: upstream.address, port: upstream.port, ...TCP_OPTIONS, onread })
        : connect({ path: socketPath, onread })
    upstream.connections.add(this)
    ownSocket(this.socket, this)
  }

  get expiresAt(): number {
    return this.idleSince + this.keepAliveMs
  }

  /** An upstream's hint shortens the time that it is kept, by a second for the clocks and the way. */
  heedHint(hintMs: number): void {
    const ours = this.context.limits.upstream_idle_ms
    this.keepAliveMs = hintMs < 0 ? ours : Math.min(ours, hintMs - 1000)
  }

  /** Reads nothing until `resume`, because the client does not take more. */
  pause(): void {
    this.paused = true
    this.socket.pause()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.socket.resume()
  }

  /** Ends its present use. It goes back to the idle ones if the message exchange left it in a known state. */
  release(reusable: boolean): void {
    this.user = null
    this.parser.stop()
    this.buffer.bulk = false
    this.reused = true
    this.resume()
    if (reusable && !this.destroyed && this.keepAliveMs > 0) this.upstream.giveBack(this, this.context)
    else this.destroy()
  }

  /** Closes it at once. Its user hears nothing more. */
  destroy(): void {
    this.user = null
    this.parser.stop()
    if (this.destroyed) return
    this.destroyed = true
    this.upstream.forget(this)
    this.socket.destroy()
  }

  /** `bytes` more are to come: a large body is read into buffers that can be passed on without a copy. */
  expectBulk(bytes: number): void {
    if (bytes >= BULK_BYTES) this.buffer.bulk = true
  }

  /** It carries another protocol from now on: what read responses is not needed any more. */
  leaveHttp(): void {
    this.parser = NO_PARSER
    this.buffer.bulk = false
  }

  /** The first `length` bytes of what was read, for longer than the read. */
  keep(buffer: Buffer, length: number): KeptPiece {
    this.buffer.expectMoreBehind(buffer, length)
    return this.buffer.keep(buffer, 0, length)
  }

  private take(length: number): boolean {
    const { user } = this
    // Bytes that no request asked for: they would be taken for the answer to the next request.
    if (user === null) this.destroy()
    else {
      try {
        user.received(this.buffer.current, length)
      } catch (error) {
        this.crash(user, error)
      }
    }
    return true
  }

  /** Its socket says so. */
  onEvent(event: SocketEvent): void {
    if (event === 'connect') {
      this.connected = true
      this.upstream.reinstate()
      this.tell((user) => user.connected())
    } else if (event === 'drain') this.tell((user) => user.drained())
    else if (event === 'close') {
      this.tell((user) => user.lost(this.error))
      this.destroy()
    } else if (this.user === null) this.destroy()
    else this.tell((user) => user.ended())
  }

  onError(error: Error): void {
    this.error = error
  }

  private tell(run: (user: ConnectionUser) => void): void {
    const { user } = this
    try {
      if (user !== null) run(user)
    } catch (error) {
      this.crash(user, error)
    }
  }

  /** A fault of ours ends this connection and the request on it, not the worker. */
  private crash(user: ConnectionUser | null, error: unknown): void {
    this.context.caught(error)
    this.destroy()
    user?.crashed()
  }
}
