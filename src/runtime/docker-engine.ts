import { Agent } from 'node:http'
import type { Duplex, Readable } from 'node:stream'
import { inspect } from 'node:util'
import Docker from 'dockerode'
import { AppError, isAppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import { translateEngineError } from './docker-errors.ts'

/** What Berth is written against: Docker Engine 20.10. An engine that has dropped it is spoken to in the oldest version that it knows. */
const WANTED_API = '1.41'
const CALL_TIMEOUT_MS = 30_000
const CONNECT_TIMEOUT_MS = 10_000

export interface CallOptions {
  /** How long the engine may take, in milliseconds; `null` for as long as it likes. Default 30 s. */
  timeoutMs?: number | null
  signal?: AbortSignal | undefined
}

/** A request of docker-modem's own form, for answers that are streams. */
export interface StreamRequest {
  method: 'GET' | 'POST' | 'PUT'
  /** Without a version. */
  path: string
  query: Record<string, string | number | boolean | undefined | string[]>
  /** The body, sent as it is read. */
  body?: Readable
  /** What the engine shows to a registry (`X-Registry-Auth`). */
  registryAuth?: Record<string, string>
}

/** A request after which its connection speaks another protocol. */
export interface UpgradeRequest {
  /** Without a version. */
  path: string
  protocol: string
  headers: Record<string, string | string[]>
}

/** One connection to one engine: version, deadlines and errors are dealt with here and nowhere else. */
export interface DockerEngine {
  /** Runs a short call under a deadline. Errors are ours. */
  call<T>(
    verb: string,
    run: (docker: Docker, signal: AbortSignal) => Promise<T>,
    options?: CallOptions,
  ): Promise<T>
  /** Opens a streamed answer. The deadline is for its beginning; aborting the signal destroys it at any time. */
  open(verb: string, request: StreamRequest, options?: CallOptions): Promise<Readable>
  /** Turns a connection over to another protocol. The deadline is for that; the caller destroys the connection. */
  upgrade(verb: string, request: UpgradeRequest, options?: CallOptions): Promise<Duplex>
  /** The API version that is spoken. */
  apiVersion(): Promise<string>
}

export interface DockerEngineOptions {
  socketPath: string
  system: System
}

export function createDockerEngine({ socketPath, system }: DockerEngineOptions): DockerEngine {
  // A kept-alive socket of an engine that has restarted costs a spurious error; a new one on a Unix socket costs nothing.
  const agent = Object.assign(new Agent({ keepAlive: false }), { [inspect.custom]: describeAgent })
  let connection: Promise<Connection> | undefined

  const connect = (): Promise<Connection> => {
    connection ??= negotiate(socketPath, agent, system).catch((error: unknown) => {
      connection = undefined
      throw error
    })
    return connection
  }

  const call: DockerEngine['call'] = async (verb, run, { timeoutMs = CALL_TIMEOUT_MS, signal } = {}) => {
    signal?.throwIfAborted()
    const deadline = startDeadline(system, verb, timeoutMs, signal)
    try {
      const { docker } = await orAborted(connect(), deadline.signal)
      return await orAborted(run(docker, deadline.signal), deadline.signal)
    } catch (error) {
      signal?.throwIfAborted()
      const translated = translateEngineError(error, verb)
      // The engine that comes back may be another version.
      if (isAppError(translated, 'RUNTIME_UNAVAILABLE')) connection = undefined
      throw translated
    } finally {
      deadline.cancel()
    }
  }

  return {
    call,
    open: (verb, request, options) =>
      call(verb, (docker, signal) => dialStream(docker, request, signal), options),
    upgrade: (verb, request, options) =>
      call(verb, (docker, signal) => dialUpgrade(docker, request, signal), options),
    apiVersion: async () => (await call('negotiate', connect)).version,
  }
}

/** docker-modem prints every request for its debug log, read or not: with the agent's sockets, and all that hangs on them, it takes longer than the request. */
function describeAgent(): string {
  return 'Agent'
}

interface Connection {
  docker: Docker
  version: string
}

async function negotiate(socketPath: string, agent: Agent, system: System): Promise<Connection> {
  const deadline = startDeadline(system, 'negotiate', CONNECT_TIMEOUT_MS, undefined)
  try {
    const found = await orAborted(openDocker(socketPath, agent).version(), deadline.signal)
    const version = chooseApiVersion(found.ApiVersion, found.MinAPIVersion)
    if (version === undefined) {
      throw new AppError('RUNTIME_UNAVAILABLE', {
        message: `Docker Engine ${found.Version} speaks API ${found.ApiVersion}; Berth needs ${WANTED_API} (Docker Engine 20.10) or newer.`,
      })
    }
    return { docker: openDocker(socketPath, agent, version), version }
  } catch (error) {
    throw translateEngineError(error, 'negotiate')
  } finally {
    deadline.cancel()
  }
}

/** The version to speak with an engine that knows `lowest` to `highest`, or undefined when the engine is too old. */
export function chooseApiVersion(highest: string, lowest: string | undefined): string | undefined {
  if (compareVersions(highest, WANTED_API) < 0) return undefined
  return lowest !== undefined && compareVersions(lowest, WANTED_API) > 0 ? lowest : WANTED_API
}

function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split('.').map(Number)
  const [majorB = 0, minorB = 0] = b.split('.').map(Number)
  return majorA - majorB || minorA - minorB
}

