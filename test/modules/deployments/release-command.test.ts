import { test } from 'tap'
import { containerName, releaseCommandName } from '../../../src/modules/replicas/container-spec.ts'
import { LABELS } from '../../../src/runtime/labels.ts'
import type { FakeProgram } from '../../../src/runtime/fake-engine.ts'
import {
  addService,
  ask,
  type Delivery,
  type DeliveryDaemon,
  deploy,
  openDelivery,
  OPERATOR,
  over,
  release,
  type Source,
  until,
} from '../../support/delivery.ts'

/** An application whose release command does this. */
function migrating(command: FakeProgram): Source {
  return { program: ({ labels }) => (labels[LABELS.kind] === 'release_command' ? command : {}) }
}

const isRunning = (world: Delivery, id: string): boolean =>
  world.controls.container(releaseCommandName(id))?.phase === 'running'

const addMigrating = (world: Delivery, daemon: DeliveryDaemon): Promise<string> =>
  addService(world, daemon, 'web', {
    release_command: ['migrate', '--all'],
    release_timeout_seconds: 900,
    env: { MODE: 'test' },
    read_only: true,
  })

test('a release command runs once, before anything is started, as the release will run', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addMigrating(world, daemon)
  const seen: unknown[] = []
  world.controls.before('startContainer', (name) => {
    const spec = world.controls.container(String(name))?.spec
    seen.push([spec?.command, spec?.env['MODE'], spec?.aliases, spec?.read_only, spec?.memory_bytes])
  })
  const lines = [
    { stream: 'stdout', line: 'moving tables' },
    { stream: 'stderr', line: 'moved' },
  ] as const
  const id = await release(world, daemon, service, migrating({ lines: [...lines], exit: { code: 0 } }))
  t.same(seen, [
    [['migrate', '--all'], 'test', [], true, 512],
    [undefined, 'test', ['web'], true, 512],
  ])
  const logged = world.log(id).filter(({ step }) => step === 'release_command')
  t.match(logged, [...lines, { stream: 'status', line: 'The release command succeeded.' }])
  await until('its container is gone', () => world.containers().join() === containerName(id, 0))

  const again = await ask(daemon, service, { type: 'redeploy' })
  await over(daemon, again)
  t.equal(seen.length, 4, 'a redeployment runs it: its variables may be others')
  await over(daemon, await ask(daemon, service, { type: 'rollback', deployment_id: id }))
  t.equal(seen.length, 5, 'a rollback does not')
  const [newest] = daemon.stores.deployments.listByService(service, null, 1)
  const steps = daemon.stores.deployments.listSteps([newest?.id ?? ''])
  t.match(
    steps.find(({ step }) => step === 'release_command'),
    { status: 'skipped' },
  )
})

test('a release command that fails ends the deployment, and the old release serves on', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addMigrating(world, daemon)
  const old = await release(world, daemon, service, migrating({ exit: { code: 0 } }))
  const lines: FakeProgram['lines'] = [{ stream: 'stderr', line: 'no such table' }]
  const id = await deploy(world, daemon, service, migrating({ lines, exit: { code: 3 } }))
  t.match(await over(daemon, id), { status: 'Failed', reason: 'The release command exited with code 3.' })
  t.match(world.logText(id), /no such table/)
  t.same(world.containers(), [containerName(old, 0)])
  const refused = await deploy(world, daemon, service, migrating({ refuse: 'no such program' }))
  t.match(await over(daemon, refused), {
    status: 'Failed',
    reason: 'The release command could not start: no such program',
  })
  t.same(world.containers(), [containerName(old, 0)])
})

test('a release command is killed when it is cancelled, and when its time is up', async (t) => {
  const world = await openDelivery(t, { speed: 200 })
  const daemon = await world.start()
  const service = await addMigrating(world, daemon)
  const cancelled = await deploy(world, daemon, service, migrating({}))
  await until('it runs', () => isRunning(world, cancelled))
  daemon.deployments.cancelDeployment(OPERATOR, cancelled)
  t.match(await over(daemon, cancelled), { status: 'Cancelled', reason: 'Cancelled by olive.' })
  t.same(world.containers(), [])
  const slow = await deploy(world, daemon, service, migrating({}))
  t.match(await over(daemon, slow), {
    status: 'Failed',
    reason: 'The release_command step took longer than 900 s.',
  })
  t.same(world.containers(), [])
})

test('a release command goes on while the daemon restarts, and is not run again', async (t) => {
  const world = await openDelivery(t)
  const first = await world.start()
  const service = await addMigrating(world, first)
  let starts = 0
  world.controls.before('startContainer', (name) => {
    if (String(name).endsWith('-release')) starts += 1
  })
  const id = await deploy(world, first, service, migrating({ lines: [{ stream: 'stdout', line: 'one' }] }))
  await until('it runs', () => isRunning(world, id))
  await first.stop()
  t.ok(isRunning(world, id), 'an orderly stop leaves it running')
  const second = await world.start()
  await until('it is found', () => world.logText(id).includes('begun already'))
  world.controls.exit(releaseCommandName(id), 0)
  t.match(await over(second, id), { status: 'Healthy' })
  t.equal(starts, 1)
  await until('its container is gone', () => world.containers().join() === containerName(id, 0))
})

test('a release command that ended while the engine was away counts as it ended', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addMigrating(world, daemon)
  let starts = 0
  world.controls.before('startContainer', (name) => {
    if (String(name).endsWith('-release')) starts += 1
  })
  const id = await deploy(world, daemon, service, migrating({}))
  await until('it runs', () => isRunning(world, id))
  world.controls.setAway(true)
  world.controls.exit(releaseCommandName(id), 0)
  await until('it is missed', () => world.logText(id).includes('cannot be reached'))
  world.controls.setAway(false)
  t.match(await over(daemon, id), { status: 'Healthy' })
  t.equal(starts, 1)
})
