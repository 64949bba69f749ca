import { test } from 'tap'
import { portHint } from '../../../src/modules/deployments/steps/port-hint.ts'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import { addService, deploy, openDelivery, OPERATOR, over, release, until } from '../../support/delivery.ts'

const HOST = 'web.shop.localhost'

test('an upload becomes a running, routed release, and every step is recorded', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const first = await deploy(world, daemon, service, { lines: ['compiled it'] })
  t.match(await over(daemon, first), {
    status: 'Healthy',
    step: null,
    reason: null,
    number: 1,
    replaces_id: null,
    image: `berth/shop/web:${first}`,
  })
  t.same(
    daemon.stores.deployments
      .listSteps([first])
      .map(({ step, status, attempts }) => [step, status, attempts]),
    ['fetch', 'build', 'publish', 'release_command', 'start', 'check', 'route', 'retire'].map((step) => [
      step,
      step === 'release_command' ? 'skipped' : 'done',
      1,
    ]),
  )
  t.same(world.running(), [containerName(first, 0)])
  t.same(world.ingress.upstreamsOf(HOST), [containerName(first, 0)])
  t.same(world.overs, [{ id: first, status: 'Healthy' }])
  const log = world.logText(first).replaceAll(/sha256:\w+|\d+ bytes/g, '…')
  t.same(log.split('\n'), [
    'Unpacked 1 entries, ….',
    'compiled it',
    `Built berth/shop/web:${first} (…).`,
    'Published shop/web@….',
    'Replica 0 started.',
    'Replica 0: GET /: 200 (good)',
    'Replica 0: GET /: 200 (good)',
    'All replicas are healthy.',
    'It is live.',
  ])

  const second = await release(world, daemon, service)
  t.match(daemon.stores.deployments.find(first), { status: 'Inactive' })
  t.match(daemon.stores.deployments.find(second), { status: 'Healthy', replaces_id: first })
  t.same(world.containers(), [containerName(second, 0)])
  t.same(world.ingress.upstreamsOf(HOST), [containerName(second, 0)])
  t.match(world.logText(second), /new requests go to it\.\nStopped 1 old replica\./)
  t.same(world.errors, [])
})

test('the state of a deployment follows its steps', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const states: string[] = []
  const note = (id: string): void => {
    const row = daemon.stores.deployments.find(id)
    const state = `${row?.status} ${row?.step}`
    if (states.at(-1) !== state) states.push(state)
  }
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const
  let isWell = false
  const id = await deploy(world, daemon, service, {
    unpacking: () => gates[0].promise,
    until: gates[1].promise,
    answer: (_, response) => response.writeHead(isWell ? 200 : 503).end(),
  })
  t.match(daemon.stores.deployments.find(id), { status: /Pending|Building/, step: 'fetch' })
  await until('it is fetched', () => daemon.stores.deployments.find(id)?.status === 'Building')
  note(id)
  gates[0].resolve()
  await until('it is built', () => daemon.stores.deployments.find(id)?.step === 'build')
  note(id)
  gates[1].resolve()
  await until('it is checked', () => world.logText(id).includes('503 (waiting)'))
  note(id)
  t.equal((await daemon.services.getService(OPERATOR, service)).status, 'Deploying')
  isWell = true
  await over(daemon, id)
  note(id)
  t.same(states, ['Building fetch', 'Building build', 'Starting check', 'Healthy null'])
})

test('a build that fails ends the deployment and leaves the old release alone', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const old = await release(world, daemon, service)
  const bad = await deploy(world, daemon, service, {
    lines: ['npm ERR! no'],
    fail: 'RUN npm ci failed with exit code 1.',
  })
  const row = await over(daemon, bad)
  t.match(row, { status: 'Failed', reason: 'RUN npm ci failed with exit code 1.', image: null })
  t.match(world.logText(bad), /npm ERR! no\nFailed: RUN npm ci failed/)
  t.same(
    daemon.stores.deployments.listSteps([bad]).map(({ step, status }) => `${step} ${status}`),
    ['fetch done', 'build failed', 'release_command skipped'],
  )
  t.same(world.containers(), [containerName(old, 0)])
  t.same(world.ingress.historyOf(HOST).at(-1), [containerName(old, 0)])
  t.match(daemon.stores.services.find(service), { live_deployment_id: old })
})

const BAD_STARTS: [title: string, source: Parameters<typeof release>[3], reason: RegExp, log: RegExp][] = [
  [
    'exits',
    {
      program: {
        lines: [
          { stream: 'stdout', line: 'starting' },
          { stream: 'stderr', line: 'no database' },
        ],
        exit: { code: 3 },
      },
    },
    /^Replica 0 exited with code 3 before it passed its health check\.$/,
    /Its last lines:\nstarting\nno database\nFailed: Replica 0 exited with code 3/,
  ],
  [
    'is killed for its memory',
    { program: { exit: { code: 137, oom_killed: true } } },
    /more memory than its limit/,
    /Its last lines:\n\(it wrote nothing\)/,
  ],
  [
    'cannot be started',
    { program: { refuse: 'exec: "nope": not found' } },
    /^Replica 0 could not start: exec: "nope"/,
    /nope/,
  ],
  [
    'never answers well',
    {
      program: { lines: [{ stream: 'stdout', line: 'warming up' }] },
      answer: (_, response) => void response.writeHead(503).end(),
    },
    /^Replica 0 did not pass its health check within 10 s \(GET \/: 503\)\.$/,
    /GET \/: 503 \(waiting\)\nReplica 0: GET \/: 503 \(waiting, \d+ more like it\)\n(?![^]*\(waiting\))[^]*Its last lines:\nwarming up/,
  ],
]

