import type { System } from '../../lib/system.ts'
import type { ContainerUsage, Runtime } from '../../runtime/runtime.ts'
import type { ResourceLimits } from '../projects/resource-limits-schema.ts'

/** What replicas use of their limits, on average; null while nothing is known. */
export interface Load {
  cpu_pct: number | null
  mem_pct: number | null
}

/** Turns what containers have used so far into what they use now. */
export function createUsageMeter(runtime: Pick<Runtime, 'inspectContainer' | 'readUsage'>, system: System) {
  /** By the engine's id: a container that was made anew begins anew. */
  const last = new Map<string, { usage: ContainerUsage; at: number }>()

  const cpuOf = (id: string, usage: ContainerUsage, limits: ResourceLimits): number | undefined => {
    const now = system.monotonic()
    const before = last.get(id)
    last.set(id, { usage, at: now })
    if (!before || now <= before.at || limits.cpu_millis === undefined) return undefined
    const used = usage.cpu_us - before.usage.cpu_us
    const granted = (now - before.at) * limits.cpu_millis
    // Microseconds used of milliseconds times thousandths.
    return used < 0 || granted === 0 ? undefined : (used / granted) * 100
  }

  return {
    /** Measures these replicas; each since it was measured last. */
    measure: async (names: readonly string[], limits: ResourceLimits): Promise<Load> => {
      const cpu: number[] = []
      const mem: number[] = []
      for (const name of names) {
        const container = await runtime.inspectContainer(name)
        const usage = container && (await runtime.readUsage(container.id))
        if (!usage) continue
        const cpuPct = cpuOf(container.id, usage, limits)
        if (cpuPct !== undefined) cpu.push(cpuPct)
        if (limits.memory_bytes !== undefined) mem.push((usage.memory_bytes / limits.memory_bytes) * 100)
      }
      return { cpu_pct: average(cpu), mem_pct: average(mem) }
    },

    /** Drops what was measured too long ago to be of use: its container is gone. */
    forgetOld: (ageMs: number): void => {
      for (const [id, { at }] of last) if (system.monotonic() - at > ageMs) last.delete(id)
    },
  }
}

function average(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, each) => sum + each, 0) / values.length
}
