import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import type { IngressWorkerStatus, TakenNotes } from '../../ingress/contract/control-protocol.ts'
import { DEFAULT_LIMITS, type IngressLimits } from '../../ingress/contract/limits.ts'
import type { CertificateEntry } from '../../ingress/contract/certificate-table.ts'
import { CERTIFICATES_DIRECTORY } from '../../ingress/contract/certificate-file.ts'
import type { Challenge } from '../../ingress/contract/challenge-table.ts'
import type { Route, RouteTable } from '../../ingress/contract/route-table.ts'
import type { WorkerSettings } from '../../ingress/worker/worker-settings.ts'
import { sparing } from '../../lib/disk-trouble.ts'
import { AppError, messageOf } from '../../lib/errors.ts'
import { ensureKeyFile } from '../../lib/key-file.ts'
import type { System } from '../../lib/system.ts'
import { createWorker } from '../../lib/worker.ts'
import type { Refusal } from './fleet-push.ts'
import { warmCompileCache } from './compile-cache.ts'
import type { IngressLog } from './ingress-log.ts'
import { allowListenerMigration } from './listener-migration.ts'
import { chooseHttpPort, chooseHttpsPort } from './listening-port.ts'
import { type CertificateFiles, createCertificateFiles } from './certificate-files.ts'
import { createPublishedSet } from './published-set.ts'
import { ensurePrivateDirectory } from './set-file.ts'
import { CERTIFICATES, CHALLENGES, ROUTES } from './set-kinds.ts'
import { createTicketKeys } from './ticket-keys.ts'
import { fingerprintOf, fingerprintProgram } from './worker-code.ts'
import {
  askAll,
  collectRequests,
  countInFlight,
  type InFlight,
  listActive,
  LeftNotes,
  renewTickets,
} from './fleet-report.ts'
import { createWorkerFleet } from './worker-fleet.ts'

/** How often the workers are looked at when nothing happens. */
const LOOK_EVERY_MS = 5000
/** sockaddr_un holds 108 bytes with the final zero. */
const MAX_SOCKET_PATH = 107
/** The data plane's own key, within the data directory: it is opened without the control plane, and apart from the node's key. */
const KEY_FILE = 'secrets/ingress.key'
const LONGEST_SOCKET_NAME = '/worker-4294967295.sock'.length

export interface IngressOptions {
  system: System
  log: IngressLog
  dataDir: string
  bindAddress: string
  /** 0 lets the system choose; see `status().http_port`. */
  httpPort: number
  /** The same for TLS; see `status().https_port`. */
  httpsPort: number
  /** Worker processes; default: one for each core. */
  workers?: number
  /** Addresses and CIDR ranges of proxies in front whose forwarding headers are believed. */
  trustedProxies: readonly string[]
  /** The same of load balancers that speak the PROXY protocol: from them a connection must begin with its header. */
  proxyProtocolPeers?: readonly string[]
  limits?: Partial<IngressLimits>
}

/** What the operator is shown of the ingress. */
export interface IngressStatus {
  version: number
  bind_address: string
  http_port: number
  https_port: number
  wanted_workers: number
  /** Workers that serve the present table. */
  ready_workers: number
  /** Workers that ended without being told to. */
  lost_workers: number
  last_error: string | null
  workers: IngressWorkerStatus[]
}

