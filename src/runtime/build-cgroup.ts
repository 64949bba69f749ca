import { access, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCodeOf } from '../lib/errors.ts'

/**
 * Bounds on all builds of BuildKit together.
 *
 * BuildKit inside the engine takes no limits with a build. With the cgroupfs driver it runs every step under `docker/buildkit`, so the
 * limits are set there. With the systemd driver each step gets a scope of its own beside the containers' and there is nothing to limit.
 */
export interface BuildBounds {
  /** Adds a build's share; false when this machine's builds cannot be bounded this way. The result gives the share back. */
  claim(share: BuildShare): Promise<{ bounded: boolean; release: () => Promise<void> }>
}

export interface BuildShare {
  memory_bytes: number
  cpu_millis: number
}

export interface BuildBoundsOptions {
  cgroupVersion: string
  cgroupDriver: string
  /** Where cgroups are mounted. */
  root?: string
}

const PARENT = 'docker'
const CGROUP = 'docker/buildkit'
const CPU_PERIOD_US = 100_000
/** The word for it in the files of cgroup v1. */
const UNLIMITED = -1

export function createBuildBounds({
  cgroupVersion,
  cgroupDriver,
  root = '/sys/fs/cgroup',
}: BuildBoundsOptions): BuildBounds {
  const shares = new Set<BuildShare>()
  const apply = cgroupVersion === '2' ? applyUnified : applyLegacy

  const adjust = async (): Promise<boolean> => {
    if (cgroupDriver !== 'cgroupfs') return false
    const [first, ...others] = shares
    // Builds that are not Berth's use the same cgroup: without one of ours it has no limits.
    if (!first) return apply(root, undefined)
    const sum = others.reduce(
      (a, b) => ({ memory_bytes: a.memory_bytes + b.memory_bytes, cpu_millis: a.cpu_millis + b.cpu_millis }),
      first,
    )
    return apply(root, sum)
  }

  return {
    claim: async (share) => {
      shares.add(share)
      return {
        bounded: await adjust(),
        release: async () => {
          shares.delete(share)
          await adjust()
        },
      }
    },
  }
}

function quotaOf(share: BuildShare): number {
  return Math.round((share.cpu_millis * CPU_PERIOD_US) / 1000)
}

/** cgroup v2: one tree; a controller has to be handed down before a child has its files. */
async function applyUnified(root: string, share: BuildShare | undefined): Promise<boolean> {
  if (!(await exists(join(root, 'cgroup.controllers')))) return false
  const group = join(root, CGROUP)
  return attempt(async () => {
    await mkdir(group, { recursive: true })
    for (const parent of [root, join(root, PARENT)])
      await write(parent, 'cgroup.subtree_control', '+memory +cpu')
    await write(group, 'memory.max', share ? String(share.memory_bytes) : 'max')
    await write(group, 'cpu.max', share ? `${quotaOf(share)} ${CPU_PERIOD_US}` : 'max')
    if (await exists(join(group, 'memory.swap.max')))
      await write(group, 'memory.swap.max', share ? '0' : 'max')
  })
}

/** cgroup v1: a tree for each controller. */
async function applyLegacy(root: string, share: BuildShare | undefined): Promise<boolean> {
  const memory = join(root, 'memory', CGROUP)
  const cpu = join(root, 'cpu', CGROUP)
  if (!(await exists(join(root, 'memory', 'memory.limit_in_bytes')))) return false
  return attempt(async () => {
    await mkdir(memory, { recursive: true })
    await mkdir(cpu, { recursive: true })
    await writeMemoryAndSwap(memory, share?.memory_bytes ?? UNLIMITED)
    await write(cpu, 'cpu.cfs_period_us', String(CPU_PERIOD_US))
    await write(cpu, 'cpu.cfs_quota_us', String(share ? quotaOf(share) : UNLIMITED))
  })
}

/** The limit on memory and swap may never be below the one on memory, so which goes first depends on the direction. */
async function writeMemoryAndSwap(group: string, bytes: number): Promise<void> {
  const limits = ['memory.limit_in_bytes']
  if (await exists(join(group, 'memory.memsw.limit_in_bytes'))) limits.push('memory.memsw.limit_in_bytes')
  const lowered = await attempt(() => writeAll(group, limits, bytes))
  if (!lowered) await writeAll(group, limits.toReversed(), bytes)
}

async function writeAll(group: string, names: string[], value: number): Promise<void> {
  for (const name of names) await write(group, name, String(value))
}

async function write(group: string, name: string, value: string): Promise<void> {
  await writeFile(join(group, name), value)
}

/** False when the kernel or its permissions refuse: builds then run as the engine lets them. */
async function attempt(run: () => Promise<void>): Promise<boolean> {
  try {
    await run()
    return true
  } catch (error) {
    if (systemCodeOf(error) === undefined) throw error
    return false
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch {
    return false
  }
}
