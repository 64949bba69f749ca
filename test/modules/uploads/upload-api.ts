import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { pino } from 'pino'
import type { Test } from 'tap'
import { createServer } from '../../../src/http/server.ts'
import { createSystem, type System } from '../../../src/lib/system.ts'
import type { AuditEntry } from '../../../src/modules/audit/audit.ts'
import type { Actor } from '../../../src/modules/identity/actor.ts'
import type { Permission } from '../../../src/modules/identity/permissions.ts'
import { createUploadExpiry } from '../../../src/modules/uploads/upload-expiry.ts'
import { createUploadFiles } from '../../../src/modules/uploads/upload-files.ts'
import { createUploadOperations } from '../../../src/modules/uploads/upload-operations.ts'
import { uploadRoutes } from '../../../src/modules/uploads/upload-routes.ts'
import { createUploadStore } from '../../../src/modules/uploads/upload-store.ts'
import type { Database } from '../../../src/store/database.ts'
import { openMigrated } from '../../support/migrated-database.ts'

export const PROJECT = '00000000-0000-7000-8000-000000000001'
export const SERVICE = '00000000-0000-7000-8000-0000000000a1'
export const OTHER_SERVICE = '00000000-0000-7000-8000-0000000000a2'

export interface Answer {
  status: number
  body: Record<string, unknown> & {
    error?: string
    message?: string
    details?: { field?: string; message: string }[]
  }
}

export type Settings = Partial<
  Record<
    | 'upload_max_bytes'
    | 'unpacked_max_bytes'
    | 'unpacked_max_entries'
    | 'upload_ttl_seconds'
    | 'disk_reserve_bytes',
    number
  >
>

/** The database with a project and two services in it. */
export function openServices(file: string): Database {
  const database = openMigrated(file)
  const now = '2026-11-21T00:00:00.000Z'
  database.run(
    'INSERT OR IGNORE INTO projects (id, name, created_at, updated_at) VALUES ($id, $id, $now, $now)',
    {
      id: PROJECT,
      now,
    },
  )
  for (const id of [SERVICE, OTHER_SERVICE]) {
    database.run(
      `INSERT OR IGNORE INTO services (id, project_id, name, source, build, config, created_at, updated_at)
       VALUES ($id, $project, $id, '{}', '{}', '{}', $now, $now)`,
      { id, project: PROJECT, now },
    )
  }
  return database
}

function makeActor(permissions: readonly Permission[] | undefined): Actor {
  return {
    via: 'session',
    user_id: 'user',
    name: 'someone',
    session_id: 'session',
    token_id: null,
    is_super_admin: false,
    can: (permission) => permissions?.includes(permission) ?? false,
    sees: () => permissions !== undefined,
    visibleProjects: () => [],
  }
}

/** The upload routes on a real socket over a real database and directory. */
export async function openUploadApi(
  t: Pick<Test, 'teardown'>,
  settings: Settings = {},
  system: System = createSystem(),
) {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-uploads-'))
  const database = openServices(join(dataDir, 'berth.db'))
  const store = createUploadStore(database)
  const diskReserveBytes = settings.disk_reserve_bytes ?? 0
  const files = createUploadFiles({ dataDir, diskReserveBytes })
  const audited: AuditEntry[] = []
  const openDeployments = new Set<string>()
  const projectOfService = (id: string): string | undefined =>
    database.get<{ project_id: string }>('SELECT project_id FROM services WHERE id = $id', { id })?.project_id
  const operations = createUploadOperations({
    database,
    store,
    files,
    system,
    recordAudit: (_, entry) => void audited.push(entry),
    projectOfService,
    settings: {
      upload_max_bytes: 64 * 1024 ** 2,
      unpacked_max_bytes: 256 * 1024 ** 2,
      unpacked_max_entries: 1000,
      upload_ttl_seconds: 3600,
      ...settings,
    },
  })
  const actors: Record<string, Actor> = {
    operator: makeActor(['services.read', 'uploads.create']),
    viewer: makeActor(['services.read']),
    stranger: makeActor(undefined),
  }
  const server = createServer({
    log: pino({ level: 'silent' }),
    system,
    authenticate: ({ token }) => {
      const actor = actors[token]
      return actor && { actor, expires_at_ms: Number.POSITIVE_INFINITY }
    },
    accessRevision: () => 0,
    finders: { project: (id) => id, service: projectOfService, deployment: () => undefined },
    idempotency: { begin: () => undefined, complete: () => {}, forget: () => {} },
    onDenied: () => {},
    settings: { trusted_proxies: [], rate_limit_per_minute: 1_000_000 },
  })
  uploadRoutes(server, operations)
  server.post('/other', { config: { access: { public: true } } }, async () => ({}))
  await server.listen({ host: '127.0.0.1', port: 0 })
  const { port } = server.server.address() as AddressInfo
  t.teardown(async () => {
    server.server.closeAllConnections()
    await server.close()
    database.close()
    rmSync(dataDir, { recursive: true, force: true })
  })

  /** Begins an upload; the body is the caller's to write. */
  const begin = (
    headers: Record<string, string | number> = {},
    path = `/v1/services/${SERVICE}/uploads`,
  ): { sender: ClientRequest; answer: Promise<Answer> } => {
    const sender = request({
      port,
      host: '127.0.0.1',
      path,
      method: 'POST',
      agent: false,
      headers: { authorization: 'Bearer operator', 'content-type': 'application/zstd', ...headers },
    })
    const answer = new Promise<Answer>((resolve, reject) => {
      sender.on('error', reject)
      sender.on('response', (response: IncomingMessage) => {
        json(response).then(
          (body) => resolve({ status: response.statusCode ?? 0, body: body as Answer['body'] }),
          reject,
        )
      })
    })
    return { sender, answer }
  }

  return {
    dataDir,
    port,
    database,
    store,
    files,
    operations,
    audited,
    openDeployments,
    expiry: createUploadExpiry({ store, files, system, isDeploymentOpen: (id) => openDeployments.has(id) }),
    begin,
    /** Sends a whole body. */
    upload: async (
      body: Buffer,
      headers: Record<string, string | number> = {},
      path?: string,
    ): Promise<Answer> => {
      const { sender, answer } = begin({ 'content-length': body.length, ...headers }, path)
      sender.end(body)
      return answer
    },
    /** What lies in the directory of uploads. */
    filesOnDisk: (): string[] => {
      const directory = join(dataDir, 'uploads')
      return existsSync(directory) ? readdirSync(directory).toSorted() : []
    },
    rows: () =>
      database.all<{ id: string; deployment_id: string | null }>('SELECT * FROM uploads ORDER BY id'),
  }
}

/** Waits until a condition holds; the test's own time limit ends it. */
export async function until(condition: () => boolean): Promise<void> {
  const system = createSystem()
  while (!condition()) await system.sleep(5)
}
