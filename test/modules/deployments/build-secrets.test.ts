import { test } from 'tap'
import type { BuildSpec } from '../../../src/runtime/runtime.ts'
import { addService, deploy, openDelivery, OPERATOR, over, release } from '../../support/delivery.ts'

test('a build may read the variables that build_secrets names, and no others', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', {
    env: { TOKEN: 'canary-token', OTHER: 'canary-other' },
    env_file: '.env',
    build_secrets: ['TOKEN', 'FROM_FILE'],
  })
  world.envFiles.set('.env', { FROM_FILE: 'canary-file', TOKEN: 'overruled' })
  const given: BuildSpec['secrets'][] = []
  world.controls.before('buildImage', (spec) => void given.push((spec as BuildSpec).secrets))
  await release(world, daemon, service)
  t.same(given, [{ TOKEN: 'canary-token', FROM_FILE: 'canary-file' }])
})

test('a name without a variable ends the deployment before anything is built', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', {
    env: { TOKEN: 'canary-token' },
    build_secrets: ['TOKEN', 'toString', 'GONE'],
  })
  t.match(await over(daemon, await deploy(world, daemon, service)), {
    status: 'Failed',
    reason: /^build_secrets names what is no variable of the service: toString, GONE\. /,
  })
  t.equal(world.controls.calls('buildImage'), 0)

  await daemon.services.updateService(OPERATOR, service, { build_secrets: null })
  t.match(await over(daemon, await deploy(world, daemon, service)), { status: 'Healthy' })
})
