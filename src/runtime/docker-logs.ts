import type { Readable } from 'node:stream'
import { isAppError } from '../lib/errors.ts'
import { requireName } from './docker-containers.ts'
import type { DockerEngine } from './docker-engine.ts'
import { translateEngineError } from './docker-errors.ts'
import { createLogFrameReader } from './log-frames.ts'
import { createLogPlace } from './log-place.ts'
import type { FollowOptions, LogChunk, Runtime } from './runtime.ts'

/** Reads container output through the engine's log driver. */
export function createDockerLogs({ engine }: { engine: DockerEngine }): Pick<Runtime, 'followLogs'> {
  return { followLogs: (name, options, signal) => followLogs(engine, name, options, signal) }
}

async function* followLogs(
  engine: DockerEngine,
  name: string,
  options: FollowOptions,
  signal: AbortSignal,
): AsyncGenerator<LogChunk> {
  const place = createLogPlace()
  for await (const chunk of readLogs(engine, name, options, signal)) {
    place.pass(chunk)
    yield chunk
  }
  // An engine that has just begun a new log file may end before its last lines: what was kept since is read once more.
  const since = place.since()
  if (!options.follow || since === undefined || signal.aborted) return
  for await (const chunk of readLogs(engine, name, { follow: false, since }, signal)) {
    if (place.isNew(chunk)) yield chunk
  }
}

async function* readLogs(
  engine: DockerEngine,
  name: string,
  options: FollowOptions,
  signal: AbortSignal,
): AsyncGenerator<LogChunk> {
  let answer: Readable | undefined
  try {
    answer = await openLogs(engine, name, options, signal)
    const frames = createLogFrameReader()
    for await (const bytes of answer as AsyncIterable<Buffer>) {
      for (const chunk of frames.push(bytes)) {
        if (signal.aborted) return
        yield chunk
      }
    }
  } catch (error) {
    if (signal.aborted) return
    const translated = translateEngineError(error, 'follow logs')
    // 409 is what the engine says of a container that is being removed.
    if (isAppError(translated, 'NOT_FOUND') || isAppError(translated, 'CONFLICT')) return
    throw translated
  } finally {
    answer?.destroy()
  }
}

function openLogs(
  engine: DockerEngine,
  name: string,
  { follow, since, tail }: FollowOptions,
  signal: AbortSignal,
): Promise<Readable> {
  const query = {
    stdout: true,
    stderr: true,
    timestamps: true,
    follow,
    ...(since === undefined ? {} : { since: toUnixNanoseconds(since) }),
    ...(tail === undefined ? {} : { tail }),
  }
  // A quiet container that is followed answers with its headers only when it first says something.
  const timeoutMs = follow ? null : undefined
  return engine.open(
    'follow logs',
    { method: 'GET', path: `/containers/${requireName(name)}/logs`, query },
    timeoutMs === undefined ? { signal } : { signal, timeoutMs },
  )
}

/** `seconds.nanoseconds`, the only form in which the engine takes more than whole seconds here. */
export function toUnixNanoseconds(instant: string): string {
  const match = /^([^.]*?)(?:\.(\d{1,9})\d*)?(Z|[+-]\d{2}:\d{2})$/.exec(instant)
  const seconds = match ? Date.parse(`${match[1]}${match[3]}`) / 1000 : NaN
  if (Number.isNaN(seconds)) throw new TypeError(`Not an RFC 3339 instant: ${instant}`)
  return `${seconds}.${(match?.[2] ?? '').padEnd(9, '0')}`
}
