import { mkdirSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pino } from 'pino'
import { createServer } from '../../src/http/server.ts'
import { createSystem, type System } from '../../src/lib/system.ts'
import { createAudit } from '../../src/modules/audit/audit-operations.ts'
import { createIdentity } from '../../src/modules/identity/identity-operations.ts'
import { identityRoutes } from '../../src/modules/identity/identity-routes.ts'
import type { Passwords } from '../../src/modules/identity/password.ts'
import { createRegistry } from '../../src/modules/registry/registry.ts'
import { registryControlRoutes } from '../../src/modules/registry/registry-control-routes.ts'
import { registryRoutes } from '../../src/modules/registry/registry-routes.ts'
import { openMigrated } from './migrated-database.ts'

export const ADMIN_TOKEN = 'bth_adm_of-the-tests-0123456789'
export const USERNAME = 'root'
export const PASSWORD = 'a long enough password'
export const PROJECT = 'demo'

export interface RegistryApiOptions {
  dataDir: string
  system?: System
  port?: number
  passwords?: Passwords
  settings?: Partial<Parameters<typeof createRegistry>[0]['settings']>
  /** The background loops run only then. */
  workers?: boolean
}

/** Identity and registry behind the real server on a real port, over a data directory that may have been used before. */
export async function openRegistryApi(options: RegistryApiOptions) {
  const { dataDir } = options
  mkdirSync(dataDir, { recursive: true })
  const system = options.system ?? createSystem()
  const file = join(dataDir, 'berth.db')
  const database = openMigrated(file)
  const problems: string[] = []
  const note = (what: string, details: unknown): void => {
    const cause = (details as { err?: unknown }).err
    problems.push(`${what} ${JSON.stringify(details)} ${cause instanceof Error ? cause.stack : ''}`)
  }
  const audit = createAudit({ database, system, onError: (error) => note('audit', { err: error }) })
  const identity = createIdentity({
    database,
    system,
    record: audit.record,
    adminToken: ADMIN_TOKEN,
    onError: (error) => note('identity', { err: error }),
    ...(options.passwords !== undefined && { passwords: options.passwords }),
    settings: { session_idle_seconds: 36_000, session_max_seconds: 86_400 },
  })
  const registry = await createRegistry({
    database,
    system,
    identity,
    recordAudit: audit.record,
    onDenied: audit.recordDenial,
    accessRevision: audit.accessRevision,
    hasService: () => true,
    tagged: () => {},
    describeHolder: (id) => `deployment ${id}`,
    onProblem: note,
    onError: (error) => note(error instanceof Error ? `${error.stack}` : String(error), {}),
    settings: {
      data_dir: dataDir,
      disk_reserve_bytes: 0,
      registry_blob_max_bytes: 32 * 1024 ** 3,
      registry_upload_ttl_seconds: 3600,
      registry_grace_seconds: 3600,
      registry_collect_every_seconds: 3600,
      registry_scrub_days: 14,
      ...options.settings,
    },
  })
  const server = createServer({
    log: pino({ level: 'error' }, { write: (line: string) => note(line, {}) }),
    system,
    authenticate: identity.authenticate,
    accessRevision: audit.accessRevision,
    onDenied: audit.recordDenial,
    idempotency: identity.idempotency,
    finders: {
      project: (id) => database.get<{ id: string }>('SELECT id FROM projects WHERE id = $id', { id })?.id,
      service: () => undefined,
      deployment: () => undefined,
    },
    settings: { trusted_proxies: [], rate_limit_per_minute: 10_000_000 },
  })
  identityRoutes(server, identity)
  registryRoutes(server, {
    protocol: registry.protocol,
    rateLimitPerMinute: 1_000_000_000,
  })
  registryControlRoutes(server, registry.control)
  await server.listen({ host: '127.0.0.1', port: options.port ?? 0 })
  const { port } = server.server.address() as AddressInfo
  if (options.workers === true) for (const worker of registry.workers) worker.start()

  const call = async (token: string, method: string, path: string, body?: unknown) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    return { status: answer.status, body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> }
  }
  const login = async (username = USERNAME): Promise<string> => {
    const answer = await call('', 'POST', '/v1/auth/login', { username, password: PASSWORD })
    if (answer.status !== 200) throw new Error(`login: ${JSON.stringify(answer.body)}`)
    return String(answer.body['token'])
  }
  const addProject = (name: string): string => {
    const found = database.get<{ id: string }>('SELECT id FROM projects WHERE name = $name', { name })
    if (found) return found.id
    const [id, now] = [system.newId(), system.nowIso()]
    database.run('INSERT INTO projects (id, name, created_at, updated_at) VALUES ($id, $name, $now, $now)', {
      id,
      name,
      now,
    })
    return id
  }
  await call(ADMIN_TOKEN, 'POST', '/v1/bootstrap', { username: USERNAME, password: PASSWORD })
  const session = await login()
  const projectId = addProject(PROJECT)

  /** A release that may hold an image. */
  const addDeployment = (): string => {
    const [service, id, now] = [system.newId(), system.newId(), system.nowIso()]
    database.run(
      `INSERT INTO services (id, project_id, name, source, build, config, replicas, desired_state, created_at, updated_at)
       VALUES ($service, $projectId, $service, '{}', '{}', '{}', 1, 'running', $now, $now)`,
      { service, projectId, now },
    )
    database.run(
      `INSERT INTO deployments (id, service_id, project_id, number, status, source, build, config, created_by, created_at, updated_at)
       VALUES ($id, $service, $projectId, 1, 'Healthy', '{}', '{}', '{}', '{}', $now, $now)`,
      { id, service, projectId, now },
    )
    return id
  }

  return {
    addDeployment,
    server,
    database,
    system,
    identity,
    audit,
    registry,
    problems,
    port,
    session,
    projectId,
    dataDir,
    host: `127.0.0.1:${port}`,
    origin: `http://127.0.0.1:${port}`,
    call,
    login,
    addProject,
    /** An API token of the first user. */
    mintToken: async (body: Record<string, unknown> = {}): Promise<string> => {
      const answer = await call(session, 'POST', '/v1/api-tokens', { name: 'test', ...body })
      if (answer.status !== 201) throw new Error(`token: ${JSON.stringify(answer.body)}`)
      return String(answer.body['token'] ?? answer.body['plaintext'])
    },
    /** Adds a user with roles by project and answers a session of theirs. */
    addUser: async (username: string, roles: Record<string, string>): Promise<string> => {
      const made = await call(session, 'POST', '/v1/users', { username, password: PASSWORD })
      for (const [project, role] of Object.entries(roles))
        await call(session, 'POST', `/v1/projects/${project}/members`, { user_id: made.body['id'], role })
      return login(username)
    },
    close: async (): Promise<void> => {
      for (const worker of registry.workers) await worker.stop()
      await server.close()
      await registry.close()
      audit.flush()
      database.close()
    },
  }
}

export type RegistryApi = Awaited<ReturnType<typeof openRegistryApi>>
