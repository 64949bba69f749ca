import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type OutgoingHttpHeaders,
} from 'node:http2'
import type { Upstream } from '../contract/route-table.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

const PEER_STREAMS = 100

/** One HTTP/2 connection to a replica, for all gRPC calls that this worker has with it. */
export class UpstreamSession {
  private readonly context: WorkerContext
  private readonly session: ClientHttp2Session
  private state: 'connecting' | 'connected' | 'gone' = 'connecting'
  private readonly waiting: ((connected: boolean) => void)[] = []

  /** Connects; `connected` is told when the replica has taken the connection. */
  constructor(
    { address, port }: Pick<Upstream, 'address' | 'port'>,
    context: WorkerContext,
    connected: () => void,
  ) {
    this.context = context
    const { limits, system } = context
    const host = address.includes(':') ? `[${address}]` : address
    const options = {
      settings: { enablePush: false },
      maxSessionMemory: limits.http2_session_mib,
      maxHeaderListPairs: limits.response_header_count + 8,
      peerMaxConcurrentStreams: PEER_STREAMS,
      // What a client may send twice here, its server gets twice.
      strictSingleValueFields: false,
    }
    this.session = connect(`http://${host}:${port}`, options)
    const cancel = system.later(limits.upstream_connect_ms, () => this.session.destroy())
    this.session.on('connect', () => {
      cancel()
      connected()
      this.settle('connected')
    })
    this.session.on('error', ignore)
    // No new calls after it; those that run go on (RFC 9113, section 6.8).
    this.session.on('goaway', () => this.settle('gone'))
    this.session.on('close', () => {
      cancel()
      this.settle('gone')
    })
  }

  get usable(): boolean {
    return this.state !== 'gone' && !this.session.closed && !this.session.destroyed
  }

  /** Calls back once it is known whether there is a connection. */
  whenConnected(run: (connected: boolean) => void): void {
    if (this.state === 'connecting') this.waiting.push(run)
    else run(this.state === 'connected')
  }

  /** Opens a stream; undefined when the connection takes none any more. */
  request(fields: OutgoingHttpHeaders, endStream: boolean): ClientHttp2Stream | undefined {
    if (this.state !== 'connected' || !this.usable) return undefined
    return this.session.request(fields, { endStream })
  }

  /** Ends it when the last call on it has ended. */
  close(): void {
    if (!this.session.closed) this.session.close()
  }

  private settle(state: 'connected' | 'gone'): void {
    this.state = state
    for (const run of this.waiting.splice(0)) {
      try {
        run(state === 'connected')
      } catch (error) {
        this.context.caught(error)
      }
    }
  }
}

function ignore(): void {}
