import { orAborted } from '../../lib/abortable.ts'
import { messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { ReplicaAction } from './replica-plan.ts'

export interface ReplicaActionsDeps {
  system: System
  /** Answers after how many milliseconds the same may be done again. */
  perform: (action: ReplicaAction, signal: AbortSignal) => Promise<number>
  /** Called when it is worth looking at the world again. */
  lookAgain: () => void
  onError: (error: unknown) => void
}

const LOOK_SOON_MS = 250
/** After an error the same is not tried again sooner than this. */
const RETRY_MS = 5_000
/** An engine that starts everything at once starts nothing quickly; of probes the rest wait for the next look. */
const AT_ONCE: Partial<Record<ReplicaAction['kind'], number>> = { run: 4, watch: 64 }
/** The looks that there are anyway are often enough for what is not due sooner. */
const REGULAR_LOOK_MS = 5_000

/** Carries out actions beside each other, one for each container: a replica that takes minutes to stop holds nobody else up. */
export function createReplicaActions(deps: ReplicaActionsDeps) {
  const { system } = deps
  const busy = new Map<string, { kind: ReplicaAction['kind']; ended: Promise<void> }>()
  /** Containers that were changed since the present list was asked for: what it says of them is old. */
  const changed = new Set<string>()
  const pauses = new Map<string, { kind: ReplicaAction['kind']; until: number }>()
  const failures = new Map<string, string>()
  let isLookDue = false

  const lookSoon = (ms: number): void => {
    if (ms <= LOOK_SOON_MS && isLookDue) return
    if (ms <= LOOK_SOON_MS) isLookDue = true
    system.later(Math.max(ms, LOOK_SOON_MS), () => {
      if (ms <= LOOK_SOON_MS) isLookDue = false
      deps.lookAgain()
    })
  }

  const tell = (name: string, error: unknown): void => {
    if (failures.get(name) === messageOf(error)) return
    failures.set(name, messageOf(error))
    deps.onError(error)
  }

  const carryOut = async (action: ReplicaAction, signal: AbortSignal): Promise<void> => {
    const { name, kind } = action
    let pause = RETRY_MS
    try {
      pause = await orAborted(deps.perform(action, signal), signal)
      failures.delete(name)
    } catch (error) {
      if (signal.aborted) return
      tell(name, error)
    } finally {
      busy.delete(name)
      changed.add(name)
    }
    pauses.set(name, { kind, until: system.monotonic() + pause })
    if (kind !== 'watch' || pause < REGULAR_LOOK_MS) lookSoon(pause)
  }

  const mayBegin = ({ name, kind }: ReplicaAction): boolean => {
    if (busy.has(name) || changed.has(name)) return false
    const pause = pauses.get(name)
    if (pause?.kind === kind && pause.until > system.monotonic()) return false
    const limit = AT_ONCE[kind]
    if (limit === undefined) return true
    return [...busy.values()].filter((other) => other.kind === kind).length < limit
  }

  return {
    /** To be called before the list of containers is asked for that the next actions follow from. */
    beginLook: (): void => changed.clear(),

    begin: (actions: readonly ReplicaAction[], signal: AbortSignal): void => {
      for (const action of actions) {
        if (!mayBegin(action)) continue
        // Entered before it begins: it may end at once.
        const entry = { kind: action.kind, ended: Promise.resolve() }
        busy.set(action.name, entry)
        entry.ended = carryOut(action, signal)
      }
    },

    /** Drops what was remembered of containers that are gone. */
    forgetOthers: (names: ReadonlySet<string>): void => {
      for (const memory of [pauses, failures])
        for (const name of memory.keys()) if (!names.has(name) && !busy.has(name)) memory.delete(name)
    },

    /** Resolves when nothing is under way any more. */
    settled: async (): Promise<void> => {
      while (busy.size > 0) await Promise.all([...busy.values()].map(({ ended }) => ended))
    },
  }
}
