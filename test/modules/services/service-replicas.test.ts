import { test } from 'tap'
import type { Autoscale } from '../../../src/modules/services/autoscale-schema.ts'
import { openServiceApi } from './service-api.ts'

const bounds = (min_replicas: number, max_replicas: number): Autoscale => ({
  min_replicas,
  max_replicas,
  target_cpu_pct: 70,
  target_mem_pct: null,
  scale_down_cooldown_s: 300,
  idle_timeout_s: 900,
})
const WRITTEN = [{ name: 'data', mount_path: '/data', read_only: false }]
const SOURCE = { source: { type: 'upload' } }

interface Present {
  replicas: number
  autoscale?: Autoscale
  written?: boolean
}

/** What a service has, a change that says no number unless it does, and how many replicas it wants then; undefined: the change is refused. */
const TABLE: [title: string, present: Present, method: 'PUT' | 'PATCH', sent: object, wanted?: number][] = [
  ['Berth chose it', { replicas: 5, autoscale: bounds(1, 6) }, 'PUT', { autoscale: bounds(1, 6) }, 5],
  ['new bounds hold', { replicas: 5, autoscale: bounds(1, 6) }, 'PUT', { autoscale: bounds(1, 3) }, 3],
  ['it sleeps on', { replicas: 0, autoscale: bounds(0, 2) }, 'PUT', { autoscale: bounds(0, 2) }, 0],
  ['Berth begins to choose', { replicas: 4 }, 'PUT', { autoscale: bounds(1, 6) }, 4],
  ['nobody chooses any more', { replicas: 5, autoscale: bounds(1, 6) }, 'PUT', {}, 1],
  [
    'it is said',
    { replicas: 5, autoscale: bounds(1, 6) },
    'PUT',
    { autoscale: bounds(1, 6), replicas: 2 },
    2,
  ],
  ['a sleeper loses its bounds', { replicas: 0, autoscale: bounds(0, 2) }, 'PATCH', { autoscale: null }, 1],
  [
    'a sleeper loses its bounds and is to have none',
    { replicas: 0, autoscale: bounds(0, 2) },
    'PATCH',
    { autoscale: null, replicas: 0 },
    0,
  ],
  [
    'a sleeper may no longer sleep',
    { replicas: 0, autoscale: bounds(0, 4) },
    'PATCH',
    { autoscale: bounds(2, 4) },
    2,
  ],
  ['a sleeper is renamed', { replicas: 0, autoscale: bounds(0, 4) }, 'PATCH', { name: 'other' }, 0],
  [
    'it loses its bounds while it runs',
    { replicas: 3, autoscale: bounds(0, 6) },
    'PATCH',
    { autoscale: null },
    3,
  ],
  ['someone wanted none', { replicas: 0 }, 'PATCH', { stop_grace_seconds: 5 }, 0],
  [
    'several of one that writes',
    { replicas: 2, autoscale: bounds(1, 4), written: true },
    'PATCH',
    { stop_grace_seconds: 5 },
    1,
  ],
  [
    'several of one that writes, without bounds',
    { replicas: 2, written: true },
    'PATCH',
    { stop_grace_seconds: 5 },
    1,
  ],
  [
    'several of one that writes lose their bounds',
    { replicas: 2, autoscale: bounds(2, 4), written: true },
    'PATCH',
    { autoscale: null },
    1,
  ],
  ['several are to write by bounds', { replicas: 1, autoscale: bounds(1, 4) }, 'PATCH', { volumes: WRITTEN }],
  ['a number that someone said is not changed by volumes', { replicas: 2 }, 'PATCH', { volumes: WRITTEN }],
]

test('a change that says no number of replicas keeps the one that there is, as far as it may', async (t) => {
  const api = await openServiceApi(t)
  for (const [index, [title, present, method, sent, wanted]] of TABLE.entries()) {
    const name = `s${index}`
    const created = await api.root('POST', '/v1/services', { name, ...SOURCE })
    const id = String(created.body['id'])
    const row = api.store.find(id)
    if (!row) throw new Error(`${title}: it is not there`)
    const volumes = present.written ? WRITTEN : []
    // Written as a daemon before this one, or the autoscaler, may have left it.
    api.store.update({
      ...row,
      replicas: present.replicas,
      autoscale: present.autoscale ?? null,
      config: { ...row.config, volumes },
    })
    const body = method === 'PUT' ? { name, ...SOURCE, ...sent } : sent
    const answer = await api.root(method, `/v1/services/${id}`, body)
    t.equal(answer.status, wanted === undefined ? 400 : 200, `${title}: ${answer.text}`)
    t.equal(api.store.find(id)?.replicas, wanted ?? present.replicas, title)
  }
})

test('a new service begins within its bounds', async (t) => {
  const api = await openServiceApi(t)
  for (const [autoscale, replicas] of [
    [bounds(0, 3), 1],
    [bounds(2, 3), 2],
  ] as const)
    t.match(await api.root('POST', '/v1/services', { name: `from-${replicas}`, autoscale }), {
      status: 201,
      body: { replicas },
    })
})
