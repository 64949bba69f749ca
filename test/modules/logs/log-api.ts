import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import type { Test } from 'tap'
import { createServer } from '../../../src/http/server.ts'
import { createSystem } from '../../../src/lib/system.ts'
import type { Actor } from '../../../src/modules/identity/actor.ts'
import type { Permission } from '../../../src/modules/identity/permissions.ts'
import { createDeploymentLogs } from '../../../src/modules/logs/deployment-logs.ts'
import { createLogOperations } from '../../../src/modules/logs/log-operations.ts'
import { logRoutes } from '../../../src/modules/logs/log-routes.ts'
import type { ServiceLine } from '../../../src/modules/logs/log-schema.ts'
import { normalizeInstant } from '../../../src/modules/logs/output-place.ts'
import { createServiceLogs } from '../../../src/modules/logs/service-logs.ts'

export const PROJECT = '01900000-0000-7000-8000-000000000001'
export const SERVICE = '01900000-0000-7000-8000-00000000a001'
export const DEPLOYMENT = '01900000-0000-7000-8000-00000000d001'
const MIB = 1024 ** 2
const START = Date.parse('2026-11-21T08:00:00Z')

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

/** The n-th second. */
export const instant = (second: number): string => new Date(START + second * 1000).toISOString()

/** The log routes on a real socket over real files. */
export async function openLogApi(t: Pick<Test, 'teardown' | 'fail'>) {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-logs-'))
  const system = createSystem()
  const states = new Map<string, { status: string; is_over: boolean }>([
    [DEPLOYMENT, { status: 'Building', is_over: false }],
  ])
  const onError = (error: unknown): void => {
    t.fail(String(error))
  }
  const deploymentLogs = createDeploymentLogs({ dataDir, system, stateOf: (id) => states.get(id), onError })
  const serviceLogs = createServiceLogs({ dataDir, system, maxBytes: 8 * MIB, onError })
  const actors: Record<string, Actor> = {
    operator: makeActor(['services.read', 'deployments.read', 'logs.read']),
    viewer: makeActor(['services.read', 'deployments.read']),
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
    finders: {
      project: (id) => id,
      service: (id) => (id === SERVICE ? PROJECT : undefined),
      deployment: (id) => (states.has(id) ? PROJECT : undefined),
    },
    idempotency: { begin: () => undefined, complete: () => {}, forget: () => {} },
    onDenied: () => {},
    settings: { trusted_proxies: [], rate_limit_per_minute: 1_000_000 },
  })
  logRoutes(server, createLogOperations({ serviceLogs, deploymentLogs, system, projectOf: () => PROJECT }))
  await server.listen({ host: '127.0.0.1', port: 0 })
  const { port } = server.server.address() as AddressInfo
  t.teardown(async () => {
    server.server.closeAllConnections()
    await server.close()
    await serviceLogs.closeAll()
    await deploymentLogs.closeAll()
    rmSync(dataDir, { recursive: true, force: true })
  })
  let written = 0

  return {
    server,
    port,
    base: `http://127.0.0.1:${port}`,
    serviceLogs,
    deploymentLogs,
    states,
    /** Writes lines `line 1`, `line 2`, ... a second apart, by turns of two replicas; numbers go on from call to call. */
    write: async (count: number, { deployment = 'd1', width = 0 } = {}): Promise<void> => {
      const log = await serviceLogs.open(SERVICE)
      for (let index = 0; index < count; index += 1) {
        written += 1
        await log?.append(
          { deployment_id: deployment, replica: written % 2 },
          {
            stream: 'stdout',
            ts: normalizeInstant(instant(written)),
            line: `line ${written}${' x'.repeat(width)}`,
          },
        )
      }
      await log?.flush()
    },
    get: async (path: string, token = 'operator') => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        headers: { authorization: `Bearer ${token}` },
      })
      const body: unknown = await response.json()
      return {
        status: response.status,
        type: response.headers.get('content-type'),
        link: response.headers.get('link'),
        body: body as Record<string, unknown>,
        lines: Array.isArray(body) ? (body as ServiceLine[]) : [],
        numbers: Array.isArray(body)
          ? (body as ServiceLine[]).map(({ line }) => Number(line.split(' ')[1]))
          : [],
      }
    },
  }
}

/** The target of `Link: <...>; rel="next"`. */
export function nextOf(link: string | null): string | undefined {
  return /^<([^>]+)>; rel="next"$/.exec(link ?? '')?.[1]
}
