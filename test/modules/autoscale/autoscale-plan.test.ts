import { test } from 'tap'
import {
  boundsFor,
  planScale,
  type ScaleLook,
  type ScaleMemory,
} from '../../../src/modules/autoscale/autoscale-plan.ts'
import type { Autoscale } from '../../../src/modules/services/autoscale-schema.ts'

const SETTINGS: Autoscale = {
  min_replicas: 1,
  max_replicas: 10,
  target_cpu_pct: 50,
  target_mem_pct: null,
  scale_down_cooldown_s: 60,
  idle_timeout_s: 600,
}
const SLEEPER = { min_replicas: 0 }
const LOOK: ScaleLook = { replicas: 4, healthy: 4, cpu_pct: 50, mem_pct: 10, idle_ms: 0, now_ms: 1_000_000 }
const since = (ms: number, most: number): ScaleMemory => ({ below: { since_ms: ms, most } })

const TABLE: [
  title: string,
  settings: Partial<Autoscale>,
  look: Partial<ScaleLook>,
  memory: ScaleMemory,
  replicas: number,
  remembered?: ScaleMemory,
][] = [
  ['the load is as it should be', {}, {}, {}, 4],
  ['the load is a little off', {}, { cpu_pct: 54 }, {}, 4],
  ['the load is too high', {}, { cpu_pct: 75 }, {}, 6],
  ['the load is far too high', {}, { cpu_pct: 400 }, {}, 10],
  ['nothing is known of the load', {}, { cpu_pct: null, mem_pct: null }, {}, 4],
  ['memory does not count', {}, { mem_pct: 99 }, {}, 4],
  ['memory counts and needs more', { target_mem_pct: 40 }, { mem_pct: 80 }, {}, 8],
  ['the processor needs more than memory', { target_mem_pct: 40 }, { mem_pct: 60, cpu_pct: 100 }, {}, 8],
  ['more are coming up already', {}, { cpu_pct: 100, healthy: 3 }, since(1, 2), 4, since(1, 2)],
  ['less would do', {}, { cpu_pct: 20 }, {}, 4, since(1_000_000, 2)],
  ['less would have done for some time', {}, { cpu_pct: 20 }, since(960_000, 3), 4, since(960_000, 3)],
  ['less would have done for long enough', {}, { cpu_pct: 20 }, since(940_000, 3), 3],
  ['less would do no longer', {}, { cpu_pct: 50 }, since(940_000, 3), 4],
  ['nothing happens', {}, { cpu_pct: 0 }, since(940_000, 1), 1],
  ['more are wanted than may be', { max_replicas: 3 }, {}, {}, 3],
  ['fewer are wanted than must be', { min_replicas: 6 }, {}, {}, 6],
  ['none are wanted of one that does not sleep', {}, { replicas: 0, healthy: 0 }, {}, 1],
  ['it was idle for long enough', SLEEPER, { idle_ms: 600_000 }, {}, 0],
  ['it was idle for long enough and is still coming up', SLEEPER, { healthy: 0, idle_ms: 600_000 }, {}, 0],
  ['it was idle for nearly long enough', SLEEPER, { idle_ms: 599_999 }, {}, 4],
  ['it was idle and may not sleep', {}, { idle_ms: 900_000 }, {}, 4],
  ['it sleeps', SLEEPER, { replicas: 0, healthy: 0, idle_ms: 900_000 }, {}, 0],
  ['one that may sleep is not put to sleep by its load', SLEEPER, { cpu_pct: 0 }, since(1, 1), 1],
]

for (const [title, settings, look, memory, replicas, remembered = {}] of TABLE) {
  test(`autoscale: ${title}`, async (t) => {
    const decision = planScale({ ...SETTINGS, ...settings }, { ...LOOK, ...look }, memory)
    t.equal(decision.replicas, replicas)
    t.same(decision.memory, remembered)
    t.equal(decision.reason !== undefined, replicas !== (look.replicas ?? LOOK.replicas))
  })
}

test('autoscale: whichever configuration writes into a volume bounds it to one', async (t) => {
  const writes = { volumes: [{ name: 'data', mount_path: '/data', read_only: false }] }
  const reads = { volumes: [{ name: 'data', mount_path: '/data', read_only: true }] }
  for (const [configs, min, max] of [
    [[reads, reads], 3, 10],
    [[writes, reads], 1, 1],
    [[reads, writes], 1, 1],
  ] as const)
    t.match(boundsFor({ ...SETTINGS, min_replicas: 3 }, configs), { min_replicas: min, max_replicas: max })
  t.match(boundsFor({ ...SETTINGS, ...SLEEPER }, [writes]), { min_replicas: 0, max_replicas: 1 })
})
