import { rmSync } from 'node:fs'
import type { Server } from 'node:net'
import { join } from 'node:path'
import { messageOf, systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { CertificateIndex } from '../tls/certificate-index.ts'
import {
  type ControlEvent,
  type ControlReply,
  type ControlRequest,
  type IngressWorkerStatus,
  ROUTES_FILE,
  socketName,
  WorkerExit,
} from '../contract/control-protocol.ts'
import { listenForControl } from './control-socket.ts'
import { createAddressList } from '../../lib/address-list.ts'
import { handOver, INHERITED } from './hand-over.ts'
import { watchLifeline } from './lifeline.ts'
import { createProxy, type Trust } from './proxy.ts'
import { RouteIndex } from '../routing/route-index.ts'
import { createWorkerContext, type WorkerContext } from './worker-context.ts'
import { createDrain } from './worker-drain.ts'
import { createWorkerLog } from './worker-log.ts'
import {
  loadSets,
  loadTicketKeys,
  readKey,
  takeCertificates,
  takeChallenges,
  takeRoutes,
  type Worker,
} from './worker-sets.ts'
import type { WorkerSettings } from './worker-settings.ts'

const LOG_TICK_MS = 1000
/** An orphan has nobody to wait for. */
const ORPHAN_DRAIN_MS = 5000
/** A control plane that does not listen is not waited for. */
const LEAVE_MS = 1000
const NOTES_AT_ONCE = 1000
const BACKLOG = 4096
const LOG_FILE = 'workers.log'

/** Runs the data plane in this process until it is told to stop; then the process exits. `inherits`: its sockets listen already. */
export async function runWorker(settings: WorkerSettings, system: System, inherits: boolean): Promise<void> {
  const { limits, directory } = settings
  const logFile = createWorkerLog(join(directory, LOG_FILE), system)
  const context = createWorkerContext(system, limits, logFile.log, new RouteIndex())
  context.httpsPort = settings.https_port
  const socketPath = join(directory, socketName(process.pid))
  const routesPath = join(directory, ROUTES_FILE)
  const key = await readKey(context, settings.key_file)
  const certificates = new CertificateIndex({
    directory,
    key,
    log: context.log,
    maxContexts: limits.certificate_contexts,
  })
  const proxy = createProxy(context, certificates, trustOf(settings))
  const worker: Worker = { context, certificates, proxy, settings, key }
  const drain = createDrain(system, proxy, limits)
  const end = (requestsMs: number, upgradedMs: number): void => {
    void drain({ requestsMs, upgradedMs }).then(async () => {
      await Promise.race([control.leave(lastNotes(context)), system.sleep(LEAVE_MS)])
      rmSync(socketPath, { force: true })
      process.exit(WorkerExit.done)
    })
  }
  // The socket comes first: a table that is published from here on is pushed through it, and one from before is in the file.
  const control = await listenForControl(socketPath, (request) => answer(worker, end, request))
  context.holds.onHeld = (held) => control.tell({ type: 'held', ...held })
  await loadSets(worker)
  await listen(worker, inherits)
  watchLifeline(system, socketPath, routesPath, limits.orphan_ms, () => end(ORPHAN_DRAIN_MS, ORPHAN_DRAIN_MS))
  every(system, limits.tick_ms, () => proxy.tick())
  every(system, LOG_TICK_MS, () => logFile.tick())
  survive(context)
  obeySignals(() => end(limits.drain_ms, limits.drain_ms))
  context.log('started', {
    port: settings.port,
    https_port: settings.https_port,
    version: context.routes.version,
  })
}

function trustOf({ trusted_proxies, proxy_protocol_peers }: WorkerSettings): Trust {
  return {
    isTrusted: createAddressList(trusted_proxies),
    sendsProxyHeader: createAddressList(proxy_protocol_peers),
    expectsProxyHeaders: proxy_protocol_peers.length > 0,
  }
}

async function listen({ proxy, settings }: Worker, inherits: boolean): Promise<void> {
  const { bind_address: host, port, https_port } = settings
  const { http, https } = proxy.listeners
  await listenOn(http, inherits ? { fd: INHERITED.http } : { host, port })
  try {
    await listenOn(https, inherits ? { fd: INHERITED.https } : { host, port: https_port })
  } catch (error) {
    throw new TlsPortError(error)
  }
}

/** The port for TLS cannot be used; the cause says why. */
class TlsPortError extends Error {
  constructor(cause: unknown) {
    super(messageOf(cause), { cause })
  }
}

async function listenOn(
  server: Server,
  place: { fd: number } | { host: string; port: number },
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ ...place, reusePort: !('fd' in place), exclusive: true, backlog: BACKLOG }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** The exit status that tells the control plane why a worker could not start. */
export function exitStatusOf(error: unknown): number {
  const tls = error instanceof TlsPortError
  const code = systemCodeOf(tls ? error.cause : error)
  if (code === 'EADDRINUSE') return tls ? WorkerExit.tlsPortInUse : WorkerExit.portInUse
  if (code !== 'EACCES' && code !== 'EPERM') return WorkerExit.fault
  return tls ? WorkerExit.tlsPortForbidden : WorkerExit.portForbidden
}

function answer(
  worker: Worker,
  end: (requestsMs: number, upgradedMs: number) => void,
  request: ControlRequest,
): ControlReply {
  const { context, certificates } = worker
  switch (request.type) {
    case 'table':
      if (!takeRoutes(worker, request.table)) return NO_SET
      return { type: 'ack', version: context.routes.version }
    case 'certificates':
      if (!takeCertificates(worker, request.set)) return NO_SET
      return { type: 'ack', version: certificates.version }
    case 'challenges':
      if (!takeChallenges(worker, request.set)) return NO_SET
      return { type: 'ack', version: context.challenges.version }
    case 'tickets':
      void loadTicketKeys(worker)
      return { type: 'done' }
    case 'hand_over':
      return handOverTo(worker, request.command, request.env)
    case 'status':
      return { type: 'status', ...statusOf(worker) }
    case 'requests':
      return { type: 'requests', ...context.access.take(request.limit) }
    case 'stop':
      end(request.requests_ms, request.upgraded_ms)
      return { type: 'stopping' }
    default:
      return { type: 'error', message: 'That request is not known.' }
  }
}

function handOverTo(
  { proxy, settings }: Worker,
  command: string[],
  env: Record<string, string>,
): ControlReply {
  try {
    return { type: 'handed_over', pid: handOver(proxy, command, env, join(settings.directory, LOG_FILE)) }
  } catch (error) {
    return { type: 'error', message: messageOf(error) }
  }
}

const NO_SET: ControlReply = { type: 'error', message: 'That is not a set of its kind.' }

function statusOf({ context, proxy, settings, certificates }: Worker): IngressWorkerStatus {
  const { counters, holds, routes } = context
  const { answered, connections, ...counted } = counters
  return {
    pid: process.pid,
    version: routes.version,
    certificates_version: certificates.version,
    challenges_version: context.challenges.version,
    fingerprint: settings.fingerprint,
    bind_address: settings.bind_address,
    port: settings.port,
    https_port: settings.https_port,
    listening: proxy.listeners.http.listening && proxy.listeners.https.listening,
    draining: context.draining,
    uptime_seconds: Math.round(process.uptime()),
    rss_bytes: process.memoryUsage.rss(),
    connections: proxy.openConnections(),
    accepted: connections,
    ...counted,
    answered: Object.fromEntries(answered),
    upstreams: routes.loads(),
    active: routes.activeSince(context.clock.now - context.limits.active_ms),
    held: holds.counts(),
  }
}

/** What nobody would ask for any more. */
function lastNotes({ access }: WorkerContext): ControlEvent[] {
  const events: ControlEvent[] = []
  for (let left = true; left;) {
    const { entries, lost, more } = access.take(NOTES_AT_ONCE)
    if (entries.length > 0 || lost.length > 0) events.push({ type: 'last_requests', entries, lost })
    left = more
  }
  return events
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
