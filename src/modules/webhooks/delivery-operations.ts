import { createHash } from 'node:crypto'
import { AppError } from '../../lib/errors.ts'
import { hashInTurns } from '../../lib/hash-in-turns.ts'
import type { Page, PageRequest } from '../../lib/page.ts'
import type { Context } from '../identity/context.ts'
import { BERTH_ITSELF } from '../identity/context.ts'
import { createBodyPlaces } from './body-places.ts'
import { createPayloadReader } from './payload-reader.ts'
import { type Fields, isSigned, readSender } from './signature.ts'
import { viewDelivery, type WebhookDeps, type WebhookRecords } from './webhook-record.ts'
import type { DeliveryReceipt, DeliveryRow, DeliveryView, Push } from './webhook-schema.ts'

/** A request to the public route. */
export interface HookRequest {
  fields: Fields
  body: Buffer
  request_id: string
  client_address: string
}

const MOST_PENDING = 200
/** Compared against when there is no webhook, so that the answer takes as long. */
const NO_SECRET = 'whsec_there-is-none'

/** The verbs on what arrives. */
export function createDeliveryOperations(deps: WebhookDeps, records: WebhookRecords) {
  const { database, store, system } = deps
  const readPayload = createPayloadReader(system)
  const places = createBodyPlaces()

  const audit = (request: HookRequest, serviceId: string, row: DeliveryRow): void =>
    deps.recordAudit(
      {
        actor: { ...BERTH_ITSELF.actor, name: `webhook ${row.webhook_id}` },
        request_id: request.request_id,
        client_address: request.client_address,
      },
      {
        action: 'receiveWebhook',
        resource_kind: 'webhook_delivery',
        resource_id: row.id,
        ...projectOf(serviceId),
        details: { event: row.event, ref: row.push?.ref ?? null, outcome: row.outcome, reason: row.reason },
      },
    )
  const projectOf = (serviceId: string): { project_id?: string } => {
    const service = deps.findService(serviceId)
    return service === undefined ? {} : { project_id: service.project_id }
  }

  const requireRoom = (webhookId: string): void => {
    if (store.countPending(webhookId) < MOST_PENDING) return
    throw new AppError('BUSY', {
      message: 'Too many deliveries of this webhook wait.',
      retryAfterSeconds: 30,
    })
  }

  /** What a delivery is known by that its forge gives no name. */
  const keyOf = async (body: Buffer): Promise<string> =>
    `sha256:${(await hashInTurns(system, createHash('sha256'), body)).digest('hex')}`

  /** Stores a delivery unless it has arrived before. */
  const keep = (request: HookRequest, serviceId: string, row: DeliveryRow): DeliveryReceipt =>
    database.transact(() => {
      const known = store.findDeliveryByKey(row.webhook_id, row.delivery_key)
      if (known) return { id: known.id, outcome: known.outcome, reason: known.reason, duplicate: true }
      if (row.outcome === 'pending') requireRoom(row.webhook_id)
      store.insertDelivery(row)
      audit(request, serviceId, row)
      database.afterCommit(deps.deliveriesChanged)
      return { id: row.id, outcome: row.outcome, reason: row.reason, duplicate: false }
    })

  return {
    /**
     * Lets a body of so many bytes (infinite: not known) be received; the result says that it is over. Throws NOT_FOUND when nothing sent to this
     * id can be taken (the id alone, with 62 random bits, proves nothing), and BUSY.
     */
    admitBody: (id: string, bytes: number): (() => void) => {
      const webhook = store.find(id)
      if (!webhook || !deps.findService(webhook.service_id)) throw unknownWebhook()
      return places.take(id, bytes)
    },

    /**
     * Takes what a forge sends. The answer comes after it is stored; a crash from then on loses nothing. Throws NOT_FOUND alike for an id that
     * does not exist and for a signature that does not fit.
     */
    receiveWebhook: async (id: string, request: HookRequest): Promise<DeliveryReceipt> => {
      const webhook = store.find(id)
      const sender = readSender(request.fields)
      const { secret = NO_SECRET } = webhook ? await deps.secrets.open(webhook.secret_sealed) : {}
      const fits = await isSigned(system, sender?.provider ?? 'github', request.fields, request.body, secret)
      if (!webhook || !fits || !sender || !deps.findService(webhook.service_id)) throw unknownWebhook()
      const isForm = /^application\/x-www-form-urlencoded\b/i.test(
        String(request.fields['content-type'] ?? ''),
      )
      const payload = await readPayload(request.body, isForm)
      if (!payload) throw new AppError('BAD_JSON')
      const skipped = webhook.enabled ? reasonToSkip(sender.event, payload.push) : 'the webhook is disabled'
      const now = system.nowIso()
      return keep(request, webhook.service_id, {
        id: system.newId(),
        webhook_id: id,
        delivery_key: sender.delivery ?? (await keyOf(request.body)),
        provider: sender.provider,
        event: sender.event,
        push: payload.push,
        outcome: skipped === undefined ? 'pending' : 'skipped',
        reason: skipped ?? null,
        deployment_id: null,
        replays_id: null,
        tries: 0,
        received_at: now,
        finished_at: skipped === undefined ? null : now,
      })
    },

    /** What a webhook has received, newest first. */
    listWebhookDeliveries: (
      context: Context,
      serviceId: string,
      webhookId: string,
      page: PageRequest,
    ): Page<DeliveryView> => {
      records.requireWebhook(context.actor, 'services.read', serviceId, webhookId)
      const { items, ...rest } = store.listDeliveries(webhookId, page)
      return { ...rest, items: items.map(viewDelivery) }
    },

    /** Has a push that arrived acted on once more, by the filters of today. Throws CONFLICT for what was no push. */
    replayWebhookDelivery: (
      context: Context,
      serviceId: string,
      webhookId: string,
      id: string,
    ): DeliveryView =>
      database.transact(() => {
        const { service } = records.requireWebhook(context.actor, 'deployments.create', serviceId, webhookId)
        const original = store.findDelivery(webhookId, id)
        if (!original) throw new AppError('NOT_FOUND')
        if (original.push === null)
          throw new AppError('CONFLICT', { message: 'Only pushes can be replayed.' })
        requireRoom(webhookId)
        const newId = system.newId()
        const row: DeliveryRow = {
          ...original,
          id: newId,
          delivery_key: `replay:${newId}`,
          outcome: 'pending',
          reason: null,
          deployment_id: null,
          replays_id: original.replays_id ?? original.id,
          tries: 0,
          received_at: system.nowIso(),
          finished_at: null,
        }
        store.insertDelivery(row)
        deps.recordAudit(context, {
          action: 'replayWebhookDelivery',
          resource_kind: 'webhook_delivery',
          resource_id: newId,
          project_id: service.project_id,
          details: { replays: id, ref: original.push.ref },
        })
        database.afterCommit(deps.deliveriesChanged)
        return viewDelivery(row)
      }),
  }
}

function unknownWebhook(): AppError {
  return new AppError('NOT_FOUND', { message: 'There is no webhook with this id and this secret.' })
}

const PUSHES = /^(push|push hook|tag push hook|system hook)$/i

function reasonToSkip(event: string, push: Push | null): string | undefined {
  if (event === 'ping') return 'a ping: the webhook works'
  if (!PUSHES.test(event)) return `the event ${event} is no push`
  return push === null ? 'it says of no ref that it was pushed' : undefined
}