for (const [title, source, reason, log] of BAD_STARTS) {
  test(`a release that ${title} never gets a request, and its last lines are in the log`, async (t) => {
    const world = await openDelivery(t)
    const daemon = await world.start()
    const service = await addService(world, daemon)
    const old = await release(world, daemon, service)
    await daemon.services.updateService(OPERATOR, service, { health_check: { timeout_seconds: 10 } })
    const bad = await deploy(world, daemon, service, source)
    const row = await over(daemon, bad)
    t.equal(row.status, 'Failed')
    t.match(row.reason, reason)
    t.match(world.logText(bad), log)
    await until('its container is gone', () => world.containers().length === 1)
    t.same(world.running(), [containerName(old, 0)])
    t.same(world.ingress.historyOf(HOST), [[containerName(old, 0)]], 'the routes never changed')
    t.same(daemon.stores.replicas.listByDeployment(bad), [])
    t.same(world.errors, [])
  })
}

test('one bad replica of three ends the deployment at once', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { replicas: 3 })
  const bad = await deploy(world, daemon, service, {
    program: ({ labels }) => (labels['berth.replica'] === '1' ? { exit: { code: 9, after_ms: 500 } } : {}),
    answer: (_, response) => void response.writeHead(503).end(),
  })
  const row = await over(daemon, bad)
  t.match(await daemon.services.getService(OPERATOR, service), {
    status: 'New',
    status_reason: `Deployment 1 failed: ${row.reason}`,
  })
  t.equal(row.reason, 'Replica 1 exited with code 9 before it passed its health check.')
  await until('nothing is left', () => world.containers().length === 0)
})

test('good probes must follow each other', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { health_check: { successes: 2 } })
  const answers = [200, 503, 200, 200]
  const id = await release(world, daemon, service, {
    answer: (_, response) => void response.writeHead(answers.shift() ?? 200).end(),
  })
  const probes = world.logText(id).match(/GET \/: \d+/g)
  t.same(probes, ['GET /: 200', 'GET /: 503', 'GET /: 200', 'GET /: 200'])
})

test('a service that listens on nothing is healthy when it has stayed up, and has no route', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', {
    internal_port: null,
    health_check: { path: null, stays_up_seconds: 3, timeout_seconds: 1 },
  })
  const id = await release(world, daemon, service)
  t.match(world.logText(id), /running for 0\.\d s \(waiting\)[^]*running for [34]\.\d s \(good\)/)
  t.same(world.ingress.upstreamsOf(HOST), undefined)
  t.same(world.running(), [containerName(id, 0)])
})

test('a service that is scaled to nothing proves its release with one replica', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { replicas: 0 })
  const id = await release(world, daemon, service)
  t.match(world.logText(id), /All replicas are healthy/)
  await until('nothing runs', () => world.containers().length === 0)
})

test('scaling during a deployment neither fails nor is forgotten', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  let isWell = false
  const id = await deploy(world, daemon, service, {
    answer: (_, response) => void response.writeHead(isWell ? 200 : 503).end(),
  })
  await until('it is checked', () => world.logText(id).includes('(waiting)'))
  await daemon.services.scaleService(OPERATOR, service, 3)
  isWell = true
  t.match(await over(daemon, id), { status: 'Healthy' })
  await until('three get requests', () => world.ingress.upstreamsOf(HOST)?.length === 3)
})

test('the log says when the image exposes another port than the service has', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const other = await release(world, daemon, service, { exposed_ports: [3000] })
  t.match(world.logText(other), /the image exposes port 3000 but the service's internal_port is \d+/)
  const same = await release(world, daemon, service, { exposed_ports: [3000, world.port] })
  t.notMatch(world.logText(same), /exposes port/)
})

const HINTS: [lines: string[], exposed: number[], port: number | undefined][] = [
  [['> start', 'Listening on http://0.0.0.0:3000'], [], 3000],
  [['Server started on port 5000.'], [8000], 5000],
  [['ready in 130 ms', '  Local: http://localhost:5173/'], [], 5173],
  [['warming up'], [80], 80],
  [['listening on :8080, on 127.0.0.1 only'], [3000], undefined],
  [['took 12:30', 'nothing to say'], [], undefined],
  [[], [8080, 9090], undefined],
]

test('a replica that refuses connections is told of the port that it listens on, where that is known', async (t) => {
  for (const [lines, exposed, port] of HINTS) {
    const hint = portHint(8080, { lines, exposed })
    if (port === undefined) t.equal(hint, '', lines.join())
    else t.match(hint, `It seems to listen on port ${port}: let it listen on the number in PORT (8080)`)
  }
})
