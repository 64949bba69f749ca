import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import type { IngressWorkerStatus } from '../../ingress/control-protocol.ts'
import { DEFAULT_LIMITS, type IngressLimits } from '../../ingress/limits.ts'
import { EMPTY_TABLE, parseRouteTable, type Route, type RouteTable } from '../../ingress/route-table.ts'
import type { WorkerSettings } from '../../ingress/worker-settings.ts'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { createWorker } from '../../lib/worker.ts'
import { warmCompileCache } from './compile-cache.ts'
import type { IngressLog } from './ingress-log.ts'
import { allowListenerMigration } from './listener-migration.ts'
import { chooseHttpPort } from './listening-port.ts'
import { ensureIngressDirectory, hasRouteFile, readRouteFile, writeRouteFile } from './route-file.ts'
import { fingerprintOf } from './worker-code.ts'
import { createWorkerFleet, type WorkerFleet } from './worker-fleet.ts'
import type { WorkerLink } from './worker-link.ts'

/** How often the workers are looked at when nothing happens. */
const LOOK_EVERY_MS = 5000
/** sockaddr_un holds 108 bytes with the final zero. */
const MAX_SOCKET_PATH = 107
const LONGEST_SOCKET_NAME = '/worker-4294967295.sock'.length

export interface IngressOptions {
  system: System
  log: IngressLog
  dataDir: string
  bindAddress: string
  /** 0 lets the system choose; see `status().http_port`. */
  httpPort: number
  /** Worker processes; default: one for each core. */
  workers?: number
  /** Addresses and CIDR ranges of proxies in front whose forwarding headers are believed. */
  trustedProxies: readonly string[]
  limits?: Partial<IngressLimits>
}

/** What the operator is shown of the ingress. */
export interface IngressStatus {
  version: number
  bind_address: string
  http_port: number
  wanted_workers: number
  /** Workers that serve the present table. */
  ready_workers: number
  /** Workers that ended without being told to. */
  lost_workers: number
  last_error: string | null
  workers: IngressWorkerStatus[]
}

/** What runs through a set of replicas, over all workers. */
export interface InFlight {
  requests: number
  upgraded: number
}

/** The control side of the data plane. */
export interface Ingress {
  /** Adopts the workers that run already, starts the missing ones, and resolves when all listen; rejects when the port cannot be used. */
  start(): Promise<void>
  /**
   * Replaces the routing table, on disk and then in every worker, and gives its version. When it resolves, no live worker sends a
   * new request by an older table. The same routes again publish nothing.
   */
  publish(routes: readonly Route[]): Promise<number>
  /** Counts what runs through these replicas; rejects with BUSY when a live worker cannot be asked, so that nothing is taken for idle in vain. */
  inFlight(upstreamIds: readonly string[]): Promise<InFlight>
  status(): Promise<IngressStatus>
  /**
   * Calls `listener` when requests of a service wait for a replica (`hold_ms` of its route): soon after the first has come, and about
   * once a second for each worker while any wait. The result ends it.
   */
  onHeld(listener: (serviceId: string) => void): () => void
  /** The table that was published last. */
  routes(): RouteTable
  /** Lets go of the workers, which serve on, or ends them. */
  stop(options: { keepWorkers: boolean }): Promise<void>
}

