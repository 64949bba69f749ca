import { request } from 'node:http'
import { systemCodeOf } from '../../lib/errors.ts'

/** What came of asking one address. */
export type Fetched =
  | { kind: 'answer'; status: number; location: string | undefined; body: string }
  | { kind: 'failed'; why: 'connection_refused' | 'timed_out' | 'unreachable'; error: string }

export interface FetchRequest {
  /** Connected to as it is: the name is not looked up again, so what was checked is what is asked. */
  address: string
  port: number
  hostname: string
  path: string
  timeoutMs: number
}

/** A proof is short; what is longer is not one. */
const MAX_BODY_BYTES = 1024

/** Asks one address over HTTP for the proof of a hostname. Follows nothing, sends nothing but the question. */
export async function fetchChallenge(asked: FetchRequest, signal: AbortSignal): Promise<Fetched> {
  const deadline = AbortSignal.timeout(asked.timeoutMs)
  const host = asked.port === 80 ? asked.hostname : `${asked.hostname}:${asked.port}`
  const outcome = Promise.withResolvers<Fetched>()
  const outgoing = request({
    host: asked.address,
    port: asked.port,
    path: asked.path,
    agent: false,
    headers: { host, 'user-agent': 'berth-domain-check', accept: 'text/plain' },
    setHost: false,
    maxHeaderSize: 16_384,
    signal: AbortSignal.any([signal, deadline]),
  })
  outgoing.on('error', (error) => outcome.resolve(failure(error, deadline.aborted)))
  outgoing.on('response', (response) => {
    const chunks: Buffer[] = []
    let size = 0
    const finish = (): void =>
      outcome.resolve({
        kind: 'answer',
        status: response.statusCode ?? 0,
        location: response.headers.location,
        body: Buffer.concat(chunks).toString('latin1'),
      })
    response.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= MAX_BODY_BYTES) chunks.push(chunk)
      else {
        finish()
        outgoing.destroy()
      }
    })
    response.on('end', finish)
    response.on('error', (error) => outcome.resolve(failure(error, deadline.aborted)))
  })
  // Neither a response nor an error: it switches protocols unasked, which without this listener only closes the request.
  outgoing.on('upgrade', ({ statusCode: status = 101 }, socket) => {
    socket.destroy()
    outcome.resolve({ kind: 'answer', status, location: undefined, body: '' })
  })
  outgoing.on('close', () => outcome.resolve(failure(new Error('closed'), deadline.aborted)))
  outgoing.end()
  const fetched = await outcome.promise
  signal.throwIfAborted()
  return fetched
}

function failure(error: Error, late: boolean): Fetched {
  const code = systemCodeOf(error) ?? error.name
  if (late || code === 'ETIMEDOUT') return { kind: 'failed', why: 'timed_out', error: code }
  return { kind: 'failed', why: code === 'ECONNREFUSED' ? 'connection_refused' : 'unreachable', error: code }
}
