import { type AddressInfo } from 'node:net'
import { pino } from 'pino'
import type { Test } from 'tap'
import { createServer, type Server, type ServerDeps } from '../../src/http/server.ts'
import { openApiRoutes } from '../../src/http/openapi/openapi-routes.ts'
import { createSystem, type System } from '../../src/lib/system.ts'
import { createAudit } from '../../src/modules/audit/audit-operations.ts'
import { auditRoutes } from '../../src/modules/audit/audit-routes.ts'
import { createIdentity } from '../../src/modules/identity/identity-operations.ts'
import { identityRoutes } from '../../src/modules/identity/identity-routes.ts'
import { openMigrated } from './migrated-database.ts'

export const ADMIN_TOKEN = 'bth_adm_of-the-tests-0123456789'
export const PASSWORD = 'a long enough password'

export interface Answer {
  status: number
  body: Record<string, unknown> & {
    error?: string
    message?: string
    details?: { field?: string; message: string }[]
  }
  list: Record<string, unknown>[]
  text: string
  headers: Record<string, string | string[] | number | undefined>
}

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS'

export interface Options {
  system?: System
  settings?: Partial<ServerDeps['settings']>
  session?: { session_idle_seconds: number; session_max_seconds: number }
  addRoutes?: (server: Server) => void
  databaseFile?: string
}

/** A clock that a test moves; everything else is real. */
export function movableSystem(): System & { advance(ms: number): void; setBack(ms: number): void } {
  const real = createSystem()
  let ahead = 0
  let back = 0
  return {
    ...real,
    now: () => real.now() + ahead - back,
    nowIso: () => new Date(real.now() + ahead - back).toISOString(),
    monotonic: () => real.monotonic() + ahead,
    advance: (ms) => {
      ahead += ms
    },
    /** As when a clock that was ahead is put right: time goes on from an earlier one. */
    setBack: (ms) => {
      back += ms
    },
  }
}

/** A clock that stands still between steps, so that a slow machine counts like a fast one. */
export function standingSystem(): System & { advance(ms: number): void } {
  const real = createSystem()
  let now = real.now()
  return {
    ...real,
    now: () => now,
    nowIso: () => new Date(now).toISOString(),
    monotonic: () => now,
    advance: (ms) => {
      now += ms
    },
  }
}

/** Identity and audit behind the real server, over a database in memory. */
export async function openIdentityApi(t: Test, options: Options = {}) {
  const system = options.system ?? createSystem()
  const file = options.databaseFile ?? ':memory:'
  const database = openMigrated(file)
  const problems: unknown[] = []
  const onError = (error: unknown): void => void problems.push(error)
  const audit = createAudit({ database, system, onError })
  const identity = createIdentity({
    database,
    system,
    record: audit.record,
    adminToken: ADMIN_TOKEN,
    onError,
    settings: options.session ?? { session_idle_seconds: 3600, session_max_seconds: 86_400 },
  })
  let logged = ''
  const server = createServer({
    log: pino({ level: 'trace' }, { write: (line: string) => void (logged += line) }),
    system,
    authenticate: identity.authenticate,
    accessRevision: () => audit.accessRevision(),
    onDenied: (denial) => audit.recordDenial(denial),
    idempotency: identity.idempotency,
    finders: {
      project: (id) => database.get<{ id: string }>('SELECT id FROM projects WHERE id = $id', { id })?.id,
      service: () => undefined,
      deployment: () => undefined,
    },
    settings: { trusted_proxies: [], rate_limit_per_minute: 1_000_000, ...options.settings },
  })
  identityRoutes(server, identity)
  auditRoutes(server, audit)
  options.addRoutes?.(server)
  openApiRoutes(server, '0.0.0-test')
  t.teardown(async () => {
    await server.close()
    database.close()
  })

  /** Sends a request; `token` goes into the Authorization header. */
  const send = async (
    token: string | undefined,
    method: Method,
    url: string,
    payload?: unknown,
    headers: Record<string, string> = {},
    remoteAddress = '127.0.0.1',
  ): Promise<Answer> => {
    const response = await server.inject({
      method,
      url,
      remoteAddress,
      headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
      ...(payload === undefined ? {} : { payload: payload as object }),
    })
    let body: unknown = {}
    try {
      body = JSON.parse(response.body)
    } catch {
      // Not every answer is JSON; `text` has it.
    }
    return {
      status: response.statusCode,
      body: body as Answer['body'],
      list: body as Answer['list'],
      text: response.body,
      headers: response.headers,
    }
  }
  const login = async (username: string, password = PASSWORD): Promise<string> => {
    const answer = await send(undefined, 'POST', '/v1/auth/login', { username, password })
    if (answer.status !== 200) throw new Error(`login of ${username}: ${answer.text}`)
    return String(answer.body['token'])
  }
  /** Makes the first administrator and answers a session of theirs. */
  const bootstrap = async (username = 'root'): Promise<string> => {
    await send(ADMIN_TOKEN, 'POST', '/v1/bootstrap', { username, password: PASSWORD })
    return login(username)
  }
  const addProject = (name: string): string => {
    const id = system.newId()
    const now = system.nowIso()
    database.run('INSERT INTO projects (id, name, created_at, updated_at) VALUES ($id, $name, $now, $now)', {
      id,
      name,
      now,
    })
    return id
  }
  /** Adds a user with roles in projects and answers their id and a session. */
  const addUser = async (root: string, username: string, roles: Record<string, string> = {}) => {
    const made = await send(root, 'POST', '/v1/users', { username, password: PASSWORD })
    const id = String(made.body['id'])
    for (const [project, role] of Object.entries(roles)) {
      const answer = await send(root, 'POST', `/v1/projects/${project}/members`, { user_id: id, role })
      if (answer.status !== 201) throw new Error(answer.text)
    }
    return { id, session: await login(username) }
  }

  return {
    server,
    database,
    system,
    identity,
    audit,
    send,
    login,
    bootstrap,
    addProject,
    addUser,
    log: () => logged,
    /** What could not be done beside the requests. */
    problems,
    /** SQLite refuses every write meanwhile, as on a disk that takes none. */
    withoutWrites: async <T>(work: () => Promise<T>): Promise<T> => {
      database.exec('PRAGMA query_only = 1')
      try {
        return await work()
      } finally {
        database.exec('PRAGMA query_only = 0')
      }
    },
    /** Listens on a free port of loopback; answers the origin. */
    listen: async (): Promise<string> => {
      await server.listen({ host: '127.0.0.1', port: 0 })
      return `http://127.0.0.1:${(server.server.address() as AddressInfo).port}`
    },
  }
}
