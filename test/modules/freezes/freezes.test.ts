import { test } from 'tap'
import { openApp } from '../../support/app.ts'
import { makeWorld } from '../../support/world.ts'

test('a frozen project refuses deployments and says why, until it is let go', async (t) => {
  const app = await openApp()
  t.teardown(app.close)
  const { root, projectId, serviceId, uploadId, sessions } = await makeWorld(app)
  const path = `/v1/projects/${projectId}/freeze`
  const deploy = (token: string, more: object = {}) =>
    app.send(token, 'POST', '/v1/deployments', {
      service_id: serviceId,
      source: { type: 'upload', upload_id: uploadId },
      ...more,
    })
  t.match((await app.must(sessions.viewer, 'GET', path)).body, { frozen: false, reason: null })
  t.match(await app.send(sessions.operator, 'PUT', path, { reason: 'mine' }), { status: 403 })
  t.match(await app.send(sessions.other_admin, 'PUT', path, { reason: 'mine' }), { status: 404 })
  t.match(await app.send(root, 'PUT', path, { reason: '' }), { status: 400 })
  const frozen = await app.must(sessions.admin, 'PUT', path, { reason: 'The sale is on.' })
  t.match(frozen.body, { frozen: true, reason: 'The sale is on.', created_by: 'admin' })
  t.match((await app.must(sessions.viewer, 'GET', path)).body, frozen.body)
  t.match(await deploy(sessions.operator), {
    status: 422,
    body: {
      error: 'DEPLOYS_FROZEN',
      message: 'Deployments of this project are frozen by admin: The sale is on.',
      details: [{ message: 'The sale is on.' }],
    },
  })
  t.match(await deploy(root), { status: 422 }, 'a super-admin has to say it')
  t.match(await deploy(sessions.admin, { override_freeze: true }), {
    status: 403,
    body: { permission: 'super_admin' },
  })
  t.match(await deploy(root, { override_freeze: true }), { status: 202 }, 'the upload was not taken before')

  const ofNothing = (await app.must(root, 'GET', '/v1/node/freeze')).headers['etag']
  for (const tag of ['"old-1"', String(ofNothing)])
    t.equal((await app.send(root, 'PUT', path, { reason: 'x' }, { 'if-match': tag })).status, 412, tag)
  const asRead = { 'if-match': String((await app.must(root, 'GET', path)).headers['etag']) }
  await app.must(sessions.admin, 'PUT', path, { reason: 'Still on.' }, asRead)
  t.equal((await app.send(root, 'DELETE', path, undefined, asRead)).status, 412, 'it was replaced')
  t.match((await app.must(root, 'GET', path)).body, { reason: 'Still on.' })
  t.equal((await app.must(sessions.admin, 'DELETE', path)).status, 204)
  t.equal((await app.must(sessions.admin, 'DELETE', path)).status, 204)
  t.match(await deploy(sessions.operator), { status: 409, body: { error: 'UPLOAD_USED' } }, 'it is let in')
  const { list } = await app.must(root, 'GET', `/v1/audit-events?resource=${projectId}`)
  t.match(
    list.map(({ action }) => action),
    ['unfreezeProject', 'freezeProject', 'freezeProject'],
  )
})

test('a frozen node refuses the deployments of every project, and only a super-admin freezes it', async (t) => {
  const app = await openApp()
  t.teardown(app.close)
  const { root, serviceId, uploadId, sessions, projectId } = await makeWorld(app)
  t.match(await app.send(sessions.admin, 'PUT', '/v1/node/freeze', { reason: 'x' }), { status: 403 })
  await app.must(root, 'PUT', '/v1/node/freeze', { reason: 'Moving house.' })
  await app.must(root, 'PUT', '/v1/node/freeze', { reason: 'Moving house, slowly.' })
  t.match((await app.must(sessions.nobody_special, 'GET', '/v1/node/freeze')).body, {
    reason: 'Moving house, slowly.',
  })
  const body = { service_id: serviceId, source: { type: 'upload', upload_id: uploadId } }
  t.match(await app.send(sessions.operator, 'POST', '/v1/deployments', body), {
    status: 422,
    body: { message: /^Deployments of this node are frozen by root/ },
  })
  await app.must(root, 'DELETE', '/v1/node/freeze')
  await app.must(sessions.operator, 'POST', '/v1/deployments', body)
  await app.must(root, 'PUT', `/v1/projects/${projectId}/freeze`, { reason: 'It goes with its project.' })
})
