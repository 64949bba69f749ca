import { connect, type Socket } from 'node:net'
import {
  type AccessNotes,
  type ControlEvent,
  type ControlReply,
  type ControlRequest,
  type IngressWorkerStatus,
  MAX_LINE_LENGTH,
  type PushRequest,
  type SetName,
  type TakenNotes,
} from '../../ingress/contract/control-protocol.ts'
import { JsonLines } from '../../lib/json-lines.ts'
import { messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'

/** A worker that says nothing for so long is hung, and killed: it must not go on with an old table. */
export const ANSWER_MS = 10_000

/** A worker understood well enough to refuse a set; it serves on by the last one that it took. */
export class SetRefused extends Error {}

interface Waiting {
  resolve: (reply: ControlReply) => void
  reject: (error: Error) => void
}

/** The control plane's connection to one worker. A request that is not answered in time ends it: replies come in turn. */
export class WorkerLink {
  readonly pid: number
  /** What the worker said last. */
  status: IngressWorkerStatus
  /** It has been told to end. */
  retiring = false
  closed = false
  /** By set, the version that the worker refused last. */
  readonly refused = new Map<SetName, number>()
  private readonly system: System
  private readonly watcher: LinkWatcher
  private readonly socket: Socket
  private readonly waiting: Waiting[] = []
  private readonly lines = new JsonLines(MAX_LINE_LENGTH)

  private constructor(pid: number, socket: Socket, system: System, watcher: LinkWatcher) {
    this.pid = pid
    this.socket = socket
    this.system = system
    this.watcher = watcher
    this.status = NOTHING_KNOWN
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => this.take(text))
    socket.on('error', (error) => this.close(error))
    socket.on('close', () => {
      this.close(new Error(`The ingress worker ${pid} closed its control socket.`))
      watcher.closed(this)
    })
  }

  /** Connects to the worker that listens on `path` and asks for its status. */
  static async open(path: string, pid: number, system: System, watcher: LinkWatcher): Promise<WorkerLink> {
    const socket = connect(path)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    const link = new WorkerLink(pid, socket, system, watcher)
    await link.refresh()
    return link
  }

  async refresh(): Promise<IngressWorkerStatus> {
    const reply = await this.ask({ type: 'status' })
    if (reply.type !== 'status') throw unexpected(this.pid, reply)
    const { type: _type, ...status } = reply
    this.status = status
    // What it told while nobody listened.
    for (const { service_id } of status.held ?? []) this.tell(() => this.watcher.held(service_id))
    return status
  }

  /** The version of a set that the worker serves; infinite for one that knows no such set, because it is of an earlier Berth. */
  versionOf(name: SetName): number {
    return this.status[VERSION_FIELDS[name]] ?? Number.POSITIVE_INFINITY
  }

  /** Hands over a set; resolves when the worker serves it or a newer one. Throws SetRefused when the worker says that it cannot. */
  async push(name: SetName, request: PushRequest): Promise<void> {
    const reply = await this.ask(request)
    if (reply.type === 'error')
      throw new SetRefused(`The ingress worker ${this.pid} refused: ${reply.message}`)
    if (reply.type !== 'ack') throw unexpected(this.pid, reply)
    this.status = { ...this.status, [VERSION_FIELDS[name]]: reply.version }
  }

  /** Has the worker start its successor with its listening sockets; gives the successor's pid. */
  async handOver(command: string[], env: Record<string, string>): Promise<number> {
    const reply = await this.ask({ type: 'hand_over', command, env })
    if (reply.type !== 'handed_over') throw unexpected(this.pid, reply)
    return reply.pid
  }

  /** Has the worker read the key for session tickets anew. */
  async renewTickets(): Promise<void> {
    const reply = await this.ask({ type: 'tickets' })
    if (reply.type !== 'done') throw unexpected(this.pid, reply)
  }

  /** Takes notes of about so many requests out of the worker; none from one of an earlier Berth. */
  async takeRequests(limit: number): Promise<AccessNotes> {
    const reply = await this.ask({ type: 'requests', limit })
    return reply.type === 'requests' ? reply : { entries: [], lost: [], more: false }
  }

  /** Tells the worker to take nothing new and to end within these bounds. */
  async retire(requestsMs: number, upgradedMs: number): Promise<void> {
    this.retiring = true
    const reply = await this.ask({ type: 'stop', requests_ms: requestsMs, upgraded_ms: upgradedMs })
    if (reply.type !== 'stopping') throw unexpected(this.pid, reply)
  }

  /** Hangs up; the worker goes on. */
  close(reason: Error = new Error('The control plane hung up.')): void {
    if (this.closed) return
    this.closed = true
    this.socket.destroy()
    for (const { reject } of this.waiting.splice(0)) reject(reason)
  }

  private async ask(request: ControlRequest): Promise<ControlReply> {
    if (this.closed) throw new Error(`The ingress worker ${this.pid} is not connected.`)
    const late = (): void => this.close(new Error(`The ingress worker ${this.pid} did not answer in time.`))
    const cancel = this.system.later(ANSWER_MS, late)
    try {
      return await new Promise<ControlReply>((resolve, reject) => {
        this.waiting.push({ resolve, reject })
        this.socket.write(`${JSON.stringify(request)}\n`)
      })
    } finally {
      cancel()
    }
  }

  private hear(said: ControlReply | ControlEvent): void {
    if (said.type === 'held') this.tell(() => this.watcher.held(said.service_id))
    else if (said.type === 'last_requests') this.tell(() => this.watcher.left(said))
    else this.waiting.shift()?.resolve(said)
  }

  /** What a listener throws is no fault of the worker's. */
  private tell(notice: () => void): void {
    try {
      notice()
    } catch (error) {
      this.watcher.failed(error)
    }
  }

  private take(text: string): void {
    try {
      for (const said of this.lines.take(text)) this.hear(said as ControlReply | ControlEvent)
    } catch (error) {
      this.close(new Error(`The ingress worker ${this.pid} answered nonsense: ${messageOf(error)}`))
    }
  }
}

const VERSION_FIELDS = {
  routes: 'version',
  certificates: 'certificates_version',
  challenges: 'challenges_version',
} as const

/** What a link tells its owner. */
export interface LinkWatcher {
  closed(link: WorkerLink): void
  /** Requests of this service wait for a replica. */
  held(serviceId: string): void
  /** The worker ends, and this is what it has noted of requests since it was asked last. */
  left(notes: TakenNotes): void
  /** One of the above has thrown this. */
  failed(error: unknown): void
}

function unexpected(pid: number, reply: ControlReply): Error {
  return new Error(
    reply.type === 'error'
      ? `The ingress worker ${pid} refused: ${reply.message}`
      : `Worker ${pid} said ${reply.type}.`,
  )
}

const NOTHING_KNOWN: IngressWorkerStatus = {
  pid: 0,
  version: 0,
  certificates_version: 0,
  challenges_version: 0,
  fingerprint: '',
  port: 0,
  https_port: 0,
  bind_address: '',
  listening: false,
  draining: false,
  uptime_seconds: 0,
  rss_bytes: 0,
  connections: 0,
  accepted: 0,
  requests: 0,
  handshakes: 0,
  resumed: 0,
  upgrades: 0,
  retries: 0,
  bad_responses: 0,
  truncated: 0,
  exceptions: 0,
  answered: {},
  upstreams: [],
  held: [],
}
