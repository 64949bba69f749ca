import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  INHERIT_ARGUMENT,
  pidOfSocket,
  socketName,
  type TakenNotes,
} from '../../ingress/contract/control-protocol.ts'
import type { WorkerSettings } from '../../ingress/worker/worker-settings.ts'
import { sparing } from '../../lib/disk-trouble.ts'
import { messageOf, systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { type FleetSet, pushSets, type Refusal } from './fleet-push.ts'
import type { IngressLog } from './ingress-log.ts'
import { ANSWER_MS, WorkerLink } from './worker-link.ts'
import { planWorkers } from './worker-plan.ts'
import {
  hasEnded,
  isOurWorker,
  killWorker,
  type StartedWorker,
  startFailure,
  startWorker,
  workerCommand,
} from './worker-process.ts'

const START_MS = 30_000
const START_LOOK_MS = 25
/** A worker that lived so long did not die of being started. */
const STEADY_SECONDS = 60
const MAX_BACK_OFF_MS = 30_000
/** Replaced workers are in nobody's way: what runs through them may end by itself. */
const RETIRE_REQUESTS_MS = 10 * 60_000
const RETIRE_UPGRADED_MS = 60 * 60_000

export interface FleetOptions {
  system: System
  log: IngressLog
  directory: string
  /** Of the workers that there should be. */
  settings: () => WorkerSettings
  wanted: number
  /** What every worker is to serve. */
  sets: readonly FleetSet[]
  /** Something has changed: `reconcile` should run soon. */
  changed: () => void
  /** Requests of this service wait for a replica; told again while they do. */
  held: (serviceId: string) => void
  /** What workers that end have noted of requests. */
  left: (notes: TakenNotes) => void
}

/** The worker processes of one data directory: those that run, and how many there should be. */
export interface WorkerFleet {
  /** Every worker that can be reached, those that are ending among them. */
  links(): WorkerLink[]
  /** Finds workers that nobody here has started. */
  discover(): Promise<void>
  /** Hands the present sets to everyone; see `pushSets`. */
  push(): Promise<Refusal[]>
  /** Starts what is missing and retires what is too much. */
  reconcile(signal: AbortSignal): Promise<void>
  /** Ends every worker, by force after `graceMs`. */
  end(graceMs: number): Promise<void>
  hangUp(): void
  /** How many have ended without being told to. */
  lost(): number
}

export function createWorkerFleet(options: FleetOptions): WorkerFleet {
  const { system, log, directory, changed } = options
  const links = new Map<number, WorkerLink>()
  const opening = new Map<number, Promise<void>>()
  /** Started here and not listening yet. */
  const starting = new Set<number>()
  let hungUp = false
  let deaths = 0
  let lost = 0
  let notBefore = 0

  const failed = sparing(system, (error) =>
    log.error({ error: messageOf(error) }, 'what an ingress worker told could not be acted on'),
  )

  const onClose = (link: WorkerLink): void => {
    // One that closed while it was being opened was never among the living.
    if (links.get(link.pid) !== link) return
    links.delete(link.pid)
    if (!link.retiring && !link.status.draining && !hungUp) {
      lost += 1
      log.warn({ pid: link.pid }, 'an ingress worker is gone')
      backOff(link.status.uptime_seconds)
    }
    changed()
  }

  /** The first one is replaced at once: a crash is rare, and every moment costs. */
  const backOff = (uptimeSeconds: number): void => {
    deaths = uptimeSeconds >= STEADY_SECONDS ? 1 : deaths + 1
    const delay = deaths === 1 ? 0 : Math.min(MAX_BACK_OFF_MS, 250 * 2 ** Math.min(deaths, 16))
    notBefore = system.monotonic() + delay
  }

  const open = async (pid: number): Promise<void> => {
    const path = join(directory, socketName(pid))
    try {
      const link = await WorkerLink.open(path, pid, system, {
        closed: onClose,
        held: options.held,
        left: options.left,
        failed,
      })
      if (!link.closed) links.set(pid, link)
    } catch (error) {
      await clearAway(pid, path, error)
    }
  }

  /** A socket without a process behind it goes; a process that does not answer is ended. */
  const clearAway = async (pid: number, path: string, error: unknown): Promise<void> => {
    if (!(await isOurWorker(pid, directory))) await rm(path, { force: true })
    else if (systemCodeOf(error) === undefined) {
      log.warn({ pid, error: messageOf(error) }, 'an ingress worker does not answer and is killed')
      await killWorker(pid, directory)
    }
  }

  const ensureLink = async (pid: number): Promise<void> => {
    if (links.has(pid)) return
    const present = opening.get(pid) ?? open(pid).finally(() => opening.delete(pid))
    opening.set(pid, present)
    await present
  }

  const discover = async (): Promise<void> => {
    const pids = (await namesIn(directory)).map(pidOfSocket).filter((pid) => pid !== undefined)
    await Promise.all(pids.map(ensureLink))
  }

  const push = async (): Promise<Refusal[]> => {
    await discover()
    return await pushSets(options, [...links.values()])
  }

  const refresh = async (link: WorkerLink): Promise<void> => {
    try {
      await link.refresh()
    } catch (error) {
      if (await isOurWorker(link.pid, directory)) {
        log.warn({ pid: link.pid, error: messageOf(error) }, 'an ingress worker hangs and is killed')
        await killWorker(link.pid, directory)
      }
    }
  }

  const startOne = async (predecessor: WorkerLink | undefined, signal: AbortSignal): Promise<void> => {
    const settings = options.settings()
    const worker = (await succeed(predecessor, settings)) ?? (await startWorker(settings, changed))
    // An abort leaves it there, for `end` to find.
    starting.add(worker.pid)
    const deadline = system.monotonic() + START_MS
    while (system.monotonic() < deadline) {
      const ended = await worker.ended()
      if (ended !== undefined || (await isListening(worker.pid))) starting.delete(worker.pid)
      if (ended !== undefined) throw startFailure(settings, ended.code)
      if (!starting.has(worker.pid)) return
      await system.sleep(START_LOOK_MS, signal)
    }
    await killWorker(worker.pid, directory)
    starting.delete(worker.pid)
    throw new Error(`The ingress worker ${worker.pid} did not start within ${START_MS} ms.`)
  }

  /** Has an outdated worker start the new one with its own sockets; undefined when that is not possible. */
  const succeed = async (
    predecessor: WorkerLink | undefined,
    settings: WorkerSettings,
  ): Promise<StartedWorker | undefined> => {
    if (predecessor === undefined) return undefined
    try {
      const { command, env } = workerCommand(settings)
      const pid = await predecessor.handOver([...command, INHERIT_ARGUMENT], env)
      log.info({ pid, predecessor: predecessor.pid }, 'an ingress worker hands its sockets over')
      return {
        pid,
        ended: async () => ((await hasEnded(pid, directory)) ? { code: null, signal: null } : undefined),
      }
    } catch (error) {
      // One of an earlier Berth cannot; the new one then listens beside it.
      log.info(
        { pid: predecessor.pid, error: messageOf(error) },
        'an ingress worker keeps its sockets for itself',
      )
      return undefined
    }
  }

  /** Outdated workers on the same ports, each of which can have one successor. */
  const predecessors = (): WorkerLink[] => {
    const { fingerprint, bind_address, port, https_port } = options.settings()
    return observed().filter(
      ({ retiring, status }) =>
        !retiring &&
        status.listening &&
        status.fingerprint !== fingerprint &&
        status.bind_address === bind_address &&
        status.port === port &&
        status.https_port === https_port,
    )
  }

  const isListening = async (pid: number): Promise<boolean> => {
    await discover()
    const link = links.get(pid)
    if (link === undefined || link.closed) return false
    try {
      return (await link.refresh()).listening
    } catch {
      // It ended meanwhile; its exit status tells why.
      return false
    }
  }

  const startMissing = async (count: number, signal: AbortSignal): Promise<void> => {
    const wait = notBefore - system.monotonic()
    if (wait > 0) {
      system.later(wait, changed)
      return
    }
    const before = predecessors()
    const outcomes = await Promise.allSettled(
      Array.from({ length: count }, (_, index) => startOne(before[index], signal)),
    )
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed === undefined) return
    signal.throwIfAborted()
    backOff(0)
    throw failed.reason
  }

  const observed = (): WorkerLink[] => [...links.values()].filter((link) => !link.closed)

  const reconcile = async (signal: AbortSignal): Promise<void> => {
    await discover()
    await Promise.all(observed().map(refresh))
    await push()
    const { fingerprint } = options.settings()
    const { start } = planWorkers(options.wanted, fingerprint, observed())
    if (start > 0) await startMissing(start, signal)
    const { retire } = planWorkers(options.wanted, fingerprint, observed())
    for (const pid of retire) {
      log.info({ pid }, 'an ingress worker is retired')
      await links.get(pid)?.retire(RETIRE_REQUESTS_MS, RETIRE_UPGRADED_MS)
    }
  }

  const end = async (graceMs: number): Promise<void> => {
    await discover()
    const ending = observed()
    await Promise.allSettled(ending.map((link) => link.retire(graceMs, graceMs)))
    const deadline = system.monotonic() + graceMs + ANSWER_MS
    while (links.size > 0 && system.monotonic() < deadline) await system.sleep(START_LOOK_MS)
    const left = [...ending.map(({ pid }) => pid), ...starting]
    await Promise.all(left.map((pid) => killWorker(pid, directory)))
  }

  return {
    links: observed,
    discover,
    push,
    reconcile,
    end,
    hangUp: () => {
      hungUp = true
      for (const link of links.values()) link.close()
    },
    lost: () => lost,
  }
}

/** Without a directory there are no workers; those that there were end themselves. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return []
    throw error
  }
}
