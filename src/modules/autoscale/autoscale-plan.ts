import type { Autoscale } from '../services/autoscale-schema.ts'
import { replicasOf, type ServiceConfig } from '../services/service-schema.ts'

/** What is seen of one service at one moment. */
export interface ScaleLook {
  /** How many replicas are wanted now, and how many of them are well. */
  replicas: number
  healthy: number
  /** Of the limits of its replicas, on average; null while nothing is known. */
  cpu_pct: number | null
  mem_pct: number | null
  /** How long it has had no request and no open connection. */
  idle_ms: number
  /** Any clock that does not go back. */
  now_ms: number
}

/** What is remembered from one look to the next. */
export interface ScaleMemory {
  /** Since when fewer replicas would do, and the most that would have been needed since. */
  below?: { since_ms: number; most: number }
}

export interface ScaleDecision {
  replicas: number
  /** Why it is another number than before. */
  reason: string | undefined
  memory: ScaleMemory
}

/** The bounds as they hold for a service of these configurations: what writes into a volume runs once, whatever else was set. */
export function boundsFor(
  settings: Autoscale,
  configs: readonly Pick<ServiceConfig, 'volumes'>[],
): Autoscale {
  const cap = (wanted: number): number => configs.reduce((count, config) => replicasOf(config, count), wanted)
  return {
    ...settings,
    min_replicas: cap(settings.min_replicas),
    max_replicas: cap(settings.max_replicas),
  }
}

/** A load this near to its target changes nothing: every change costs a start. */
const TOLERANCE = 0.1

/**
 * How many replicas a service ought to have: a pure function. Up at once, but only from replicas that are all well; down when fewer would have
 * done for the whole cool-down; to none when it was idle for long enough. A service at none stays there until a request wakes it.
 */
export function planScale(settings: Autoscale, look: ScaleLook, memory: ScaleMemory): ScaleDecision {
  const { replicas } = look
  const stay = (next: ScaleMemory = {}): ScaleDecision => ({ replicas, reason: undefined, memory: next })
  const floor = Math.max(1, settings.min_replicas)
  if (replicas === 0 && settings.min_replicas === 0) return stay()
  if (replicas < floor) return change(floor, `at least ${floor}`)
  if (replicas > settings.max_replicas)
    return change(settings.max_replicas, `at most ${settings.max_replicas}`)
  if (settings.min_replicas === 0 && look.idle_ms >= settings.idle_timeout_s * 1000)
    return change(0, `idle for ${settings.idle_timeout_s} s`)
  // What is coming up says nothing of the load yet, and takes some of it soon.
  if (look.healthy < replicas) return stay(memory)
  const { count, why } = neededFor(settings, look)
  const needed = Math.min(settings.max_replicas, Math.max(floor, count))
  if (needed > replicas) return change(needed, why)
  if (needed === replicas) return stay()
  const below = {
    since_ms: memory.below?.since_ms ?? look.now_ms,
    most: Math.max(needed, memory.below?.most ?? 0),
  }
  if (look.now_ms - below.since_ms < settings.scale_down_cooldown_s * 1000) return stay({ below })
  return change(below.most, `less was needed for ${settings.scale_down_cooldown_s} s`)
}

function change(replicas: number, reason: string): ScaleDecision {
  return { replicas, reason, memory: {} }
}

/** How many replicas would bring the load to its target: of processor and memory the one that needs more decides. */
function neededFor(settings: Autoscale, look: ScaleLook): { count: number; why: string } {
  const cpu = ratio(look.cpu_pct, settings.target_cpu_pct)
  const mem = ratio(look.mem_pct, settings.target_mem_pct)
  const why =
    (mem ?? 0) > (cpu ?? 0)
      ? `memory at ${Math.round(look.mem_pct ?? 0)} % of the limit`
      : `processor at ${Math.round(look.cpu_pct ?? 0)} % of the limit`
  if (cpu === null && mem === null) return { count: look.replicas, why }
  const most = Math.max(cpu ?? 0, mem ?? 0)
  const count = Math.abs(most - 1) <= TOLERANCE ? look.replicas : Math.ceil(look.replicas * most)
  return { count, why }
}

function ratio(seen: number | null, target: number | null): number | null {
  return seen === null || target === null ? null : seen / target
}
