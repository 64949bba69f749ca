import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ServerResponse } from 'node:http'
import { AppError } from '../lib/errors.ts'
import { principalOf } from './authentication.ts'
import { errorBody } from './error-body.ts'
import { logStream } from './request-log.ts'

/** One event of a stream (the WHATWG HTML standard, "Server-sent events"). */
export interface StreamEvent {
  /** What `Last-Event-ID` brings back to resume behind this event. */
  id?: string
  /** The event's type; `message` when left out. */
  event?: string
  /** Text as it is; anything else as JSON on one line. */
  data: unknown
}

export interface EventStreamOptions {
  /** Most bytes that wait for a slow reader; events beyond are dropped and counted. */
  maxBufferedBytes?: number
  /** A reader that takes nothing for this long is cut off. */
  stallMs?: number
}

export interface EventStream {
  /**
   * Sends an event, or drops it when the reader is too far behind; the reader is told how many events it lost before the next one.
   * Answers whether the source may go on at once; if not, a source that can wait awaits `ready()`.
   */
  send(event: StreamEvent): boolean
  /** The same for several events that `formatEvent` has made into text: one text for many readers, one write for many events. */
  sendFormatted(events: string | Buffer, count: number): boolean
  /** Resolves when the reader has caught up, or the stream is over. */
  ready(): Promise<void>
  comment(text: string): void
  /** Ends the stream; with a final state, `event: done` tells it. */
  end(final?: unknown): void
  /** Aborts when nobody reads any more: the client left or stalled, the server stops, or the caller lost access. */
  readonly signal: AbortSignal
  /** Where the client wants to go on from: `Last-Event-ID`, else `?since=`. */
  readonly resumeFrom: string | undefined
}

const HEARTBEAT_MS = 15_000
const DEFAULT_BUFFER = 1024 * 1024
const DEFAULT_STALL_MS = 60_000
/** From here on a source that can wait should. */
const PAUSE_AT = 64 * 1024

/** Answers the request with an event stream. Nothing may be sent through `reply` any more. */
export function openEventStream(
  request: FastifyRequest,
  reply: FastifyReply,
  options: EventStreamOptions = {},
): EventStream {
  const { liveStreams, accessWatch, system } = request.server
  const maxBuffered = options.maxBufferedBytes ?? DEFAULT_BUFFER
  refuseTooMany(request)
  const stallMs = options.stallMs ?? DEFAULT_STALL_MS
  const abort = new AbortController()
  const startedAt = system.monotonic()
  const raw = begin(reply)
  let lost = 0
  const waiting: (() => void)[] = []

  const wake = (): void => {
    for (const each of waiting.splice(0)) each()
  }
  const close = (reason: Error): void => {
    if (abort.signal.aborted) return
    cancelHeartbeat()
    releaseWatch()
    liveStreams.delete(stop)
    abort.abort(reason)
    wake()
    logStream(request, system.monotonic() - startedAt, reason)
  }
  const write = (text: string | Buffer): boolean => {
    if (abort.signal.aborted || raw.writableEnded || raw.destroyed) return false
    raw.write(text)
    return raw.writableLength < PAUSE_AT
  }
  const finish = (text: string, reason: Error, graceMs: number): void => {
    if (abort.signal.aborted) return
    write(text)
    close(reason)
    raw.end()
    // A reader that does not take the end must not hold the connection, nor the server's stop.
    system.later(graceMs, () => raw.destroy())
  }
  const stop = (): void => finish('', new AppError('STARTING'), LAST_WORDS_MS)

  let progressAt = system.monotonic()
  let taken = 0
  const heartbeat = (): void => {
    const now = system.monotonic()
    if (raw.writableLength === 0 || takenBytes(raw) > taken) progressAt = now
    taken = takenBytes(raw)
    if (now - progressAt >= stallMs) {
      raw.destroy()
      return
    }
    if (raw.writableLength === 0) write(':\n\n')
    cancelHeartbeat = system.later(HEARTBEAT_MS, heartbeat)
  }
  let cancelHeartbeat = system.later(HEARTBEAT_MS, heartbeat)
  const releaseWatch = accessWatch.watch(request, (reason) => {
    finish(formatEvent({ event: 'denied', data: errorBody(reason, request.id) }), reason, LAST_WORDS_MS)
  })
  liveStreams.set(stop, principalOf(request))
  raw.on('drain', wake)
  raw.once('close', () => close(new Error('the client left')))
  raw.once('error', () => close(new Error('the client left')))
  if (request.method === 'HEAD') finish('', new Error('HEAD has no body'), 0)

  const sendFormatted = (events: string | Buffer, count: number): boolean => {
    if (raw.writableLength >= maxBuffered) {
      lost += count
      return false
    }
    if (lost > 0) write(formatEvent({ event: 'lost', data: { lost } }))
    lost = 0
    return write(events)
  }

  return {
    signal: abort.signal,
    resumeFrom: resumePoint(request),
    send: (event) => sendFormatted(formatEvent(event), 1),
    sendFormatted,
    ready: () =>
      new Promise((resolve) => {
        if (abort.signal.aborted || !raw.writableNeedDrain) resolve()
        else waiting.push(resolve)
      }),
    comment: (text) => void write(`: ${text.replaceAll(/[\r\n]+/g, ' ')}\n\n`),
    end: (final) => {
      const notice = lost === 0 ? '' : formatEvent({ event: 'lost', data: { lost } })
      const done = final === undefined ? '' : formatEvent({ event: 'done', data: final })
      finish(notice + done, new Error('the stream is over'), stallMs)
    },
  }
}

