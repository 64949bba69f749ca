import { afterThisTurn } from '../../lib/after-this-turn.ts'
import { isAppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { ServiceRow } from '../services/service-schema.ts'
import { judgePush } from './push-verdict.ts'
import type { DeliveryRow } from './webhook-schema.ts'
import { LONGEST_PAUSE_MS, type WebhookStore } from './webhook-store.ts'

export interface DeliveryWorkerDeps {
  system: System
  store: WebhookStore
  findService: (id: string) => ServiceRow | undefined
  /** Asks for a deployment of a commit; answers its id. */
  deploy: (
    service: ServiceRow,
    push: { ref: string; commit: string },
    delivery: DeliveryRow,
  ) => Promise<string>
  /** The deployment that was asked for because of this delivery. */
  findDeployment: (serviceId: string, deliveryId: string) => string | undefined
}

const BATCH = 10
/** How many deliveries of each webhook are kept, and for how long. */
const KEEP = 200
const KEEP_MS = 30 * 86_400_000
/** How long something that is not the push's own fault is tried again. */
const PATIENCE_MS = 3600_000
/** The pause before the second try; it doubles from one to the next. */
const FIRST_PAUSE_MS = 10_000

/**
 * The body of a worker: acts on what has arrived, the webhooks in turn. Each delivery is looked for among the deployments first, so that a crash
 * between asking for one and writing that down leads to no second one. One that meets an error waits, those behind it do not.
 */
export async function actOnDeliveries(deps: DeliveryWorkerDeps, signal: AbortSignal): Promise<void> {
  const { store, system } = deps
  const errors: unknown[] = []
  for (;;) {
    const due = store.listDue(system.nowIso(), BATCH)
    if (due.length === 0) break
    for (const delivery of due) {
      if (signal.aborted) return
      try {
        await actOn(deps, delivery)
      } catch (error) {
        errors.push(error)
        const pause = Math.min(FIRST_PAUSE_MS * 2 ** delivery.tries, LONGEST_PAUSE_MS)
        store.postpone(delivery.id, new Date(system.now() + pause).toISOString())
      }
    }
    // Those that are skipped wait for nothing: a long row of them would hold up the loop.
    await new Promise<void>(afterThisTurn)
  }
  if (errors.length > 0) throw errors[0]
}

/** The body of a worker: forgets what arrived long ago. */
export async function removeOldDeliveries({
  store,
  system,
}: Pick<DeliveryWorkerDeps, 'store' | 'system'>): Promise<void> {
  store.removeOldDeliveries(KEEP, new Date(system.now() - KEEP_MS).toISOString())
}

async function actOn(deps: DeliveryWorkerDeps, delivery: DeliveryRow): Promise<void> {
  const { store, system } = deps
  const finish = (
    outcome: 'deployed' | 'skipped' | 'failed',
    reason: string | null,
    deployment_id: string | null = null,
  ): void => void store.finishDelivery(delivery.id, { outcome, reason, deployment_id, now: system.nowIso() })
  try {
    const webhook = store.find(delivery.webhook_id)
    const service = webhook && deps.findService(webhook.service_id)
    if (!webhook || !service || !delivery.push) return finish('skipped', 'the service is being deleted')
    const earlier = deps.findDeployment(service.id, delivery.id)
    if (earlier !== undefined) return finish('deployed', null, earlier)
    if (delivery.tries > 0 && store.isOvertaken(delivery))
      return finish('skipped', 'a later push to the same ref was deployed meanwhile')
    const verdict = judgePush(delivery.push, webhook.filter, service)
    if (!verdict.deploy) return finish('skipped', verdict.reason)
    const push = { ref: delivery.push.ref, commit: verdict.commit }
    finish('deployed', null, await deps.deploy(service, push, delivery))
  } catch (error) {
    const isLate = system.now() - Date.parse(delivery.received_at) > PATIENCE_MS
    // What a person would be told is the end of it; anything else may pass.
    if (!isLate && !(isAppError(error) && error.status < 500)) throw error
    finish('failed', reasonOf(error))
  }
}

function reasonOf(error: unknown): string {
  if (!isAppError(error)) return 'an internal error; see the log of the daemon'
  const details = (error.details ?? []).map(({ field, message }) =>
    field === undefined ? message : `${field} ${message}`,
  )
  return [error.message, ...details].join(' ').slice(0, 1000)
}
