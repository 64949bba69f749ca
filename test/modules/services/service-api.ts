import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import type { Test } from 'tap'
import { createServer, type Server } from '../../../src/http/server.ts'
import { AppError } from '../../../src/lib/errors.ts'
import { createSystem } from '../../../src/lib/system.ts'
import type { AuditEntry } from '../../../src/modules/audit/audit.ts'
import type { Actor } from '../../../src/modules/identity/actor.ts'
import { createIdempotency } from '../../../src/modules/identity/idempotency.ts'
import {
  BUILT_IN_ROLES,
  type BuiltInRole,
  type Permission,
} from '../../../src/modules/identity/permissions.ts'
import { createProjectOperations } from '../../../src/modules/projects/project-operations.ts'
import { projectRoutes } from '../../../src/modules/projects/project-routes.ts'
import { createProjectStore } from '../../../src/modules/projects/project-store.ts'
import { createSecrets } from '../../../src/modules/secrets/secrets.ts'
import { createServiceOperations } from '../../../src/modules/services/service-operations.ts'
import { serviceRoutes } from '../../../src/modules/services/service-routes.ts'
import { serviceHostnames, urlOfHostname } from '../../../src/modules/services/service-hostname.ts'
import type { Observation } from '../../../src/modules/services/service-status.ts'
import { createServiceStore } from '../../../src/modules/services/service-store.ts'
import { openMigrated } from '../../support/migrated-database.ts'

/** The permissions of a caller by project id; `super-admin` may everything. */
export type Grants = 'super-admin' | Record<string, readonly Permission[]>

export interface Answer {
  status: number
  // Answers are read field by field; what a test expects of them is its assertion.
  body: Record<string, unknown> & { error?: string; details?: { field?: string; message: string }[] }
  list: Record<string, unknown>[]
  text: string
  headers: Record<string, string | string[] | number | undefined>
}

/** Permissions of a built-in role in some projects. */
export function role(name: BuiltInRole, ...projects: string[]): Grants {
  return Object.fromEntries(projects.map((project) => [project, BUILT_IN_ROLES[name]]))
}

function makeActor(name: string, grants: Grants): Actor {
  const all = grants === 'super-admin'
  const in_ = (project: string): readonly Permission[] => (all ? [] : (grants[project] ?? []))
  return {
    via: 'session',
    user_id: `user-${name}`,
    name,
    session_id: 'session',
    token_id: null,
    is_super_admin: all,
    can: (permission, project) =>
      all ||
      (project === undefined ? Object.keys(grants) : [project]).some((id) => in_(id).includes(permission)),
    sees: (project) => all || project in grants,
    visibleProjects: () => (all ? 'all' : Object.keys(grants)),
  }
}

