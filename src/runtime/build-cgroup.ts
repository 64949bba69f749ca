import { access, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCodeOf } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import { createBuildShares, type BuildShare } from './build-shares.ts'

/**
 * Bounds on the builds of BuildKit, which takes none with a build.
 *
 * With the cgroupfs driver the engine runs every step of every build under `docker/buildkit`: that cgroup gets the sum of the shares of the
 * builds that run. With the systemd driver it makes a cgroup for each step beside the services (`system.slice:docker:<id>`, runc being told
 * a systemd name without being told so): each gets the share of a build, within a moment of its start.
 */
export interface BuildBounds {
  /** Bounds a build that begins; the result ends it. `bounded` is false where this machine lets us set no bounds. */
  claim(share: BuildShare): Promise<{ bounded: boolean; release: () => Promise<void> }>
}

export interface BuildBoundsOptions {
  cgroupVersion: string
  cgroupDriver: string
  system: System
  /** Where cgroups are mounted. */
  root?: string
}

const CGROUP_ROOT = '/sys/fs/cgroup'
const PARENT = 'docker'
const CGROUP = 'docker/buildkit'
const SERVICES = 'system.slice'
/** A step of BuildKit has an id of 25 letters and digits; containers have 64 hexadecimal digits. */
const STEP = /^.+:docker:[a-z0-9]{25}$/
const LOOK_EVERY_MS = 100
const CPU_PERIOD_US = 100_000

export function createBuildBounds(options: BuildBoundsOptions): BuildBounds {
  const { cgroupVersion, cgroupDriver, system, root = CGROUP_ROOT } = options
  if (cgroupDriver === 'cgroupfs') return boundTogether(cgroupVersion === '2' ? unified(root) : legacy(root))
  return cgroupVersion === '2' ? boundSteps(join(root, SERVICES), system) : { claim: async () => UNBOUNDED }
}

const UNBOUNDED = { bounded: false, release: async () => {} }

/** Where limits are written. */
interface Limits {
  /** The cgroup that holds all builds, where its memory is counted. */
  folder: string
  /** Makes it, if this machine has it. */
  prepare(): Promise<boolean>
  /** Without a share: no limits. */
  apply(share: BuildShare | undefined): Promise<void>
}

function boundTogether(limits: Limits): BuildBounds {
  const shares = createBuildShares(limits.folder)
  // Builds that are not Berth's use the same cgroup: without one of ours it has no limits.
  const adjust = async (): Promise<void> => limits.apply(await shares.total())

  return {
    claim: async (share) => {
      let name: string | undefined
      const bounded = await attempt(async () => {
        if (!(await limits.prepare())) throw Object.assign(new Error('no such cgroup'), { code: 'ENOENT' })
        name = await shares.add(share)
        await adjust()
      })
      const held = name
      if (held === undefined) return UNBOUNDED
      return { bounded, release: async () => void (await attempt(() => shares.remove(held).then(adjust))) }
    },
  }
}

/** cgroup v2: one tree; a controller has to be handed down before a child has its files. */
function unified(root: string): Limits {
  const folder = join(root, CGROUP)
  return {
    folder,
    prepare: async () => {
      if (!(await exists(join(root, 'cgroup.controllers')))) return false
      await mkdir(folder, { recursive: true })
      for (const parent of [root, join(root, PARENT)])
        await write(parent, 'cgroup.subtree_control', '+memory +cpu')
      return true
    },
    apply: (share) => applyUnified(folder, share),
  }
}

async function applyUnified(folder: string, share: BuildShare | undefined): Promise<void> {
  await write(folder, 'memory.max', share ? String(share.memory_bytes) : 'max')
  await write(folder, 'cpu.max', share ? `${quotaOf(share)} ${CPU_PERIOD_US}` : 'max')
  if (await exists(join(folder, 'memory.swap.max')))
    await write(folder, 'memory.swap.max', share ? '0' : 'max')
}

/** cgroup v1: a tree for each controller. */
function legacy(root: string): Limits {
  const memory = join(root, 'memory', CGROUP)
  const cpu = join(root, 'cpu', CGROUP)
  return {
    folder: memory,
    prepare: async () => {
      if (!(await exists(join(root, 'memory', 'memory.limit_in_bytes')))) return false
      await mkdir(memory, { recursive: true })
      await mkdir(cpu, { recursive: true })
      return true
    },
    apply: async (share) => {
      // -1: no limit.
      await writeMemoryAndSwap(memory, share?.memory_bytes ?? -1)
      await write(cpu, 'cpu.cfs_period_us', String(CPU_PERIOD_US))
      await write(cpu, 'cpu.cfs_quota_us', String(share ? quotaOf(share) : -1))
    },
  }
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

/** Looks for the cgroups of steps while builds run; there is no moment before a step at which its cgroup exists. */
function boundSteps(services: string, system: System): BuildBounds {
  const shares = new Set<BuildShare>()
  let isLooking = false

  const look = async (): Promise<void> => {
    if (isLooking) return
    isLooking = true
    while (shares.size > 0) {
      const share = [...shares].toSorted((a, b) => b.memory_bytes - a.memory_bytes)[0]
      await attempt(() => boundNewSteps(services, share))
      await system.sleep(LOOK_EVERY_MS)
    }
    isLooking = false
  }

  return {
    claim: async (share) => {
      if (!(await exists(join(services, 'cgroup.subtree_control')))) return UNBOUNDED
      shares.add(share)
      void look()
      return { bounded: true, release: async () => void shares.delete(share) }
    },
  }
}

async function boundNewSteps(services: string, share: BuildShare | undefined): Promise<void> {
  const steps = (await readdir(services)).filter((name) => STEP.test(name))
  for (const step of steps) {
    const folder = join(services, step)
    // One that has a limit has been seen, or somebody else knows better. One that has just ended is no error.
    await attempt(async () => {
      if ((await readFile(join(folder, 'memory.max'), 'utf8')).trim() === 'max')
        await applyUnified(folder, share)
    })
  }
}

function quotaOf(share: BuildShare): number {
  return Math.round((share.cpu_millis * CPU_PERIOD_US) / 1000)
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
