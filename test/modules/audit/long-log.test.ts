import { test } from 'tap'
import { BERTH_ITSELF } from '../../../src/modules/identity/context.ts'
import { openIdentityApi } from '../../support/identity-api.ts'

test('a rare event is found in a long log, page by page, and all of it is exported', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  api.database.transact(() => {
    for (let n = 0; n < 12_000; n += 1) {
      api.audit.record(BERTH_ITSELF, { action: n % 4000 === 7 ? 'rare' : 'common', details: { n } })
    }
  })
  const first = await api.send(root, 'GET', '/v1/audit-events?action=rare&limit=2')
  t.same(
    first.list.map((event) => event['details']),
    [{ n: 8007 }, { n: 4007 }],
  )
  const next = /<([^>]+)>/.exec(String(first.headers['link']))?.[1] ?? ''
  const second = await api.send(root, 'GET', next)
  t.same(
    second.list.map((event) => event['details']),
    [{ n: 7 }],
  )
  t.notOk(second.headers['link'])
  t.same((await api.send(root, 'GET', '/v1/audit-events?action=never')).list, [])
  const exported = await api.send(root, 'GET', '/v1/audit-events/export?action=common')
  const trailer = JSON.parse(exported.text.trimEnd().split('\n').at(-1) ?? '') as Record<string, unknown>
  t.match(trailer, { count: 11_997, chain_ok: true })
})
