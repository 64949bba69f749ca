import { ApiError, CliError, EXIT } from './cli-error.ts'
import { queryText } from '../api-client/route.ts'
import type { Client } from './client.ts'
import { readFailure, unreachable } from './http-answer.ts'
import { EventReader, type ServerEvent } from './sse.ts'
import type { Surroundings } from './verb.ts'

export interface FollowOptions {
  client: Client
  path: string
  /** For the first time only: afterwards the last event says where to go on. */
  query?: Readonly<Record<string, string | number | undefined>>
  /** Told when the connection was cut and is made again, and when it is back. */
  onCut?: (reason: string) => void
  onBack?: () => void
  surroundings: Pick<Surroundings, 'system' | 'signal'>
}

/** The server sends something every 15 seconds; after this much silence the connection is dead. */
const SILENCE_MS = 60_000
const MOST_TRIES = 20
const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 5000
/** A connection that held this long was sound: a cut is then no further failure in a row. */
const SOUND_MS = 10_000

/**
 * The events of a stream to its end (`event: done`), over as many connections as it takes; a cut costs no event and repeats none. Throws a CliError
 * when the server refuses, or cannot be reached again for more than a minute.
 */
export async function* followEvents(options: FollowOptions): AsyncGenerator<ServerEvent, void, undefined> {
  const { system, signal } = options.surroundings
  let lastEventId = ''
  let failures = 0
  let isCut = false
  for (;;) {
    const startedAt = system.monotonic()
    let error: unknown
    try {
      for await (const event of readOnce(options, lastEventId)) {
        if (isCut) options.onBack?.()
        isCut = false
        failures = 0
        lastEventId = event.id
        yield event
        if (event.type === 'done') return
      }
      error = new CliError('the stream broke off', { exit: EXIT.unavailable })
    } catch (caught) {
      error = caught
    }
    if (!mayTryAgain(error, signal)) throw error
    failures = system.monotonic() - startedAt >= SOUND_MS ? 1 : failures + 1
    if (failures > MOST_TRIES) throw error
    if (!isCut && failures > 1) {
      isCut = true
      options.onCut?.((error as CliError).message)
    }
    await system.sleep(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1)), signal)
  }
}

function mayTryAgain(error: unknown, signal: AbortSignal): boolean {
  return !signal.aborted && error instanceof CliError && error.exit === EXIT.unavailable
}

async function* readOnce(
  { client, path, query = {}, surroundings: { system, signal } }: FollowOptions,
  lastEventId: string,
): AsyncGenerator<ServerEvent, void, undefined> {
  const silent = new AbortController()
  const expectMore = (): (() => void) =>
    system.later(SILENCE_MS, () =>
      silent.abort(new CliError('the connection went silent', { exit: EXIT.unavailable })),
    )
  let cancel = expectMore()
  try {
    const response = await client.fetch('GET', path + (lastEventId === '' ? queryText(query) : ''), {
      headers: {
        accept: 'text/event-stream',
        ...(lastEventId === '' ? {} : { 'last-event-id': lastEventId }),
      },
      unlimited: true,
      signal: silent.signal,
    })
    if (!response.ok) throw new ApiError(await readFailure(client.origin, response))
    const type = response.headers.get('content-type') ?? ''
    if (!type.startsWith('text/event-stream'))
      throw new CliError(`${client.origin} answered ${path} with ${type}, which is no event stream`)
    const reader = new EventReader(lastEventId)
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      cancel()
      cancel = expectMore()
      for (const event of reader.push(chunk)) {
        if (event.type === 'denied') throw denied(event)
        yield event
      }
    }
  } catch (error) {
    throw silent.signal.aborted ? silent.signal.reason : unreachable(client.origin, error, signal)
  } finally {
    cancel()
  }
}

/** The server ends a stream so when the reader's login or rights are gone. */
function denied({ data }: ServerEvent): ApiError {
  const body = parseObject(data)
  const text = (value: unknown, fallback: string): string => (typeof value === 'string' ? value : fallback)
  return new ApiError({
    status: 403,
    code: text(body['error'], 'FORBIDDEN'),
    message: text(body['message'], 'access was withdrawn'),
    details: [],
  })
}

/** The object in an event's data; empty when there is none. */
export function parseObject(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    // A line of plain text.
    return {}
  }
}