function openDocker(socketPath: string, agent: Agent, version?: string): Docker {
  // Empty `host`: else docker-modem takes DOCKER_HOST from the environment over the socket that it is given.
  const options = { socketPath, host: '', protocol: 'http' as const, agent }
  return new Docker(version === undefined ? options : { ...options, version: `v${version}` })
}

/**
 * dockerode's own `logs` buffers the whole answer unless it follows, and its `buildImage` opens a gRPC session for BuildKit that knows of
 * no secrets; so streams are asked of its transport.
 */
function dialStream(docker: Docker, request: StreamRequest, signal: AbortSignal): Promise<Readable> {
  return new Promise((resolve, reject) => {
    docker.modem.dial(
      {
        path: `${request.path}?`,
        method: request.method,
        options: { _query: request.query, _body: {} },
        authconfig: request.registryAuth,
        file: request.body,
        isStream: true,
        abortSignal: signal,
        statusCodes: { 200: true },
      },
      (error: unknown, stream: unknown) => (error ? reject(error) : resolve(stream as Readable)),
    )
  })
}

function dialUpgrade(docker: Docker, request: UpgradeRequest, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    docker.modem.dial(
      {
        path: request.path,
        method: 'POST',
        headers: { ...request.headers, Upgrade: request.protocol },
        hijack: true,
        abortSignal: signal,
        statusCodes: { 101: true },
      },
      (error: unknown, socket: unknown) => {
        if (error) return reject(error)
        // The caller has left: nobody else would end this connection.
        if (signal.aborted) (socket as Duplex).destroy()
        resolve(socket as Duplex)
      },
    )
  })
}

interface Deadline {
  signal: AbortSignal
  cancel: () => void
}

function startDeadline(
  system: System,
  verb: string,
  ms: number | null,
  signal: AbortSignal | undefined,
): Deadline {
  const overdue = new AbortController()
  const cancel = ms === null ? () => {} : system.later(ms, () => overdue.abort(tooSlow(verb, ms)))
  return { signal: signal ? AbortSignal.any([overdue.signal, signal]) : overdue.signal, cancel }
}

function tooSlow(verb: string, ms: number): AppError {
  return new AppError('RUNTIME_UNAVAILABLE', {
    message: 'The container engine does not answer.',
    cause: new Error(`docker: ${verb}: no answer within ${ms} ms`),
  })
}

/** dockerode never settles when an answer breaks off in its middle, and not every verb of it knows signals. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason as Error)
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener('abort', onAbort))
}
