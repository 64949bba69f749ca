import type { Duplex } from 'node:stream'
import {
  constants,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { System } from '../lib/system.ts'
import type { DockerEngine } from './docker-engine.ts'
import { encodeBytes, readFields } from './protobuf-fields.ts'

/** BuildKit, session/secrets/secrets.proto. */
const GET_SECRET = '/moby.buildkit.secrets.v1.Secrets/GetSecret'
/** grpc/health/v1/health.proto: BuildKit asks it every few seconds, and ends a session that does not answer. */
const CHECK_HEALTH = '/grpc.health.v1.Health/Check'
const SERVING = Buffer.from([0x08, 0x01])

/** Status codes of gRPC. */
const OK = 0
const INVALID_ARGUMENT = 3
const NOT_FOUND = 5
const UNIMPLEMENTED = 12

/** A request holds the name of a secret and little else. */
const MAX_REQUEST_BYTES = 64 * 1024
/** One byte that says whether the message is compressed, and four of its length. */
const FRAME_HEADER_BYTES = 5

export interface BuildSession {
  /** What the build is given as `session`. */
  id: string
  /** Ends the session; what is under way in it is cut off. */
  close: () => void
}

export interface BuildSessionOptions {
  engine: DockerEngine
  system: System
  /** By the id that the Dockerfile names. They stay in memory here, and in the engine in a tmpfs while a step that asks for them runs. */
  secrets: Readonly<Record<string, string>>
  signal: AbortSignal
}

/**
 * Opens a session of BuildKit, in which the builder asks for secrets when a step needs them: a connection to the engine on which the engine
 * is the client of a gRPC server that is us. Throws what DockerEngine throws.
 */
export async function openBuildSession({
  engine,
  system,
  secrets,
  signal,
}: BuildSessionOptions): Promise<BuildSession> {
  const id = system.randomBytes(16).toString('hex')
  const socket = await engine.upgrade('open build session', sessionRequest(id), { signal })
  const session = serve(socket, new Map(Object.entries(secrets)))
  return { id, close: () => session.destroy() }
}

function sessionRequest(id: string) {
  return {
    path: '/session',
    protocol: 'h2c',
    headers: {
      'X-Docker-Expose-Session-Uuid': id,
      'X-Docker-Expose-Session-Name': 'berth',
      'X-Docker-Expose-Session-Sharedkey': '',
      'X-Docker-Expose-Session-Grpc-Method': [GET_SECRET, CHECK_HEALTH],
    },
  }
}

function serve(socket: Duplex, secrets: ReadonlyMap<string, string>): ServerHttp2Session {
  // A connection that breaks off ends the build, and the build says why.
  socket.on('error', () => {})
  const session = performServerHandshake(socket)
  session.on('error', () => {})
  session.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    const method = headers[constants.HTTP2_HEADER_PATH]
    readMessage(stream, (message) => {
      if (method === CHECK_HEALTH) return answer(stream, OK, SERVING)
      if (method !== GET_SECRET) return answer(stream, UNIMPLEMENTED)
      const name = message && secretAskedFor(message)
      if (name === undefined) return answer(stream, INVALID_ARGUMENT)
      const value = secrets.get(name)
      if (value === undefined) return answer(stream, NOT_FOUND)
      answer(stream, OK, encodeBytes(1, Buffer.from(value)))
    })
  })
  return session
}

/** Hands over the one message of a call, or undefined when it is too large, compressed or cut off. */
function readMessage(stream: ServerHttp2Stream, done: (message: Buffer | undefined) => void): void {
  const chunks: Buffer[] = []
  let bytes = 0
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= MAX_REQUEST_BYTES) chunks.push(chunk)
  })
  stream.once('end', () => {
    const frame = Buffer.concat(chunks)
    const isWhole =
      bytes >= FRAME_HEADER_BYTES &&
      bytes <= MAX_REQUEST_BYTES &&
      frame[0] === 0 &&
      frame.readUInt32BE(1) === bytes - FRAME_HEADER_BYTES
    done(isWhole ? frame.subarray(FRAME_HEADER_BYTES) : undefined)
  })
}

/** GetSecretRequest: the id is its first field. */
function secretAskedFor(message: Buffer): string | undefined {
  try {
    const id = [...readFields(message)].findLast(({ field }) => field === 1)?.value
    return Buffer.isBuffer(id) ? id.toString('utf8') : undefined
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

/** Answers a call (gRPC over HTTP/2, "Responses"): with a message when it went well, else with the status alone. */
function answer(stream: ServerHttp2Stream, status: number, message?: Buffer): void {
  if (stream.destroyed) return
  const headers = { ':status': 200, 'content-type': 'application/grpc' }
  if (message === undefined) {
    stream.respond({ ...headers, 'grpc-status': String(status) }, { endStream: true })
    return
  }
  stream.respond(headers, { waitForTrailers: true })
  stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status) }))
  const header = Buffer.alloc(FRAME_HEADER_BYTES)
  header.writeUInt32BE(message.length, 1)
  stream.end(Buffer.concat([header, message]))
}