/** Creates the control side; nothing happens before `start`. */
export function createIngress(options: IngressOptions): Ingress {
  const { system, log } = options
  const directory = resolve(options.dataDir, 'ingress')
  const wanted = options.workers ?? availableParallelism()
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  let table = EMPTY_TABLE
  /** Workers may serve other routes than `table` says: the next table goes out in any case. */
  let uncertain = false
  let settings: WorkerSettings = {
    directory,
    bind_address: options.bindAddress,
    port: options.httpPort,
    trusted_proxies: [...options.trustedProxies],
    limits,
    fingerprint: '',
  }
  let started = false
  const heldListeners = new Set<(serviceId: string) => void>()
  let publishing: Promise<unknown> = Promise.resolve()
  const worker = createWorker({
    name: 'ingress',
    system,
    everyMs: LOOK_EVERY_MS,
    run: async (signal) => {
      // Workers end themselves without it.
      if (!(await hasRouteFile(directory))) await writeRouteFile(directory, table)
      await fleet.reconcile(signal)
    },
    onError: (error) =>
      log.error({ error: messageOf(error) }, 'the ingress workers are not as they should be'),
  })
  const fleet = createWorkerFleet({
    system,
    log,
    directory,
    settings: () => settings,
    wanted,
    table: () => table,
    changed: () => worker.nudge(),
    held: (serviceId) => {
      for (const listener of heldListeners) listener(serviceId)
    },
  })

  const start = async (): Promise<void> => {
    checkPathLength(directory)
    await ensureIngressDirectory(directory)
    const written = await readRouteFile(directory)
    await fleet.discover()
    const running = fleet.links().map(({ status }) => status)
    const version = Math.max(written?.version ?? 0, ...running.map((status) => status.version))
    uncertain = written === undefined || written.version < version
    table = { version, routes: written?.routes ?? [] }
    if (uncertain || version === 0) await writeRouteFile(directory, table)
    const own = running.filter(({ listening }) => listening).map(({ port }) => port)
    settings = { ...settings, port: await chooseHttpPort(options.bindAddress, options.httpPort, own) }
    settings = { ...settings, fingerprint: await fingerprintOf(settings) }
    await allowListenerMigration(log)
    await warmCompileCache(directory, settings.fingerprint)
    await fleet.reconcile(new AbortController().signal)
    started = true
    worker.start()
  }

  const publish = async (routes: readonly Route[]): Promise<number> => {
    if (!started) throw new AppError('STARTING')
    // Version 0 means to a worker that nothing was published yet.
    const known = !uncertain && table.version > 0
    if (known && JSON.stringify(routes) === JSON.stringify(table.routes)) return table.version
    const next = parseRouteTable({ version: table.version + 1, routes })
    if (next === undefined) throw new Error('The routes to publish are not valid.')
    await writeRouteFile(directory, next)
    table = next
    uncertain = false
    await fleet.push()
    return next.version
  }

  return {
    start,
    publish: async (routes) => {
      const mine = publishing.then(() => publish(routes))
      publishing = mine.catch(() => {})
      return await mine
    },
    inFlight: (ids) => countInFlight(fleet, new Set(ids)),
    status: async () => {
      const workers = await askAll(fleet)
      return {
        version: table.version,
        bind_address: settings.bind_address,
        http_port: settings.port,
        wanted_workers: wanted,
        ready_workers: workers.filter((each) => each.listening && each.version >= table.version).length,
        lost_workers: fleet.lost(),
        last_error: worker.status().last_error,
        workers,
      }
    },
    onHeld: (listener) => {
      heldListeners.add(listener)
      return () => heldListeners.delete(listener)
    },
    routes: () => table,
    stop: async ({ keepWorkers }) => {
      started = false
      await worker.stop()
      await publishing
      if (!keepWorkers) await fleet.end(limits.drain_ms)
      fleet.hangUp()
    },
  }
}

function checkPathLength(directory: string): void {
  if (Buffer.byteLength(directory) + LONGEST_SOCKET_NAME <= MAX_SOCKET_PATH) return
  throw new Error(`The data directory's path is too long for a Unix socket: ${directory}`)
}

/** The status of every worker that answers. */
async function askAll(fleet: WorkerFleet): Promise<IngressWorkerStatus[]> {
  const answers = await Promise.allSettled(fleet.links().map((link) => link.refresh()))
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
}

async function countInFlight(fleet: WorkerFleet, ids: ReadonlySet<string>): Promise<InFlight> {
  await fleet.discover()
  const total: InFlight = { requests: 0, upgraded: 0 }
  for (const link of fleet.links()) {
    for (const upstream of (await requireStatus(link)).upstreams) {
      if (!ids.has(upstream.id)) continue
      total.requests += upstream.requests
      total.upgraded += upstream.upgraded
    }
  }
  return total
}

async function requireStatus(link: WorkerLink): Promise<IngressWorkerStatus> {
  try {
    return await link.refresh()
  } catch (error) {
    throw new AppError('BUSY', { cause: error })
  }
}
