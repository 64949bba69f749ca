import type { IncomingMessage, ServerResponse } from 'node:http'

export interface SeenRequest {
  method: string
  path: string
  query: URLSearchParams
  headers: IncomingMessage['headers']
  /** Parsed JSON; undefined when there was none. */
  body: unknown
}

export type Json = Record<string, unknown>
export type Handler = (request: SeenRequest, response: ServerResponse, raw: IncomingMessage) => unknown

/** A server that follows the contract of /v1 as far as the commands use it, all in memory. */
export interface ApiServer {
  url: string
  readonly requests: SeenRequest[]
  /** Takes the place of `METHOD /path`, once or for good. */
  on(target: string, handler: Handler, times?: number): void
  readonly users: Map<string, { id: string; password: string; super_admin: boolean }>
  /** Tokens that are good, and whose they are. */
  readonly tokens: Map<
    string,
    { id: string; username: string; kind: 'session' | 'api_token' | 'admin_token'; name: string }
  >
  readonly projects: Json[]
  readonly services: Json[]
  readonly deployments: Json[]
  /** The names in the last upload. */
  uploaded: string[]
  /** The log of every deployment, and how it ends. */
  deploymentLog: string[]
  deploymentEnd: { status: string; reason: string | null }
  initialized: boolean
  close(): Promise<void>
}

/** Thrown by a route to answer a failure. */
export class Refusal extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** Answers JSON. */
export function answer(
  response: ServerResponse,
  status: number,
  body?: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers })
  response.end(body === undefined ? undefined : JSON.stringify(body))
}

/** Answers a failure as the contract shapes it. */
export function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  message: string,
  more: Json = {},
): void {
  answer(response, status, { error: code, message, request_id: 'req-1', ...more })
}

/** Sends events of a stream; `done` ends it. */
export function sendEvents(
  response: ServerResponse,
  events: { id?: number; event?: string; data: unknown }[],
): void {
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const { id, event, data } of events) {
    response.write(
      `${id === undefined ? '' : `id: ${id}\n`}${event === undefined ? '' : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`,
    )
  }
}
