import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { Actor } from '../identity/actor.ts'
import { requirePermission } from '../identity/authorize.ts'
import type { Permission } from '../identity/permissions.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type { ServiceRow } from '../services/service-schema.ts'
import type { DeliveryRow, DeliveryView, WebhookRow, WebhookView } from './webhook-schema.ts'
import type { WebhookStore } from './webhook-store.ts'

export interface WebhookDeps {
  database: Database
  system: System
  store: WebhookStore
  secrets: Pick<Secrets, 'seal' | 'open'>
  recordAudit: RecordAudit
  findService: (id: string) => ServiceRow | undefined
  /** The URL of a path of this API for others; undefined when the node has no name of its own. */
  urlOfPath: (path: string) => string | undefined
  /** Called after a commit that left a delivery to be acted on. */
  deliveriesChanged: () => void
}

export type WebhookRecords = ReturnType<typeof createWebhookRecords>

/** What the verbs on webhooks share: loading for an actor, and the form of an answer. */
export function createWebhookRecords({ store, findService, urlOfPath }: WebhookDeps) {
  const requireService = (actor: Actor, permission: Permission, id: string): ServiceRow => {
    const service = findService(id)
    requirePermission(actor, permission, service?.project_id)
    if (!service) throw new AppError('NOT_FOUND')
    return service
  }

  return {
    requireService,

    /** A webhook of the service that the path names. */
    requireWebhook: (
      actor: Actor,
      permission: Permission,
      serviceId: string,
      id: string,
    ): { service: ServiceRow; webhook: WebhookRow } => {
      const service = requireService(actor, permission, serviceId)
      const webhook = store.find(id)
      if (!webhook || webhook.service_id !== serviceId) throw new AppError('NOT_FOUND')
      return { service, webhook }
    },

    view: (webhook: WebhookRow): WebhookView => {
      const { filter, secret_sealed: _, ...row } = webhook
      const path = `/v1/hooks/${row.id}`
      return {
        ...row,
        ...filter,
        path,
        url: urlOfPath(path) ?? null,
      }
    },
  }
}

/** The answer for one delivery. */
export function viewDelivery({ push, ...row }: DeliveryRow): DeliveryView {
  return {
    ...row,
    ref: push?.ref ?? null,
    commit: push?.commit ?? null,
    author: push?.author ?? null,
    message: push?.message?.split('\n', 1)[0] ?? null,
  }
}
