import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf, systemCodeOf } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import {
  type ControlReply,
  type ControlRequest,
  type IngressWorkerStatus,
  ROUTES_FILE,
  socketName,
  WorkerExit,
} from './control-protocol.ts'
import { listenForControl } from './control-socket.ts'
import { createTrustedPeers } from './forwarded.ts'
import { watchLifeline } from './lifeline.ts'
import { createProxy, type Proxy } from './proxy.ts'
import { RouteIndex } from './route-index.ts'
import { parseRouteTable } from './route-table.ts'
import { createWorkerContext, type WorkerContext } from './worker-context.ts'
import { createDrain } from './worker-drain.ts'
import { createWorkerLog } from './worker-log.ts'
import type { WorkerSettings } from './worker-settings.ts'

const LOG_TICK_MS = 1000
/** An orphan has nobody to wait for. */
const ORPHAN_DRAIN_MS = 5000
const BACKLOG = 4096

/** Runs the data plane in this process until it is told to stop; then the process exits. */
export async function runWorker(settings: WorkerSettings, system: System): Promise<void> {
  const { limits, directory } = settings
  const logFile = createWorkerLog(join(directory, 'workers.log'), system)
  const context = createWorkerContext(system, limits, logFile.log, new RouteIndex())
  const socketPath = join(directory, socketName(process.pid))
  const routesPath = join(directory, ROUTES_FILE)
  const proxy = createProxy(context, createTrustedPeers(settings.trusted_proxies))
  const drain = createDrain(system, proxy, limits)
  const end = (requestsMs: number, upgradedMs: number): void => {
    void drain({ requestsMs, upgradedMs }).then(() => {
      rmSync(socketPath, { force: true })
      process.exit(WorkerExit.done)
    })
  }
  // The socket comes first: a table that is published from here on is pushed through it, and one from before is in the file.
  const control = await listenForControl(socketPath, (request) =>
    answer(context, proxy, settings, end, request),
  )
  context.holds.onHeld = (held) => control.tell({ type: 'held', ...held })
  loadRoutes(context, routesPath)
  await listen(proxy, settings)
  watchLifeline(system, socketPath, routesPath, limits.orphan_ms, () => end(ORPHAN_DRAIN_MS, ORPHAN_DRAIN_MS))
  every(system, limits.tick_ms, () => proxy.tick())
  every(system, LOG_TICK_MS, () => logFile.tick())
  survive(context)
  obeySignals(() => end(limits.drain_ms, limits.drain_ms))
  context.log('started', { port: settings.port, version: context.routes.version })
}

/** The table that the control plane wrote last, so that serving needs nothing but this file. */
function loadRoutes(context: WorkerContext, path: string): void {
  try {
    const table = parseRouteTable(JSON.parse(readFileSync(path, 'utf8')))
    if (table === undefined) throw new Error('The file holds no routing table.')
    context.routes.replace(table)
  } catch (error) {
    context.log('routes_unreadable', { error: messageOf(error) })
  }
}

async function listen(proxy: Proxy, settings: WorkerSettings): Promise<void> {
  const { server } = proxy
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(
      {
        host: settings.bind_address,
        port: settings.port,
        reusePort: true,
        exclusive: true,
        backlog: BACKLOG,
      },
      () => {
        server.off('error', reject)
        resolve()
      },
    )
  })
}

/** The exit status that tells the control plane why a worker could not start. */
export function exitStatusOf(error: unknown): number {
  const code = systemCodeOf(error)
  if (code === 'EADDRINUSE') return WorkerExit.portInUse
  return code === 'EACCES' || code === 'EPERM' ? WorkerExit.portForbidden : WorkerExit.fault
}

function answer(
  context: WorkerContext,
  proxy: Proxy,
  settings: WorkerSettings,
  end: (requestsMs: number, upgradedMs: number) => void,
  request: ControlRequest,
): ControlReply {
  switch (request.type) {
    case 'table': {
      const table = parseRouteTable(request.table)
      if (table === undefined) return { type: 'error', message: 'That is not a routing table.' }
      context.routes.replace(table)
      return { type: 'ack', version: context.routes.version }
    }
    case 'status':
      return { type: 'status', ...statusOf(context, proxy, settings) }
    case 'stop':
      end(request.requests_ms, request.upgraded_ms)
      return { type: 'stopping' }
    default:
      return { type: 'error', message: 'That request is not known.' }
  }
}

function statusOf(context: WorkerContext, proxy: Proxy, settings: WorkerSettings): IngressWorkerStatus {
  const { counters, holds, routes } = context
  return {
    pid: process.pid,
    version: routes.version,
    fingerprint: settings.fingerprint,
    bind_address: settings.bind_address,
    port: settings.port,
    listening: proxy.server.listening,
    draining: context.draining,
    uptime_seconds: Math.round(process.uptime()),
    rss_bytes: process.memoryUsage.rss(),
    connections: proxy.openConnections(),
    accepted: counters.connections,
    requests: counters.requests,
    upgrades: counters.upgrades,
    retries: counters.retries,
    bad_responses: counters.bad_responses,
    truncated: counters.truncated,
    exceptions: counters.exceptions,
    answered: Object.fromEntries(counters.answered),
    upstreams: routes.loads(),
    held: holds.counts(),
  }
}

function every(system: System, ms: number, run: () => void): void {
  const again = (): void => {
    run()
    system.later(ms, again)
  }
  system.later(ms, again)
}

/** What no handler caught is counted and logged: the other requests of this worker are not to blame. */
function survive(context: WorkerContext): void {
  process.on('uncaughtException', (error) => context.caught(error))
  process.on('unhandledRejection', (reason) => context.caught(reason))
}

function obeySignals(end: () => void): void {
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  process.on('SIGHUP', () => {})
}
