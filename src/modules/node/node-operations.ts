import { readFile, statfs } from 'node:fs/promises'
import { availableParallelism, cpus, freemem, loadavg, release, totalmem } from 'node:os'
import type { System } from '../../lib/system.ts'
import type { WorkerStatus } from '../../lib/worker.ts'
import type { EngineInfo } from '../../runtime/runtime.ts'
import type { NodeInfo, Readiness } from './node-schema.ts'

/** Resolves when a part works; rejects with why it does not. */
export type ReadinessCheck = (signal: AbortSignal) => void | Promise<unknown>

export interface NodeDeps {
  system: System
  version: string
  settings: { node_name: string; control_domain: string | undefined; data_dir: string }
  checks: Readonly<Record<string, ReadinessCheck>>
  inspectEngine: (signal: AbortSignal) => Promise<EngineInfo>
  workers: () => readonly WorkerStatus[]
  /** Told when a part is not ready. */
  onNotReady: (name: string, error: unknown) => void
}

export interface NodeOperations {
  /** Asks every part, at most once a second however many ask; a part that does not answer in two seconds is not ready. */
  readReadiness(): Promise<Readiness>
  readNode(): Promise<NodeInfo>
  listWorkers(): WorkerStatus[]
}

const CHECK_TIMEOUT_MS = 2000
const READINESS_AGE_MS = 1000

export function createNodeOperations(deps: NodeDeps): NodeOperations {
  const { system, settings } = deps
  let latest: { at: number; readiness: Promise<Readiness> } | undefined
  let busyBefore: { busy: number; total: number } | undefined

  const runCheck = async (
    name: string,
    check: ReadinessCheck,
  ): Promise<readonly [string, 'ok' | 'failed']> => {
    try {
      await within(check)
      return [name, 'ok']
    } catch (error) {
      deps.onNotReady(name, error)
      return [name, 'failed']
    }
  }

  const runChecks = async (): Promise<Readiness> => {
    const results = await Promise.all(
      Object.entries(deps.checks).map(([name, check]) => runCheck(name, check)),
    )
    const failed = results.some(([, result]) => result === 'failed')
    return { status: failed ? 'not_ready' : 'ready', checks: Object.fromEntries(results) }
  }

  const usedPercent = (): number | null => {
    const now = readCpuTimes()
    const before = busyBefore
    busyBefore = now
    if (!before || now.total === before.total) return null
    return Math.round(((now.busy - before.busy) / (now.total - before.total)) * 1000) / 10
  }

  return {
    readReadiness: () => {
      const now = system.monotonic()
      if (!latest || now - latest.at >= READINESS_AGE_MS) latest = { at: now, readiness: runChecks() }
      return latest.readiness
    },
    readNode: async () => {
      const [engine, disk, os] = await Promise.all([
        within(deps.inspectEngine).catch(() => null),
        statfs(settings.data_dir),
        readOsName(),
      ])
      return {
        name: settings.node_name,
        version: deps.version,
        control_domain: settings.control_domain ?? null,
        os,
        kernel: release(),
        engine: engine && {
          version: engine.version,
          api_version: engine.api_version,
          cgroup: engine.cgroup_version,
        },
        cpu: { cores: availableParallelism(), used_percent: usedPercent() },
        memory: { total_bytes: totalmem(), available_bytes: freemem() },
        load: loadavg(),
        disk: { total_bytes: disk.blocks * disk.bsize, free_bytes: disk.bavail * disk.bsize },
      }
    },
    listWorkers: () => [...deps.workers()],
  }
}

/** Waits for at most two seconds, also for work that does not listen to its signal. */
async function within<T>(work: (signal: AbortSignal) => T | Promise<T>): Promise<T> {
  const signal = AbortSignal.timeout(CHECK_TIMEOUT_MS)
  const late = Promise.withResolvers<never>()
  signal.addEventListener('abort', () => late.reject(signal.reason), { once: true })
  return Promise.race([work(signal), late.promise])
}

function readCpuTimes(): { busy: number; total: number } {
  let busy = 0
  let total = 0
  for (const { times } of cpus()) {
    const sum = times.user + times.nice + times.sys + times.irq + times.idle
    total += sum
    busy += sum - times.idle
  }
  return { busy, total }
}

/** The distribution's name, from os-release(5). */
async function readOsName(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '')
  return /^PRETTY_NAME="?([^"\n]+)"?$/m.exec(text)?.[1] ?? process.platform
}
