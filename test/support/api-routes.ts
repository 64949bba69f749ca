import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { decodeArchive } from '../../src/lib/archive-decode.ts'
import { ArchiveReader } from '../../src/lib/archive-reader.ts'
import { answer, type ApiServer, type Json, Refusal, type SeenRequest, sendEvents } from './api-wire.ts'

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
    env: {},
    live_deployment_id: null,
    created_at: now,
    updated_at: now,
    ...fields,
  }
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

/** Answers what the contract says, from what the server holds in memory. */
export async function route(
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
          .map(({ id, name }) => ({ id, name, prefix: 'berth_token_ab', created_at: 'x' })),
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