const MAX_STREAMS = 10_000
const MAX_STREAMS_OF_ONE = 200

/** Throws BUSY when the server has as many streams as it can feed, RATE_LIMITED when the caller has more than their share. */
function refuseTooMany(request: FastifyRequest): void {
  const { liveStreams } = request.server
  if (liveStreams.size >= MAX_STREAMS) throw new AppError('BUSY', { retryAfterSeconds: 30 })
  const own = principalOf(request)
  let count = 0
  for (const principal of liveStreams.values()) if (principal === own) count += 1
  if (count < MAX_STREAMS_OF_ONE) return
  const message = `You have ${count} streams open; close some first.`
  throw new AppError('RATE_LIMITED', { message, retryAfterSeconds: 10 })
}

/** How long a stopping server waits for a reader to take what was sent. */
const LAST_WORDS_MS = 2000

/** How many bytes have left for the peer. */
function takenBytes(raw: ServerResponse): number {
  return raw.socket ? raw.socket.bytesWritten - raw.socket.writableLength : 0
}

function begin(reply: FastifyReply): ServerResponse {
  reply.hijack()
  const { raw } = reply
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) raw.setHeader(name, value)
  raw.setHeader('content-type', 'text/event-stream; charset=utf-8')
  raw.setHeader('cache-control', 'no-store')
  // nginx and its like would hold the events back.
  raw.setHeader('x-accel-buffering', 'no')
  raw.writeHead(200)
  raw.flushHeaders()
  return raw
}

/** An event as it goes over the wire. */
export function formatEvent({ id, event, data }: StreamEvent): string {
  const text = typeof data === 'string' ? data : JSON.stringify(data)
  const lines = text.split(/\r\n|\r|\n/)
  return `${id === undefined ? '' : `id: ${id}\n`}${event === undefined ? '' : `event: ${event}\n`}${lines.map((line) => `data: ${line}\n`).join('')}\n`
}

function resumePoint(request: FastifyRequest): string | undefined {
  const header = request.headers['last-event-id']
  if (typeof header === 'string' && header !== '') return header.slice(0, 256)
  const { since } = request.query as { since?: unknown }
  return typeof since === 'string' && since !== '' ? since.slice(0, 256) : undefined
}