/** The routes of projects and services over a real database file, with callers made by the test. */
export async function openServiceApi(t: Test) {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-services-'))
  const file = join(dataDir, 'berth.db')
  const database = openMigrated(file)
  const system = createSystem()
  const secrets = await createSecrets({ dataDir, system })
  const projectStore = createProjectStore(database)
  const store = createServiceStore(database)
  const audited: AuditEntry[] = []
  const nudged: string[] = []
  const observed = new Map<string, Observation>()
  const hostnames = new Map<string, string[]>()
  const actors = new Map<string, Actor>()
  let logged = ''
  const recordAudit = (_: unknown, entry: AuditEntry): void => void audited.push(entry)
  const removeService = async (id: string): Promise<void> => {
    const wanted = store.findAny(id)?.desired_state
    if (wanted !== 'deleting') throw new Error(`removed while ${wanted}`)
    nudged.push(`remove ${id}`)
  }

  const server: Server = createServer({
    log: pino({ level: 'trace' }, { write: (line: string) => void (logged += line) }),
    system,
    authenticate: ({ token }) => {
      const actor = actors.get(token)
      return actor && { actor, expires_at_ms: Number.POSITIVE_INFINITY }
    },
    accessRevision: () => 0,
    finders: {
      project: (id) => projectStore.find(id)?.id,
      service: (id) => store.projectOf(id),
      deployment: () => undefined,
    },
    idempotency: createIdempotency({ database, system, adminToken: 'test-admin-token-0123456789' }),
    onDenied: () => {},
    settings: { trusted_proxies: [], rate_limit_per_minute: 1_000_000 },
  })
  const projects = createProjectOperations({
    database,
    store: projectStore,
    secrets,
    system,
    recordAudit,
    contentsOf: (id) => store.describeContents(id),
    forgetProject: (_, id) => void nudged.push(`project forgotten ${id}`),
    projectChanged: (id) => void nudged.push(`project ${id}`),
    projectDeleted: (id) => void nudged.push(`project gone ${id}`),
  })
  projectRoutes(server, projects)
  serviceRoutes(
    server,
    createServiceOperations({
      database,
      store,
      secrets,
      system,
      recordAudit,
      projects: projectStore,
      observe: (ids) => new Map([...observed].filter(([id]) => ids.includes(id))),
      redeploy: async (_, id) => {
        if (store.find(id)?.live_deployment_id === null) throw new AppError('NOTHING_TO_DEPLOY')
        return { id: 'deployment-of-restart' }
      },
      domains: {
        hostnamesOf: (id) => hostnames.get(id) ?? [],
        setHostnames: (_, { id }, wanted) => void hostnames.set(id, [...wanted]),
        removeOfService: (_, id) => void hostnames.delete(id),
      },
      cancelDeployments: (id) => void nudged.push(`cancel ${id}`),
      settleSource: (_actor, _projectId, source) => source,
      noteOnSource: () => undefined,
      hideImages: (_actor, { name }) => {
        nudged.push(`hide ${name}`)
        return []
      },
      hasWebhook: () => false,
      listVolumes: () => [],
      removeService,
      serviceChanged: (id) => void nudged.push(id),
      routed: async () => {},
      urlOf: ({ name, project_id }) => {
        const [hostname = ''] = serviceHostnames(name, projectStore.find(project_id)?.name ?? '', undefined)
        return urlOfHostname(hostname, false, { http: 8080, https: 8443 })
      },
    }),
  )
  t.teardown(async () => {
    await server.close()
    database.close()
    rmSync(dataDir, { recursive: true, force: true })
  })

  const as = (name: string, grants: Grants) => {
    actors.set(`token-${name}`, makeActor(name, grants))
    return async (
      method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
      url: string,
      payload?: unknown,
      headers: Record<string, string> = {},
    ): Promise<Answer> => {
      const response = await server.inject({
        method,
        url,
        headers: { authorization: `Bearer token-${name}`, ...headers },
        ...(payload === undefined ? {} : { payload: payload as object }),
      })
      const parsed: unknown = response.body === '' ? {} : JSON.parse(response.body)
      return {
        status: response.statusCode,
        body: parsed as Answer['body'],
        list: parsed as Answer['list'],
        text: response.body,
        headers: response.headers,
      }
    }
  }
  const root = as('root', 'super-admin')
  projects.ensureDefaultProject({
    actor: { via: 'system', user_id: null, token_id: null, name: 'berth' },
    request_id: null,
    client_address: null,
  })

  return {
    as,
    root,
    server,
    database,
    store,
    secrets,
    projects,
    audited,
    nudged,
    observed,
    defaultProject: projectStore.findByName('default')?.id ?? '',
    log: () => logged,
    /** All bytes of the database and of the files beside it. */
    bytesOnDisk: (): string =>
      readdirSync(dataDir)
        .filter((name) => name.startsWith('berth.db'))
        .map((name) => readFileSync(join(dataDir, name), 'latin1'))
        .join(''),
    /** Adds a project and answers its id. */
    addProject: async (name: string): Promise<string> =>
      String((await root('POST', '/v1/projects', { name })).body['id']),
    /** Adds a service and answers its id. */
    addService: async (name: string, fields: Record<string, unknown> = {}): Promise<string> => {
      const answer = await root('POST', '/v1/services', { name, ...fields })
      if (answer.status !== 201) throw new Error(`cannot add ${name}: ${answer.text}`)
      return String(answer.body['id'])
    },
    /** Gives a service a live release, as a deployment would. */
    setLive: (id: string): void => store.setLive(id, 'live-deployment', system.nowIso()),
  }
}
