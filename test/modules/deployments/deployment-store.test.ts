import { test } from 'tap'
import { STEPS } from '../../../src/modules/deployments/deployment-schema.ts'
import { NOW, openRows } from './deployment-rows.ts'

const LATER = '2026-01-01T12:01:00.000Z'

test('a deployment is read as it was written', async (t) => {
  const { store, add } = openRows(t)
  const id = add(1, {
    status: 'Pending',
    step: 'fetch',
    image: null,
    image_id: null,
    build: {
      builder: 'dockerfile',
      dockerfile_path: 'deploy/Dockerfile',
      context_path: null,
      target: 'app',
      build_args: { A: 'b' },
      env_file: '.env',
      build_secrets: ['TOKEN'],
    },
  })
  const found = store.find(id)
  t.match(found, {
    id,
    status: 'Pending',
    step: 'fetch',
    build: { target: 'app', build_args: { A: 'b' }, env_file: '.env', build_secrets: ['TOKEN'] },
    source: { type: 'upload' },
    created_by: { name: 'olive' },
    cancel_requested: false,
    finished_at: null,
  })
  t.equal(store.find('another'), undefined)
  t.equal(store.projectOf(id), 'project')
})

test('sealed variables are read only where they are opened, and are in the way of nothing else', async (t) => {
  const { database, services, store, add } = openRows(t)
  const fields = { status: 'Building', step: 'build' } as const
  const id = add(1, fields, { env_sealed: 'sealed-env', file_env_sealed: 'sealed-file' })
  services.setLive('web', id, NOW)
  services.setCanary('web', { deployment_id: id, percent: 5 }, NOW)
  const lists = {
    find: store.find(id) ? [store.find(id)] : [],
    listByService: store.listByService('web', null, 10),
    listOpen: store.listOpen(),
    listOpenOfService: store.listOpenOfService('web'),
    listInUse: store.listInUse('web'),
    listLive: store.listLive(),
    listCanaries: store.listCanaries(),
  }
  for (const [name, rows] of Object.entries(lists)) {
    t.equal(rows.length, 1, name)
    t.notMatch(JSON.stringify(rows), /sealed-/, name)
  }
  // SQLite reads past a long value to the columns behind it, and writes it again with each change of its row.
  t.same(database.all("SELECT name FROM pragma_table_info('deployments') WHERE name LIKE '%sealed'"), [])

  t.same(store.sealedEnvOf(id), { env_sealed: 'sealed-env', file_env_sealed: 'sealed-file' })
  store.setFileEnv(id, { env_sealed: 'with the file', file_env_sealed: null })
  t.same(store.sealedEnvOf(id), { env_sealed: 'with the file', file_env_sealed: null })
  t.same(store.sealedEnvOf(add(2)), { env_sealed: null, file_env_sealed: null })
  services.remove('web')
  t.same(database.all('SELECT deployment_id FROM deployment_env'), [])
})

test('numbers count up for each service by itself', async (t) => {
  const { store, add } = openRows(t)
  t.equal(store.nextNumber('web'), 1)
  add(1)
  add(2)
  t.equal(store.nextNumber('web'), 3)
  t.equal(store.nextNumber('api'), 1)
})

test('a step is left only from where the deployment stands', async (t) => {
  const { store, add } = openRows(t)
  const id = add(1, { status: 'Pending', step: 'fetch' })
  t.equal(store.advance(id, 'build', 'start', 'Starting', NOW), false)
  t.match(store.find(id), { step: 'fetch', status: 'Pending' })
  t.equal(store.advance(id, 'fetch', 'build', 'Building', NOW), true)
  t.match(store.find(id), { step: 'build', status: 'Building', finished_at: null })
  t.equal(store.advance(id, 'build', null, 'Healthy', LATER), true)
  t.match(store.find(id), { step: null, status: 'Healthy', finished_at: LATER })
})

test('what is over is not ended or cancelled again', async (t) => {
  const { store, add } = openRows(t)
  const id = add(1, { status: 'Building', step: 'build' })
  t.equal(store.finish(id, 'Failed', 'it broke', NOW), true)
  t.equal(store.finish(id, 'Cancelled', 'too late', LATER), false)
  store.requestCancel(id, 'too late', LATER)
  t.match(store.find(id), { status: 'Failed', reason: 'it broke', cancel_requested: false, finished_at: NOW })
})

test('steps count their attempts, keep their beginning and come in the order in which they run', async (t) => {
  const { store, add } = openRows(t)
  const id = add(1, { status: 'Pending', step: 'fetch' })
  for (const step of STEPS.toReversed()) store.beginStep(id, step, NOW)
  store.endStep(id, 'check', 'failed', NOW)
  store.beginStep(id, 'check', LATER)
  const other = add(2)
  store.skipStep(other, 'build', NOW)
  store.skipStep(other, 'fetch', NOW)
  t.same(
    store.listSteps([id]).map(({ step }) => step),
    STEPS,
  )
  t.match(
    store.listSteps([id]).find(({ step }) => step === 'check'),
    { status: 'running', attempts: 2, started_at: NOW, finished_at: null },
  )
  t.same(
    store
      .listSteps([id, other])
      .filter(({ status }) => status === 'skipped')
      .map(({ step }) => step),
    ['fetch', 'build'],
  )
})

test('open deployments are found by service, live ones by what their service says', async (t) => {
  const { store, services, add } = openRows(t)
  add(1)
  const first = add(2, { status: 'Building', step: 'build' })
  const second = add(3, { status: 'Pending', step: 'fetch' })
  const other = add(1, { service_id: 'api', status: 'Pending', step: 'start' })
  services.setLive('web', 'web-1', NOW)
  const ids = (rows: { id: string }[]) => rows.map(({ id }) => id).toSorted()
  t.same(ids(store.listOpen()), [other, first, second].toSorted())
  t.same(ids(store.listOpenOfService('web')), [first, second])
  t.same(ids(store.listLive()), ['web-1'])
  t.same(ids(store.listInUse('web')), [first, second, 'web-1'].toSorted())
  t.same(ids(store.listInUse('api')), [other])
  add(4)
  add(5)
  store.setRouted(first, 'web-4', NOW)
  services.setCanary('web', { deployment_id: 'web-5', percent: 5 }, NOW)
  t.same(ids(store.listInUse('web')), [first, second, 'web-1', 'web-4', 'web-5'].toSorted())
  t.equal(store.hasOtherOpen('web', first), true)
  t.equal(store.hasOtherOpen('api', other), false)
})

test('a service takes its deployments and their steps with it', async (t) => {
  const { store, services, add } = openRows(t)
  const id = add(1, { status: 'Building', step: 'build' })
  store.beginStep(id, 'build', NOW)
  services.remove('web')
  t.equal(store.find(id), undefined)
  t.same(store.listSteps([id]), [])
})

test('lists go back in time from the cursor', async (t) => {
  const { store, add } = openRows(t)
  for (let number = 1; number <= 5; number += 1) add(number)
  t.same(
    store.listByService('web', null, 2).map(({ id }) => id),
    ['web-5', 'web-4'],
  )
  t.same(
    store.listByService('web', 'web-4', 9).map(({ id }) => id),
    ['web-3', 'web-2', 'web-1'],
  )
})
