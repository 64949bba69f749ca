import { messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { createWorker, type Worker } from '../../lib/worker.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { ContainerInfo, Runtime } from '../../runtime/runtime.ts'
import type { createReplicaKeeper } from './replica-keeper.ts'
import { planReplicas, type ReplicaAction, type ReplicaIntent } from './replica-plan.ts'
import type { ReplicaStore } from './replica-store.ts'

export interface ReconcilerDeps {
  runtime: Runtime
  system: System
  store: ReplicaStore
  keeper: ReturnType<typeof createReplicaKeeper>
  listIntents: () => ReplicaIntent[]
  /** Told of the containers that there are, after each look. */
  observed: (containers: readonly ContainerInfo[]) => void
  /** Called after rows of replicas changed. */
  routesChanged: () => void
  onError: (error: unknown) => void
}

export interface Reconciler {
  worker: Worker
  start(): void
  stop(): Promise<void>
}

const LOOK_EVERY_MS = 5_000
/** How soon to look again while something is on its way. */
const LOOK_SOON_MS = 250
const EVENTS_PAUSE_MS = 1_000

/** Keeps what runs in the engine as it ought to be: once at start (which adopts what is there), at every event, and now and then. */
export function createReconciler(deps: ReconcilerDeps): Reconciler {
  const { runtime, system } = deps
  const abort = new AbortController()
  let watching: Promise<void> = Promise.resolve()

  const perform = async (action: ReplicaAction, signal: AbortSignal): Promise<void> => {
    try {
      await deps.keeper.perform(action, signal)
    } catch (error) {
      if (!signal.aborted) deps.onError(error)
    }
  }

  const worker = createWorker({
    name: 'replicas',
    system,
    everyMs: LOOK_EVERY_MS,
    onError: deps.onError,
    run: async (signal) => {
      const containers = await runtime.listContainers({ [LABELS.kind]: 'replica' })
      deps.observed(containers)
      // What ought to be is read after what is: a deployment that ended meanwhile has its containers in neither list by mistake.
      const actions = planReplicas({
        intents: deps.listIntents(),
        containers,
        rows: deps.store.listAll(),
        now: system.nowIso(),
      })
      if (actions.length === 0) return
      await Promise.all(actions.map((action) => perform(action, signal)))
      deps.routesChanged()
      system.later(LOOK_SOON_MS, worker.nudge)
    },
  })

  const watch = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      try {
        for await (const event of runtime.watchEvents(signal)) {
          if (event.kind !== 'start') worker.nudge()
        }
      } catch (error) {
        if (signal.aborted) return
        deps.onError(new Error(`Lost the engine's events: ${messageOf(error)}`, { cause: error }))
      }
      // Whatever happened while nobody listened is found by looking.
      await system.sleep(EVENTS_PAUSE_MS, signal).catch(() => {})
      worker.nudge()
    }
  }

  return {
    worker,
    start: () => {
      worker.start()
      watching = watch(abort.signal)
    },
    stop: async () => {
      abort.abort()
      await worker.stop()
      await watching
    },
  }
}
