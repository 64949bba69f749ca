import { latestStart } from '../../lib/not-before.ts'
import { type Page, type PageRequest, pageOf } from '../../lib/page.ts'
import type { Database, SqlParameters } from '../../store/database.ts'
import type { DeliveryRow, Outcome, WebhookRow } from './webhook-schema.ts'

type StoredWebhook = Omit<WebhookRow, 'enabled' | 'filter' | 'created_by'> & {
  enabled: number
  filter: string
  created_by: string
}
/** How long a delivery that met an error waits at most until it is tried again. */
export const LONGEST_PAUSE_MS = 5 * 60_000

type StoredDelivery = Omit<DeliveryRow, 'push'> & { push: string | null; next_try_at?: string | null }

export type WebhookStore = ReturnType<typeof createWebhookStore>

/** SQL of webhooks and their deliveries. */
export function createWebhookStore(database: Database) {
  const webhook = (sql: string, parameters: SqlParameters): WebhookRow | undefined => {
    const row = database.get<StoredWebhook>(sql, parameters)
    return row && readWebhook(row)
  }
  const delivery = (sql: string, parameters: SqlParameters): DeliveryRow | undefined => {
    const row = database.get<StoredDelivery>(sql, parameters)
    return row && readDelivery(row)
  }

  return {
    insert: (row: WebhookRow): void => {
      database.run(
        `INSERT INTO webhooks (id, service_id, name, enabled, filter, secret_sealed, created_by, created_at, updated_at)
         VALUES ($id, $service_id, $name, $enabled, $filter, $secret_sealed, $created_by, $created_at, $updated_at)`,
        {
          id: row.id,
          service_id: row.service_id,
          name: row.name,
          enabled: row.enabled ? 1 : 0,
          filter: JSON.stringify(row.filter),
          secret_sealed: row.secret_sealed,
          created_by: JSON.stringify(row.created_by),
          created_at: row.created_at,
          updated_at: row.updated_at,
        },
      )
    },

    /** Replaces what a caller may change and counts the revision up. */
    update: ({ id, name, enabled, filter, secret_sealed, updated_at }: WebhookRow): void => {
      database.run(
        `UPDATE webhooks SET name = $name, enabled = $enabled, filter = $filter, secret_sealed = $secret_sealed,
           updated_at = $updated_at, revision = revision + 1 WHERE id = $id`,
        { id, name, enabled: enabled ? 1 : 0, filter: JSON.stringify(filter), secret_sealed, updated_at },
      )
    },

    find: (id: string) => webhook('SELECT * FROM webhooks WHERE id = $id', { id }),

    count: (serviceId: string): number =>
      database.get<{ count: number }>(
        'SELECT count(*) AS count FROM webhooks WHERE service_id = $serviceId',
        {
          serviceId,
        },
      )?.count ?? 0,

    hasEnabled: (serviceId: string): boolean =>
      database.get('SELECT 1 FROM webhooks WHERE service_id = $serviceId AND enabled = 1 LIMIT 1', {
        serviceId,
      }) !== undefined,

    /** Webhooks of a service, newest first. */
    list: (serviceId: string, page: PageRequest): Page<WebhookRow> => {
      const rows = database.all<StoredWebhook>(
        `SELECT * FROM webhooks WHERE service_id = $serviceId AND ($after IS NULL OR id < $after) ORDER BY id DESC LIMIT $limit`,
        { serviceId, after: page.after ?? null, limit: page.limit + 1 },
      )
      return pageOf(rows.map(readWebhook), page.limit, (row) => row.id)
    },

    /** Removes a webhook with its deliveries. */
    remove: (id: string): void => {
      database.run('DELETE FROM webhooks WHERE id = $id', { id })
    },

    /** Adds a delivery; false when it has arrived before. */
    insertDelivery: (row: DeliveryRow): boolean =>
      database.run(
        `INSERT INTO webhook_deliveries (id, webhook_id, delivery_key, provider, event, push, outcome, reason, deployment_id,
           replays_id, tries, received_at, finished_at)
         VALUES ($id, $webhook_id, $delivery_key, $provider, $event, $push, $outcome, $reason, $deployment_id,
           $replays_id, $tries, $received_at, $finished_at)
         ON CONFLICT (webhook_id, delivery_key) DO NOTHING`,
        { ...row, push: row.push === null ? null : JSON.stringify(row.push) },
      ) === 1,

    findDelivery: (webhookId: string, id: string) =>
      delivery('SELECT * FROM webhook_deliveries WHERE webhook_id = $webhookId AND id = $id', {
        webhookId,
        id,
      }),

    findDeliveryByKey: (webhookId: string, key: string) =>
      delivery('SELECT * FROM webhook_deliveries WHERE webhook_id = $webhookId AND delivery_key = $key', {
        webhookId,
        key,
      }),

    countPending: (webhookId: string): number =>
      database.get<{ count: number }>(
        "SELECT count(*) AS count FROM webhook_deliveries WHERE outcome = 'pending' AND webhook_id = $webhookId",
        { webhookId },
      )?.count ?? 0,

    /** What is to be acted on: the oldest of each webhook, then the second of each, and so on; none has to wait for all of another. */
    listDue: (now: string, limit: number): DeliveryRow[] =>
      database
        .all<StoredDelivery>(
          `SELECT webhook_deliveries.* FROM webhook_deliveries JOIN (
             SELECT id, row_number() OVER (PARTITION BY webhook_id ORDER BY id) AS turn FROM webhook_deliveries
             WHERE outcome = 'pending' AND (next_try_at IS NULL OR next_try_at <= $now OR next_try_at > $latest) ORDER BY turn, id LIMIT $limit
           ) USING (id) ORDER BY turn, id`,
          { now, latest: latestStart(now, LONGEST_PAUSE_MS), limit },
        )
        .map(readDelivery),

    /** Lets a pending delivery wait after an error that may pass. */
    postpone: (id: string, nextTryAt: string): void => {
      database.run(
        "UPDATE webhook_deliveries SET tries = tries + 1, next_try_at = $nextTryAt WHERE id = $id AND outcome = 'pending'",
        { id, nextTryAt },
      )
    },

    /** Whether one of the newest pushes of the same ref that came after this one has been deployed. */
    isOvertaken: ({ id, webhook_id: webhookId, push }: DeliveryRow): boolean =>
      database.get(
        `SELECT 1 FROM (
           SELECT push FROM webhook_deliveries
           WHERE webhook_id = $webhookId AND id > $id AND outcome = 'deployed' ORDER BY id DESC LIMIT 20
         ) WHERE json_extract(push, '$.ref') = $ref`,
        { webhookId, id, ref: push?.ref ?? null },
      ) !== undefined,

    /** Deliveries of a webhook, newest first; without the paths of their pushes, which may be long. */
    listDeliveries: (webhookId: string, page: PageRequest): Page<DeliveryRow> => {
      const rows = database.all<StoredDelivery>(
        `SELECT id, webhook_id, delivery_key, provider, event, json_remove(push, '$.paths') AS push, outcome, reason, deployment_id,
           replays_id, tries, received_at, finished_at FROM webhook_deliveries
         WHERE webhook_id = $webhookId AND ($after IS NULL OR id < $after)
         ORDER BY id DESC LIMIT $limit`,
        { webhookId, after: page.after ?? null, limit: page.limit + 1 },
      )
      return pageOf(rows.map(readDelivery), page.limit, (row) => row.id)
    },

    /** Says what became of a pending delivery; false when that was said before. */
    finishDelivery: (
      id: string,
      end: {
        outcome: Exclude<Outcome, 'pending'>
        reason: string | null
        deployment_id: string | null
        now: string
      },
    ): boolean =>
      database.run(
        `UPDATE webhook_deliveries SET outcome = $outcome, reason = $reason, deployment_id = $deployment_id, finished_at = $now
         WHERE id = $id AND outcome = 'pending'`,
        { id, ...end },
      ) === 1,

    /** Removes what is over and either old or behind the newest `keep` of its webhook. */
    removeOldDeliveries: (keep: number, before: string): number =>
      database.run(
        `DELETE FROM webhook_deliveries WHERE outcome <> 'pending' AND (received_at < $before OR id IN (
           SELECT id FROM (
             SELECT id, row_number() OVER (PARTITION BY webhook_id ORDER BY id DESC) AS place FROM webhook_deliveries
           ) WHERE place > $keep
         ))`,
        { keep, before },
      ),
  }
}

function readWebhook(row: StoredWebhook): WebhookRow {
  return {
    ...row,
    enabled: row.enabled === 1,
    filter: JSON.parse(row.filter) as WebhookRow['filter'],
    created_by: JSON.parse(row.created_by) as WebhookRow['created_by'],
  }
}

function readDelivery(stored: StoredDelivery): DeliveryRow {
  const { next_try_at: _, push, ...row } = stored
  return { ...row, push: push === null ? null : (JSON.parse(push) as DeliveryRow['push']) }
}
