import type { AddressInfo } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { test } from 'tap'
import { createAccessWatch } from '../../src/http/access-watch.ts'
import { AppError } from '../../src/lib/errors.ts'
import { createSystem } from '../../src/lib/system.ts'
import { type OpenedApp, openApp } from '../support/app.ts'
import { openStream } from '../support/event-stream.ts'
import { makeWorld, type World } from '../support/world.ts'

async function open(t: {
  teardown(done: () => unknown): void
}): Promise<{ app: OpenedApp; world: World; origin: string }> {
  const app = await openApp()
  t.teardown(() => app.close())
  const world = await makeWorld(app)
  await app.server.listen({ host: '127.0.0.1', port: 0 })
  return { app, world, origin: `http://127.0.0.1:${(app.server.server.address() as AddressInfo).port}` }
}

async function userIdOf(app: OpenedApp, session: string): Promise<string> {
  return ((await app.must(session, 'GET', '/v1/me')).body['principal'] as { id: string }).id
}

test('an open log ends when its reader loses the permission, the membership or the account', async (t) => {
  const { app, world, origin } = await open(t)
  const { root, serviceId, projectId } = world
  const members = `/v1/projects/${projectId}/members`
  const operator = await userIdOf(app, world.sessions.operator)
  const logs = `${origin}/v1/services/${serviceId}/logs/stream`
  const losses: [string, object, () => Promise<unknown>][] = [
    [
      'a smaller role',
      { error: 'FORBIDDEN', permission: 'logs.read' },
      () => app.must(root, 'POST', members, { user_id: operator, role: 'viewer' }),
    ],
    ['no membership', { error: 'NOT_FOUND' }, () => app.must(root, 'DELETE', `${members}/${operator}`)],
    ['no user', { error: 'UNAUTHENTICATED' }, () => app.must(root, 'DELETE', `/v1/users/${operator}`)],
  ]
  for (const [what, expected, lose] of losses) {
    await app.must(root, 'POST', members, { user_id: operator, role: 'operator' })
    const stream = await openStream(t, logs, world.sessions.operator)
    await lose()
    const last = await stream.next()
    t.equal(last.event, 'denied', what)
    t.match(JSON.parse(last.data), expected, what)
    t.equal(await stream.ended(), true, what)
  }
})

test('a custom role that loses a permission ends the streams that needed it, and no others', async (t) => {
  const { app, world, origin } = await open(t)
  const { root, serviceId, deploymentId, projectId, userId } = world
  const role = await app.must(root, 'POST', '/v1/roles', {
    name: 'reader',
    permissions: ['projects.read', 'services.read', 'logs.read'],
  })
  const id = String(role.body['id'])
  await app.must(root, 'POST', `/v1/projects/${projectId}/members`, { user_id: userId, role: id })
  const session = world.sessions.nobody_special
  const logs = await openStream(t, `${origin}/v1/services/${serviceId}/logs/stream`, session)
  const builds = await openStream(t, `${origin}/v1/deployments/${deploymentId}/logs/stream`, session)
  const events = await openStream(t, `${origin}/v1/events`, session)
  await app.must(root, 'PUT', `/v1/roles/${id}`, { permissions: ['projects.read', 'services.read'] })
  t.match(JSON.parse((await logs.next()).data), { error: 'FORBIDDEN' })
  let last = await builds.next()
  // What was logged before comes first.
  while (last.event !== 'denied') last = await builds.next()
  t.match(JSON.parse(last.data), { error: 'FORBIDDEN' })
  await app.must(root, 'PATCH', `/v1/services/${serviceId}`, { restart: 'on_failure' })
  t.match(JSON.parse((await events.next()).data), { action: 'updateService', project_id: projectId })
})

test('a look at access that fails is made again, and is not the last', async (t) => {
  const due: (() => void)[] = []
  const system = { ...createSystem(), later: (_: number, run: () => void) => (due.push(run), () => {}) }
  let revision = 0
  let isBroken = true
  const lossOf = (): AppError => {
    if (isBroken) throw new Error('the database cannot be read')
    return new AppError('FORBIDDEN')
  }
  const watch = createAccessWatch({ system, accessRevision: () => revision, lossOf })
  const lost: AppError[] = []
  watch.watch({ accessUntil: Infinity } as FastifyRequest, (reason) => void lost.push(reason))
  revision += 1
  t.throws(() => due.pop()?.())
  isBroken = false
  due.pop()?.()
  t.match(lost, [{ code: 'FORBIDDEN' }])
})