/** The control side of the data plane. */
export interface Ingress {
  /** Adopts the workers that run already, starts the missing ones, and resolves when all listen; rejects when the port cannot be used. */
  start(): Promise<void>
  /**
   * Replaces the routing table, on disk and then in every worker, and gives its version. When it resolves, no live worker sends a
   * new request by an older table; it rejects when one refuses it, and when the disk did, though all workers have it then. The same routes again
   * publish nothing.
   */
  publish(routes: readonly Route[]): Promise<number>
  /** Chains and keys, for `publishCertificates` to name. Usable once `start` has resolved. */
  readonly certificates: CertificateFiles
  /** The same for the certificates: which answers to which name. Connections that are open keep the one that they began with. */
  publishCertificates(certificates: readonly CertificateEntry[]): Promise<number>
  /** The same for the proofs under `/.well-known` that are given over HTTP. */
  publishChallenges(challenges: readonly Challenge[]): Promise<number>
  /** Counts what runs through these replicas; rejects with BUSY when a live worker cannot be asked, so that nothing is taken for idle in vain. */
  inFlight(upstreamIds: readonly string[]): Promise<InFlight>
  status(): Promise<IngressStatus>
  /** Replicas through which something runs or ran within the last seconds (`active_ms`). Throws BUSY when a worker cannot be asked. */
  activeUpstreams(): Promise<Set<string>>
  /**
   * Calls `listener` when requests of a service wait for a replica (`hold_ms` of its route): soon after the first has come, and about
   * once a second for each worker while any wait. What the listener throws is logged. The result ends it.
   */
  onHeld(listener: (serviceId: string) => void): () => void
  /** Takes what the workers have noted of requests since the last time. */
  collectRequests(): Promise<TakenNotes>
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
  let settings: WorkerSettings = {
    directory,
    bind_address: options.bindAddress,
    port: options.httpPort,
    https_port: options.httpsPort,
    key_file: join(resolve(options.dataDir), KEY_FILE),
    trusted_proxies: [...options.trustedProxies],
    proxy_protocol_peers: [...(options.proxyProtocolPeers ?? [])],
    limits,
    fingerprint: '',
  }
  let key: Buffer | undefined
  const push = (): Promise<Refusal[]> => fleet.push()
  const routes = createPublishedSet(directory, ROUTES, push)
  const certificates = createPublishedSet(directory, CERTIFICATES, push)
  const challenges = createPublishedSet(directory, CHALLENGES, push)
  const sets = [routes, certificates, challenges]
  const files = createCertificateFiles(directory, () => {
    if (key === undefined) throw new AppError('STARTING')
    return key
  })
  const tickets = createTicketKeys(directory, system)
  const left = new LeftNotes()
  const heldListeners = new Set<(serviceId: string) => void>()
  const renewTicketsIfOld = async (): Promise<void> => {
    if (key !== undefined && (await tickets.renewIfOld(key))) await renewTickets(fleet)
  }
  const worker = createWorker({
    name: 'ingress',
    system,
    everyMs: LOOK_EVERY_MS,
    run: async (signal) => {
      const kept = await Promise.allSettled([
        // Workers end themselves without the routes.
        ...sets.map((set) => set.ensureFile()),
        renewTicketsIfOld(),
      ])
      // What the disk does not take keeps no worker from being started.
      await fleet.reconcile(signal)
      for (const each of kept) if (each.status === 'rejected') throw each.reason
    },
    onError: sparing(system, (error) =>
      log.error({ error: messageOf(error) }, 'the ingress workers are not as they should be'),
    ),
  })
  const fleet = createWorkerFleet({
    system,
    log,
    directory,
    settings: () => settings,
    wanted,
    sets,
    changed: () => worker.nudge(),
    held: (serviceId) => {
      for (const listener of heldListeners) listener(serviceId)
    },
    left: (notes) => left.add(notes),
  })

  const start = async (): Promise<void> => {
    checkPathLength(directory)
    await ensurePrivateDirectory(directory)
    await ensurePrivateDirectory(join(directory, CERTIFICATES_DIRECTORY))
    key = await ensureKeyFile(settings.key_file, system)
    await tickets.renewIfOld(key)
    await fleet.discover()
    const links = fleet.links()
    for (const set of sets)
      await set.open(links.map((link) => link.versionOf(set.name)).filter(Number.isFinite))
    const running = links.map(({ status }) => status)
    const listening = running.filter((each) => each.listening)
    settings = {
      ...settings,
      port: await chooseHttpPort(
        options.bindAddress,
        options.httpPort,
        listening.map((each) => each.port),
      ),
      https_port: await chooseHttpsPort(
        options.bindAddress,
        options.httpsPort,
        // One of an earlier Berth listens for HTTP only.
        listening.map((each) => each.https_port ?? 0).filter((port) => port !== 0),
      ),
    }
    if (settings.port === settings.https_port)
      throw new Error(`HTTP and HTTPS cannot share port ${settings.port}: set BERTH_HTTPS_PORT to another.`)
    const program = await fingerprintProgram()
    settings = { ...settings, fingerprint: fingerprintOf(program, settings) }
    await allowListenerMigration(log)
    await warmCompileCache(directory, program)
    await fleet.reconcile(new AbortController().signal)
    worker.start()
  }

  return {
    start,
    publish: routes.publish,
    certificates: files,
    publishCertificates: certificates.publish,
    publishChallenges: challenges.publish,
    inFlight: (ids) => countInFlight(fleet, new Set(ids)),
    status: async () => {
      const workers = await askAll(fleet)
      return {
        version: routes.current().version,
        bind_address: settings.bind_address,
        http_port: settings.port,
        https_port: settings.https_port,
        wanted_workers: wanted,
        ready_workers: workers.filter((each) => each.listening && each.version >= routes.current().version)
          .length,
        lost_workers: fleet.lost(),
        last_error: worker.status().last_error,
        workers,
      }
    },
    activeUpstreams: () => listActive(fleet),
    onHeld: (listener) => {
      heldListeners.add(listener)
      return () => heldListeners.delete(listener)
    },
    collectRequests: () => collectRequests(fleet, left),
    routes: routes.current,
    stop: async ({ keepWorkers }) => {
      const closing = Promise.all(sets.map((set) => set.close()))
      await worker.stop()
      await closing
      if (!keepWorkers) await fleet.end(limits.drain_ms)
      fleet.hangUp()
    },
  }
}

function checkPathLength(directory: string): void {
  if (Buffer.byteLength(directory) + LONGEST_SOCKET_NAME <= MAX_SOCKET_PATH) return
  throw new Error(`The data directory's path is too long for a Unix socket: ${directory}`)
}
