import { orAborted } from '../../lib/abortable.ts'
import { isAppError, messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { createWorker, type Worker } from '../../lib/worker.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { ContainerInfo, Runtime } from '../../runtime/runtime.ts'
import { createReplicaActions } from './replica-actions.ts'
import type { createReplicaKeeper } from './replica-keeper.ts'
import { planDistrust, planReplicas, type ReplicaIntent } from './replica-plan.ts'
import type { ReplicaStore } from './replica-store.ts'

export interface ReconcilerDeps {
  runtime: Runtime
  system: System
  store: ReplicaStore
  keeper: ReturnType<typeof createReplicaKeeper>
  listIntents: () => ReplicaIntent[]
  /** Told of the containers that there are, after each look. */
  observed: (containers: readonly ContainerInfo[]) => void
  onError: (error: unknown) => void
}

export interface Reconciler {
  worker: Worker
  /**
   * Begins. `adopted` is called once: when the first look at the engine is done, before which nothing ought to be started, or when the engine
   * has not answered for a while.
   */
  start(adopted: () => void): void
  stop(): Promise<void>
}

const LOOK_EVERY_MS = 5_000
const EVENTS_PAUSE_MS = 1_000
/** How long everything else waits for the first look. */
const ADOPTION_PATIENCE_MS = 15_000

/** Keeps what runs in the engine as it ought to be: once at start (which adopts what is there), at every event, and now and then. */
export function createReconciler(deps: ReconcilerDeps): Reconciler {
  const { runtime, system } = deps
  const abort = new AbortController()
  let watching: Promise<void> = Promise.resolve()
  let isEngineAway = false
  let hasAdopted = false
  let tellAdopted = (): void => {}

  /** An engine that is away is told of once, not every few seconds. */
  const tell = (error: unknown, message?: string): void => {
    const wasAway = isEngineAway
    isEngineAway = isAppError(error, 'RUNTIME_UNAVAILABLE')
    if (isEngineAway && wasAway) return
    deps.onError(message === undefined ? error : new Error(message, { cause: error }))
  }
  const actions = createReplicaActions({
    system,
    perform: deps.keeper.perform,
    lookAgain: () => worker.nudge(),
    onError: tell,
  })

  /**
   * Takes out of the routes what did not live through the time in which no daemon ran, before anything is started: a container that starts
   * now may be given the address of one that has gone.
   */
  const adopt = async (containers: readonly ContainerInfo[]): Promise<void> => {
    for (const row of planDistrust(deps.store.listAll(), containers)) deps.keeper.distrust(row)
    await orAborted(deps.keeper.publishRoutes(), abort.signal).catch(tell)
    hasAdopted = true
    tellAdopted()
  }

  const worker = createWorker({
    name: 'replicas',
    system,
    everyMs: LOOK_EVERY_MS,
    onError: tell,
    run: async () => {
      actions.beginLook()
      deps.store.settle()
      const containers = await runtime.listContainers({ [LABELS.kind]: 'replica' })
      if (abort.signal.aborted) return
      isEngineAway = false
      if (!hasAdopted) await adopt(containers)
      deps.observed(containers)
      // What ought to be is read after what is: a deployment that ended meanwhile has its containers in neither list by mistake.
      const rows = deps.store.listAll()
      const plan = planReplicas({ intents: deps.listIntents(), containers, rows, now: system.nowIso() })
      actions.forgetOthers(new Set([...containers, ...plan].map(({ name }) => name)))
      actions.begin(plan, abort.signal)
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
        tell(error, `Lost the engine's events: ${messageOf(error)}`)
      }
      // Whatever happened while nobody listened is found by looking.
      await system.sleep(EVENTS_PAUSE_MS, signal).catch(() => {})
      worker.nudge()
    }
  }

  return {
    worker,
    start: (adopted) => {
      tellAdopted = () => {
        tellAdopted = () => {}
        adopted()
      }
      system.later(ADOPTION_PATIENCE_MS, () => tellAdopted())
      worker.start()
      watching = watch(abort.signal)
    },
    stop: async () => {
      abort.abort()
      await worker.stop()
      await actions.settled()
      await watching
    },
  }
}
