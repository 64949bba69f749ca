import { test } from 'tap'
import type { CertificateRow } from '../../../src/modules/certificates/certificate-schema.ts'
import { createOrderHolds } from '../../../src/modules/certificates/order-holds.ts'
import { createSystem } from '../../../src/lib/system.ts'

test('an order that is made while all are held says that the authority wants none before', async (t) => {
  const system = { ...createSystem(), nowIso: () => '2026-06-01T00:00:00.000Z' }
  const rows = [{ id: 'a', source: 'acme', stage: 'production', next_attempt_at: '2026-06-01T01:00:00.000Z' }]
  const changed: unknown[] = []
  const holds = createOrderHolds({
    system,
    store: {
      listAll: () => rows as CertificateRow[],
      change: (id, change) => {
        changed.push([id, change])
        return true
      },
    },
  })
  const now = '2026-06-01T00:00:00.000Z'
  t.same(holds.soonest('production'), { next_attempt_at: now, retry_after: null })
  const until = '2026-06-04T00:00:00.000Z'
  const last = { last_error: 'slow down', last_error_at: now }
  holds.begin('production', until, last)
  t.same(changed, [['a', { ...last, next_attempt_at: until, retry_after: until }]])
  t.same(holds.soonest('production'), { next_attempt_at: until, retry_after: until })
  t.same(holds.soonest('staging'), { next_attempt_at: now, retry_after: null }, 'the other stage is free')
})
