import type { System } from '../../lib/system.ts'
import { createWorker, type Worker } from '../../lib/worker.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { DeploymentRow } from '../deployments/deployment-schema.ts'
import { BERTH_ITSELF } from '../identity/context.ts'
import type { ReplicaRow } from '../replicas/replica-schema.ts'
import type { Autoscale } from '../services/autoscale-schema.ts'
import type { ServiceSummary } from '../services/service-schema.ts'
import { boundsFor, planScale, type ScaleMemory } from './autoscale-plan.ts'
import { createUsageMeter } from './usage-meter.ts'

export interface AutoscalerDeps {
  database: Database
  system: System
  runtime: Runtime
  services: {
    listAutoscaled: () => readonly ServiceSummary[]
    find: (id: string) => ServiceSummary | undefined
    setReplicas: (id: string, replicas: number, now: string) => void
  }
  /** Those that are live, of all services. */
  listLiveDeployments: () => readonly DeploymentRow[]
  /** Whether a deployment that is not live yet is under way. */
  isDeploying: (serviceId: string) => boolean
  listReplicas: (deploymentId: string) => readonly ReplicaRow[]
  /** Replicas with a request or an open connection now or a moment ago; throws when an ingress process cannot be asked. */
  activeUpstreams: () => Promise<ReadonlySet<string>>
  recordAudit: RecordAudit
  /** Called after a commit that changed how many replicas ought to run. */
  serviceChanged: (serviceId: string) => void
  onError: (error: unknown) => void
}

export interface Autoscaler {
  worker: Worker
  /** Requests of a service wait for a replica: lets one run if it sleeps. However often it is called, one is started. */
  wake(serviceId: string): void
}

const LOOK_EVERY_MS = 5_000
const FORGET_MS = 60_000

interface Watched {
  /** When it was last seen with a request, or first seen at all. */
  active_ms: number
  memory: ScaleMemory
}

/** Keeps as many replicas as a service's load asks for, within the bounds that its owner set. */
export function createAutoscaler(deps: AutoscalerDeps): Autoscaler {
  const { database, system, services } = deps
  const meter = createUsageMeter(deps.runtime, system)
  const watched = new Map<string, Watched>()

  const scale = (service: ServiceSummary, replicas: number, action: string, reason: string): void =>
    database.transact(() => {
      const present = services.find(service.id)
      // Someone else was faster: the next look starts from what they want.
      if (present?.replicas !== service.replicas || present.autoscale === null) return
      services.setReplicas(service.id, replicas, system.nowIso())
      deps.recordAudit(BERTH_ITSELF, {
        action,
        resource_kind: 'service',
        resource_id: service.id,
        project_id: service.project_id,
        details: { name: service.name, from: service.replicas, to: replicas, reason },
      })
      database.afterCommit(() => deps.serviceChanged(service.id))
    })

  const look = async (
    service: ServiceSummary,
    settings: Autoscale,
    live: DeploymentRow,
    active: ReadonlySet<string> | undefined,
  ): Promise<void> => {
    const now = system.monotonic()
    const entry = watched.get(service.id) ?? { active_ms: now, memory: {} }
    watched.set(service.id, entry)
    const rows = deps.listReplicas(live.id)
    const canaries =
      service.canary_deployment_id === null ? [] : deps.listReplicas(service.canary_deployment_id)
    // Nobody may fall asleep because an ingress process did not answer.
    if (
      active === undefined ||
      [...rows, ...canaries].some(({ container_name }) => active.has(container_name))
    )
      entry.active_ms = now
    const healthy = rows.filter(({ status }) => status === 'Healthy').map((row) => row.container_name)
    // Whoever wakes has its idle time before it: the request that woke it is still on its way.
    if (healthy.length === 0) entry.active_ms = now
    const load = await meter.measure(healthy, live.config.resource_limits ?? {})
    const { replicas, reason, memory } = planScale(
      // What runs goes by the release, and the next change of the service by its settings: neither may stand against the number.
      boundsFor(settings, [service.config, live.config]),
      {
        ...load,
        replicas: service.replicas,
        healthy: healthy.length,
        idle_ms: now - entry.active_ms,
        now_ms: now,
      },
      entry.memory,
    )
    entry.memory = memory
    if (reason !== undefined)
      scale(service, replicas, replicas === 0 ? 'sendServiceToSleep' : 'autoscaleService', reason)
  }

  const run = async (signal: AbortSignal): Promise<void> => {
    const all = services.listAutoscaled()
    for (const id of watched.keys()) if (!all.some((each) => each.id === id)) watched.delete(id)
    meter.forgetOld(FORGET_MS)
    if (all.length === 0) return
    const active = await deps.activeUpstreams().catch(() => undefined)
    const live = new Map(deps.listLiveDeployments().map((each) => [each.service_id, each]))
    for (const service of all) {
      if (signal.aborted) return
      const release = live.get(service.id)
      if (!release || service.autoscale === null || deps.isDeploying(service.id)) continue
      await look(service, service.autoscale, release, active)
    }
  }

  return {
    worker: createWorker({
      name: 'autoscale',
      system,
      everyMs: LOOK_EVERY_MS,
      run,
      onError: deps.onError,
    }),

    wake: (serviceId) => {
      const service = services.find(serviceId)
      if (!service || service.autoscale === null || service.replicas > 0) return
      if (service.desired_state !== 'running' || service.live_deployment_id === null) return
      watched.delete(serviceId)
      const { min_replicas } = boundsFor(service.autoscale, [service.config])
      scale(service, Math.max(1, min_replicas), 'wakeService', 'a request came')
    },
  }
}
