import { test } from 'tap'
import { type ReplicaWorld, planReplicas, wellAt } from '../../../src/modules/replicas/replica-plan.ts'
import { container, deployment, EARLIER, intent, LATER, NOW, row } from './replica-rows.ts'

const WATCHED = {
  ...deployment('live').config,
  health_check: { ...deployment('live').config.health_check, live_interval_seconds: 10 },
}
const EXITED = { phase: 'exited', address: null, exit_code: 1 } as const

/** Worlds, and what is to be done in them: kind, deployment, index. */
const TABLE: [title: string, world: Partial<ReplicaWorld>, actions: string[]][] = [
  ['nothing is wanted and nothing is there', { intents: [] }, []],
  ['a replica is well', { containers: [container('live')], rows: [row('live')] }, []],
  [
    'a replica is well and is to be watched',
    {
      intents: [intent({ live: deployment('live', { config: WATCHED }) })],
      containers: [container('live')],
      rows: [row('live')],
    },
    ['watch live-0'],
  ],
  [
    'a replica is well and listens on nothing',
    {
      intents: [intent({ live: deployment('live', { config: { ...WATCHED, internal_port: null } }) })],
      containers: [container('live')],
      rows: [row('live')],
    },
    [],
  ],
  ['a replica was never started', {}, ['run live-0']],
  ['a container was removed by hand', { rows: [row('live')] }, ['run live-0']],
  [
    'a container was made and not started',
    { containers: [container('live', 0, { phase: 'created', address: null })] },
    ['run live-0'],
  ],
  [
    'it could not start and its pause is not over',
    {
      containers: [container('live', 0, { phase: 'created', address: null })],
      rows: [row('live', 0, { status: 'Exited', next_start_at: LATER })],
    },
    [],
  ],
  [
    'two of three run',
    {
      intents: [intent({ replicas: 3 })],
      containers: [container('live', 0), container('live', 2)],
      rows: [row('live', 0), row('live', 2)],
    },
    ['run live-1'],
  ],
  [
    'a canary runs beside the live release, and is kept while that one is taken over',
    {
      intents: [
        intent({
          canary: { release: deployment('canary', { canary_percent: 30 }), replicas: 2 },
          mounts: 'data',
          open: [{ id: 'next', replaces_id: null, stop_first_at: EARLIER }],
        }),
      ],
      containers: [container('live'), container('canary', 0, EXITED)],
      rows: [row('live'), row('canary', 0)],
    },
    ['record_exit canary-0', 'run canary-1'],
  ],
  [
    'the service of a canary was stopped',
    {
      intents: [
        intent({
          desired_state: 'stopped',
          canary: { release: deployment('canary', { canary_percent: 30 }), replicas: 1 },
        }),
      ],
      containers: [container('live'), container('canary')],
      rows: [row('live'), row('canary')],
    },
    ['begin_drain live-0', 'begin_drain canary-0'],
  ],
  [
    'it has just exited',
    { containers: [container('live', 0, EXITED)], rows: [row('live')] },
    ['record_exit live-0'],
  ],
  [
    'it exited while nobody knew of it',
    { containers: [container('live', 0, EXITED)] },
    ['record_exit live-0'],
  ],
  [
    'its exit is recorded and its pause is not over',
    {
      containers: [container('live', 0, EXITED)],
      rows: [row('live', 0, { status: 'Exited', next_start_at: LATER })],
    },
    [],
  ],
  [
    'its pause was set by a clock that was a day ahead',
    {
      containers: [container('live', 0, EXITED)],
      rows: [row('live', 0, { status: 'CrashLoop', next_start_at: '2026-01-02T12:00:00.000Z' })],
    },
    ['run live-0'],
  ],
  [
    'it could not start, and its pause was set by a clock that was a day ahead',
    {
      containers: [container('live', 0, { phase: 'created', address: null })],
      rows: [row('live', 0, { status: 'Exited', next_start_at: '2026-01-02T12:00:00.000Z' })],
    },
    ['run live-0'],
  ],
  [
    'its pause is over',
    {
      containers: [container('live', 0, EXITED)],
      rows: [row('live', 0, { status: 'CrashLoop', next_start_at: NOW })],
    },
    ['run live-0'],
  ],
  [
    'it exited and is not to be started again',
    { containers: [container('live', 0, EXITED)], rows: [row('live', 0, { status: 'Exited' })] },
    [],
  ],
  ['it runs and was never probed', { containers: [container('live')] }, ['probe live-0']],
  [
    'it runs and is not well yet',
    { containers: [container('live')], rows: [row('live', 0, { status: 'Starting', address: null })] },
    ['probe live-0'],
  ],
  [
    'it has another address',
    { containers: [container('live', 0, { address: '10.0.0.9' })], rows: [row('live')] },
    ['probe live-0'],
  ],
  [
    'it was started anew since it was well',
    { containers: [container('live', 0, { started_at: LATER })], rows: [row('live')] },
    ['probe live-0'],
  ],
  [
    'it was draining and is wanted again',
    { containers: [container('live')], rows: [row('live', 0, { status: 'Draining' })] },
    ['probe live-0'],
  ],
  [
    'fewer replicas are wanted',
    {
      containers: [container('live', 0), container('live', 1)],
      rows: [row('live', 0), row('live', 1)],
    },
    ['begin_drain live-1'],
  ],
  [
    'the service is stopped and its replica drains',
    {
      intents: [intent({ desired_state: 'stopped' })],
      containers: [container('live')],
      rows: [row('live', 0, { status: 'Draining' })],
    },
    ['end_drain live-0'],
  ],
  [
    'the service is stopped and its replica was never well',
    {
      intents: [intent({ desired_state: 'stopped' })],
      containers: [container('live')],
      rows: [row('live', 0, { status: 'Unhealthy', address: null })],
    },
    ['remove live-0'],
  ],
  [
    'the service is stopped and its replica has exited',
    {
      intents: [intent({ desired_state: 'stopped' })],
      containers: [container('live', 0, EXITED)],
      rows: [row('live', 0, { status: 'CrashLoop', next_start_at: LATER })],
    },
    ['remove live-0'],
  ],
  [
    'the service is deleted',
    {
      intents: [intent({ desired_state: 'deleting' })],
      containers: [container('live')],
      rows: [row('live')],
    },
    ['begin_drain live-0'],
  ],
  [
    'nobody knows whose container it is',
    { intents: [], containers: [container('stray')] },
    ['remove stray-0'],
  ],
  ['a container is gone and nobody misses it', { intents: [], rows: [row('old')] }, ['forget old-0']],
  [
    'a deployment is under way beside the live release',
    {
      intents: [intent({ open: [{ id: 'next', replaces_id: null, stop_first_at: null }] })],
      containers: [container('live'), container('next')],
      rows: [row('live'), row('next', 0, { status: 'Starting' })],
    },
    [],
  ],
  [
    'the live release loses its container while a deployment is under way',
    {
      intents: [intent({ open: [{ id: 'next', replaces_id: null, stop_first_at: null }] })],
      containers: [container('next')],
      rows: [],
    },
    ['run live-0'],
  ],
  [
    'a deployment is live and still retires what it replaced',
    {
      intents: [intent({ open: [{ id: 'live', replaces_id: 'old', stop_first_at: null }] })],
      containers: [container('live'), container('old')],
      rows: [row('live'), row('old', 0, { status: 'Draining' })],
    },
    [],
  ],
  [
    'a deployment that is still retiring loses its own container',
    {
      intents: [intent({ open: [{ id: 'live', replaces_id: 'old', stop_first_at: null }] })],
      containers: [container('old')],
      rows: [row('live'), row('old', 0, { status: 'Draining' })],
    },
    ['run live-0'],
  ],
  [
    'a deployment failed and left replicas',
    {
      containers: [container('live'), container('failed', 0), container('failed', 1)],
      rows: [row('live'), row('failed', 0), row('failed', 1, { status: 'Starting', address: null })],
    },
    ['begin_drain failed-0', 'remove failed-1'],
  ],
  [
    'the first deployment is under way',
    {
      intents: [intent({ live: null, open: [{ id: 'next', replaces_id: null, stop_first_at: null }] })],
      containers: [container('next')],
    },
    [],
  ],
  [
    'nothing of it is wanted but replicas of another service are',
    {
      intents: [
        intent({ replicas: 0 }),
        intent({ service_id: 'other', live: deployment('other'), desired_state: 'running' }),
      ],
      containers: [container('live'), container('other')],
      rows: [row('live'), row('other')],
    },
    ['begin_drain live-0'],
  ],
]

for (const [title, world, actions] of TABLE) {
  test(`replicas: ${title}`, async (t) => {
    const plan = planReplicas({ intents: [intent()], containers: [], rows: [], now: NOW, ...world })
    t.same(
      plan.map(({ kind, name }) => `${kind} ${name.replace('berth-', '')}`),
      actions,
    )
  })
}

test('a replica was well no earlier than it started, also after the clock was set back', async (t) => {
  t.equal(wellAt({ started_at: EARLIER }, NOW), NOW)
  t.equal(wellAt({ started_at: LATER }, NOW), LATER)
  t.equal(wellAt({ started_at: null }, NOW), NOW)
  const started_at = '2026-01-01T12:00:00.000123456Z'
  const known = row('live', 0, { updated_at: wellAt({ started_at }, NOW) })
  const world = {
    intents: [intent()],
    containers: [container('live', 0, { started_at })],
    rows: [known],
    now: NOW,
  }
  t.same(planReplicas(world), [])
})
