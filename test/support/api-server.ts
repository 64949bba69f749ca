import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { decodeArchive } from '../../src/lib/archive-decode.ts'
import { ArchiveReader } from '../../src/lib/archive-reader.ts'

export interface SeenRequest {
  method: string
  path: string
  query: URLSearchParams
  headers: IncomingMessage['headers']
  /** Parsed JSON; undefined when there was none. */
  body: unknown
}

type Json = Record<string, unknown>
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

export const ADMIN_TOKEN = 'berth_admin_0123456789012345678901234567890123'
export const PASSWORD = 'correct horse battery staple'
/** A good API token of alice, who may do everything. */
export const ALICE = 'berth_token_alice'

class Refusal extends Error {
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

function newService(fields: Json): Json {
  const now = '2026-11-21T08:00:00.000Z'
  return {
    id: randomUUID(),
    status: 'New',
    url: `http://${String(fields['name'])}.default.localhost/`,
    replicas: 1,
    internal_port: 8080,
    dockerfile_path: null,
    target: null,
    build_args: {},
    live_deployment_id: null,
    created_at: now,
    updated_at: now,
    ...fields,
  }
}

/** Starts the server; it ends with the test. */
export async function startApiServer(t: Test): Promise<ApiServer> {
  const overrides = new Map<string, { handler: Handler; left: number }>()
  const server = createServer((raw, response) => {
    void serve(raw, response).catch((error: unknown) => {
      if (error instanceof Refusal) refuse(response, error.status, error.code, error.message)
      else response.destroy(error as Error)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const api: ApiServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    on: (target, handler, times = Number.POSITIVE_INFINITY) =>
      void overrides.set(target, { handler, left: times }),
    users: new Map([['alice', { id: randomUUID(), password: PASSWORD, super_admin: true }]]),
    tokens: new Map([
      [ALICE, { id: randomUUID(), username: 'alice', kind: 'api_token', name: 'given' }],
      [ADMIN_TOKEN, { id: randomUUID(), username: 'admin', kind: 'admin_token', name: 'install' }],
    ]),
    projects: [
      { id: randomUUID(), name: 'default', description: '', created_at: '2026-11-21T08:00:00.000Z' },
    ],
    services: [],
    deployments: [],
    uploaded: [],
    deploymentLog: ['fetching', 'Step 1/2 : FROM base', 'checking'],
    deploymentEnd: { status: 'Healthy', reason: null },
    initialized: true,
    close: () => closeServer(server),
  }
  t.teardown(() => api.close())

  const serve = async (raw: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(`${api.url}${raw.url}`)
    const isUpload = raw.method === 'POST' && url.pathname.endsWith('/uploads')
    const request: SeenRequest = {
      method: raw.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: raw.headers,
      body: isUpload ? undefined : await readBody(raw),
    }
    api.requests.push(request)
    const override = overrides.get(`${request.method} ${request.path}`)
    if (override && override.left > 0) {
      override.left -= 1
      await override.handler(request, response, raw)
      return
    }
    await route(api, request, response, raw)
  }
  return api
}

async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => void server.close(resolve))
}

async function readBody(raw: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of raw as AsyncIterable<Buffer>) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  return text === '' ? undefined : JSON.parse(text)
}

interface Caller {
  token: string
  id: string
  username: string
  kind: 'session' | 'api_token' | 'admin_token'
  name: string
}

function requireCaller(api: ApiServer, { headers }: SeenRequest): Caller {
  const token = (headers.authorization ?? '').replace(/^Bearer /, '')
  const found = api.tokens.get(token)
  if (!found) throw new Refusal(401, 'UNAUTHENTICATED', 'Valid credentials are required.')
  return { token, ...found }
}

function find(list: readonly Json[], id: string | undefined): Json {
  const found = list.find((each) => each['id'] === id)
  if (!found) throw new Refusal(404, 'NOT_FOUND', 'There is no such thing here.')
  return found
}

async function route(
  api: ApiServer,
  request: SeenRequest,
  response: ServerResponse,
  raw: IncomingMessage,
): Promise<void> {
  const body = (request.body ?? {}) as Json
  const [, , first = '', id, third, fourth] = request.path.split('/')
  if (request.path === '/v1/auth/login') return login(api, body, response)
  const caller = requireCaller(api, request)
  const pattern = `${request.method} /${[first, id && ':id', third, fourth].filter(Boolean).join('/')}`
  switch (pattern) {
    case 'POST /auth/:id':
      api.tokens.delete(caller.token)
      return answer(response, 204)
    case 'POST /bootstrap':
      if (caller.kind !== 'admin_token')
        throw new Refusal(403, 'FORBIDDEN', 'That needs the install admin token.')
      if (api.initialized)
        throw new Refusal(409, 'ALREADY_INITIALIZED', 'The first administrator exists already.')
      api.initialized = true
      api.users.set(String(body['username']), {
        id: randomUUID(),
        password: String(body['password']),
        super_admin: true,
      })
      return answer(response, 201, { id: randomUUID(), username: body['username'] })
    case 'GET /me':
      return answer(response, 200, {
        principal: {
          kind: caller.kind === 'admin_token' ? 'admin_token' : 'user',
          via: caller.kind,
          username: caller.username,
        },
        is_super_admin: true,
        admin_initialized: api.initialized,
        memberships: [],
        permissions: [],
      })
    case 'POST /api-tokens': {
      const minted = {
        id: randomUUID(),
        name: String(body['name']),
        prefix: 'berth_token_ab',
        expires_at: body['expires_at'] ?? null,
      }
      const token = `berth_token_${randomUUID()}`
      api.tokens.set(token, {
        id: minted.id,
        username: caller.username,
        kind: 'api_token',
        name: minted.name,
      })
      return answer(response, 201, { ...minted, token })
    }
    case 'GET /api-tokens':
      return answer(
        response,
        200,
        [...api.tokens.values()]
          .filter(({ kind }) => kind === 'api_token')
          .map((each) => ({ ...each, prefix: 'berth_token_ab' })),
      )
    case 'DELETE /api-tokens/:id': {
      const [token] = [...api.tokens].find(([, each]) => each.id === id) ?? []
      if (token === undefined) throw new Refusal(404, 'NOT_FOUND', 'There is no such thing here.')
      api.tokens.delete(token)
      return answer(response, 204)
    }
    case 'POST /users': {
      if (caller.kind !== 'session')
        throw new Refusal(
          403,
          'SESSION_REQUIRED',
          'This needs a signed-in session; an API token cannot do it.',
        )
      const user = {
        id: randomUUID(),
        password: String(body['password']),
        super_admin: body['is_super_admin'] === true,
      }
      api.users.set(String(body['username']), user)
      return answer(response, 201, {
        id: user.id,
        username: body['username'],
        is_super_admin: user.super_admin,
      })
    }
    case 'GET /projects':
      return answer(response, 200, api.projects)
    case 'POST /projects':
      api.projects.unshift({ id: randomUUID(), created_at: '2026-11-21T08:00:00.000Z', ...body })
      return answer(response, 201, api.projects[0])
    case 'GET /services':
      return answer(
        response,
        200,
        api.services.filter(
          (each) =>
            !request.query.has('project_id') || each['project_id'] === request.query.get('project_id'),
        ),
      )
    case 'POST /services':
      api.services.unshift(newService(body))
      return answer(response, 201, api.services[0])
    case 'GET /services/:id':
      return answer(response, 200, find(api.services, id))
    case 'PATCH /services/:id':
      return answer(response, 200, Object.assign(find(api.services, id), body))
    case 'DELETE /services/:id':
      api.services.splice(api.services.indexOf(find(api.services, id)), 1)
      return answer(response, 204)
    case 'GET /workloads':
      return answer(
        response,
        200,
        api.services.map((each) => ({
          service_id: each['id'],
          project_id: each['project_id'],
          project_name: 'default',
          name: each['name'],
          status: each['status'],
          replicas: 1,
          healthy_replicas: each['status'] === 'Running' ? 1 : 0,
          url: each['url'],
        })),
      )
    case 'POST /services/:id/uploads':
      find(api.services, id)
      api.uploaded = await readArchive(raw)
      return answer(response, 201, {
        upload_id: randomUUID(),
        size_bytes: 1,
        expires_at: '2026-11-21T09:00:00.000Z',
      })
    case 'GET /services/:id/deployments':
      return answer(
        response,
        200,
        api.deployments.filter((each) => each['service_id'] === id),
      )
    case 'POST /deployments': {
      const service = find(api.services, String(body['service_id']))
      api.deployments.unshift({
        id: randomUUID(),
        service_id: service['id'],
        number: api.deployments.length + 1,
        status: 'Pending',
        step: 'fetch',
        reason: null,
        url: service['url'],
        created_by: { name: caller.username },
        created_at: '2026-11-21T08:00:00.000Z',
      })
      return answer(response, 202, api.deployments[0])
    }
    case 'GET /deployments/:id':
      return answer(response, 200, find(api.deployments, id))
    case 'POST /deployments/:id/cancel':
      return answer(response, 202, Object.assign(find(api.deployments, id), { status: 'Cancelled' }))
    case 'GET /deployments/:id/logs/stream': {
      const deployment = find(api.deployments, id)
      const from = Number(request.headers['last-event-id'] ?? 0)
      sendEvents(
        response,
        api.deploymentLog
          .map((line, index) => ({
            id: index + 1,
            data: { seq: index + 1, ts: '2026-11-21T08:00:00.000Z', stream: 'stdout', line },
          }))
          .slice(from),
      )
      Object.assign(deployment, api.deploymentEnd, { step: null })
      sendEvents(response, [{ event: 'done', data: { status: deployment['status'] } }])
      response.end()
      return
    }
    default:
      throw new Refusal(404, 'NOT_FOUND', 'There is no such thing here.')
  }
}

function login(api: ApiServer, { username, password }: Json, response: ServerResponse): void {
  const user = api.users.get(String(username))
  if (!user || user.password !== password)
    throw new Refusal(401, 'UNAUTHENTICATED', 'User name or password is wrong.')
  const token = `berth_session_${randomUUID()}`
  api.tokens.set(token, { id: randomUUID(), username: String(username), kind: 'session', name: 'session' })
  answer(response, 200, { token, expires_at: '2026-12-21T08:00:00.000Z', user: { id: user.id, username } })
}

async function readArchive(raw: IncomingMessage): Promise<string[]> {
  const reader = new ArchiveReader()
  const names: string[] = []
  for await (const piece of decodeArchive('tar.zst', raw)) {
    for (const event of reader.push(piece)) if (event.type === 'entry') names.push(event.entry.name)
  }
  reader.end()
  return names
}
