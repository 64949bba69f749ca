import { AppError, type ErrorDetail } from '../../lib/errors.ts'
import type { Page, PageRequest } from '../../lib/page.ts'
import { requireUnchanged } from '../../lib/revision.ts'
import { recordActor } from '../identity/actor.ts'
import { requirePermission } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import type { ServiceRow } from '../services/service-schema.ts'
import { createDeliveryOperations } from './delivery-operations.ts'
import { createWebhookRecords, type WebhookDeps } from './webhook-record.ts'
import {
  DEFAULT_FILTER,
  type PushFilter,
  type WebhookCreate,
  type WebhookPatch,
  type WebhookRow,
  type WebhookView,
  type WebhookWithSecret,
} from './webhook-schema.ts'

export type WebhookOperations = ReturnType<typeof createWebhookOperations>

const MOST = 20
const SECRET_BYTES = 32

/** The verbs on webhooks and their deliveries. */
export function createWebhookOperations(deps: WebhookDeps) {
  const { database, store, system, secrets } = deps
  const records = createWebhookRecords(deps)

  // In the form that GitLab asks of a signing token; to the others any text is a secret.
  const makeSecret = (): string => `whsec_${system.randomBytes(SECRET_BYTES).toString('base64')}`

  const audit = (context: Context, action: string, projectId: string, webhook: WebhookRow): void =>
    deps.recordAudit(context, {
      action,
      resource_kind: 'webhook',
      resource_id: webhook.id,
      project_id: projectId,
      details: { service_id: webhook.service_id, name: webhook.name, enabled: webhook.enabled },
    })

  /** A webhook deploys without asking anybody: who has it do so must have the right to. */
  const requireArranging = (context: Context, serviceId: string): ServiceRow => {
    const service = records.requireService(context.actor, 'services.write', serviceId)
    requirePermission(context.actor, 'deployments.create', service.project_id)
    return service
  }

  /** Changes a webhook in one transaction with its audit event. */
  const change = (
    context: Context,
    serviceId: string,
    id: string,
    action: string,
    changed: (webhook: WebhookRow) => WebhookRow,
  ): WebhookView =>
    database.transact(() => {
      const { service, webhook } = records.requireWebhook(context.actor, 'services.write', serviceId, id)
      requireUnchanged(context, webhook)
      const row = changed(webhook)
      if (row.enabled) requireArranging(context, serviceId)
      store.update({ ...row, updated_at: system.nowIso() })
      audit(context, action, service.project_id, webhook)
      return records.view(records.requireWebhook(context.actor, 'services.write', serviceId, id).webhook)
    })

  return {
    ...createDeliveryOperations(deps, records),

    /** Adds a webhook. Its secret is answered this once. Throws CONFLICT when the service has too many. */
    createWebhook: async (
      context: Context,
      serviceId: string,
      input: WebhookCreate,
    ): Promise<WebhookWithSecret> => {
      requireArranging(context, serviceId)
      const filter = readFilter(DEFAULT_FILTER, input)
      const secret = input.secret ?? makeSecret()
      const secret_sealed = await secrets.seal({ secret })
      const now = system.nowIso()
      const row: WebhookRow = {
        id: system.newId(),
        service_id: serviceId,
        name: input.name ?? 'webhook',
        enabled: input.enabled ?? true,
        filter,
        secret_sealed,
        created_by: recordActor(context.actor),
        revision: 1,
        created_at: now,
        updated_at: now,
      }
      database.transact(() => {
        const service = requireArranging(context, serviceId)
        if (store.count(serviceId) >= MOST)
          throw new AppError('CONFLICT', { message: `A service has at most ${MOST} webhooks.` })
        store.insert(row)
        audit(context, 'createWebhook', service.project_id, row)
      })
      return { ...records.view(row), secret }
    },

    /** The webhooks of a service, newest first. */
    listWebhooks: (context: Context, serviceId: string, page: PageRequest): Page<WebhookView> => {
      records.requireService(context.actor, 'services.read', serviceId)
      const { items, ...rest } = store.list(serviceId, page)
      return { ...rest, items: items.map(records.view) }
    },

    /** One webhook, without its secret. */
    getWebhook: (context: Context, serviceId: string, id: string): WebhookView =>
      records.view(records.requireWebhook(context.actor, 'services.read', serviceId, id).webhook),

    /** Changes the settings that are sent. Throws PRECONDITION_FAILED. */
    updateWebhook: (context: Context, serviceId: string, id: string, input: WebhookPatch): WebhookView =>
      change(context, serviceId, id, 'updateWebhook', (webhook) => ({
        ...webhook,
        name: input.name ?? webhook.name,
        enabled: input.enabled ?? webhook.enabled,
        filter: readFilter(webhook.filter, input),
      })),

    /** Replaces the secret: the old one is worth nothing from the answer on. The new one is answered this once. */
    rotateWebhookSecret: async (
      context: Context,
      serviceId: string,
      id: string,
      given: string | undefined,
    ): Promise<WebhookWithSecret> => {
      requireArranging(context, serviceId)
      records.requireWebhook(context.actor, 'services.write', serviceId, id)
      const secret = given ?? makeSecret()
      const secret_sealed = await secrets.seal({ secret })
      const view = change(context, serviceId, id, 'rotateWebhookSecret', (webhook) => ({
        ...webhook,
        secret_sealed,
      }))
      return { ...view, secret }
    },

    /** Removes a webhook with what it received; what it had deployed stays. Throws PRECONDITION_FAILED. */
    deleteWebhook: (context: Context, serviceId: string, id: string): void =>
      database.transact(() => {
        const { service, webhook } = records.requireWebhook(context.actor, 'services.write', serviceId, id)
        requireUnchanged(context, webhook)
        store.remove(id)
        audit(context, 'deleteWebhook', service.project_id, webhook)
      }),
  }
}

function readFilter(base: PushFilter, sent: WebhookPatch): PushFilter {
  const problems: ErrorDetail[] = []
  for (const field of ['branches', 'tags'] as const) {
    for (const [index, pattern] of (sent[field] ?? []).entries()) {
      if (pattern.startsWith('refs/'))
        problems.push({
          field: `${field}.${index}`,
          message: 'is the name alone, without refs/heads/ or refs/tags/',
        })
    }
  }
  if (problems.length > 0) throw new AppError('VALIDATION_ERROR', { details: problems })
  return {
    branches: sent.branches === undefined ? base.branches : sent.branches,
    tags: sent.tags ?? base.tags,
    paths: sent.paths ?? base.paths,
    skip_markers: sent.skip_markers ?? base.skip_markers,
  }
}
