import { test } from 'tap'
import type { DeploymentSource } from '../../../src/modules/deployments/deployment-schema.ts'
import { createReleaseChoice } from '../../../src/modules/deployments/release-choice.ts'
import { openRows, service } from './deployment-rows.ts'

const redeploy = (number: number): DeploymentSource => ({
  type: 'redeploy',
  deployment_id: `web-${number}`,
  number,
})
const rollback = (number: number): DeploymentSource => ({
  type: 'rollback',
  deployment_id: `web-${number}`,
  number,
})
type Entry = DeploymentSource | 'upload' | 'failed' | 'given up' | 'canary'

/** Histories of a service, the last one live, and where a rollback goes: a number, or none. */
const TABLE: [title: string, history: Entry[], target: number | undefined][] = [
  ['nothing was before', ['upload'], undefined],
  ['to the release before', ['upload', 'upload'], 1],
  ['over a deployment that failed', ['upload', 'failed', 'upload'], 1],
  ['over a release whose image is gone', ['upload', 'given up', 'upload'], 1],
  ['from a redeployment to what it deployed anew, with its variables', ['upload', 'upload', redeploy(2)], 2],
  ['from the second redeployment to the first', ['upload', 'upload', redeploy(2), redeploy(2)], 3],
  ['and on from there', ['upload', 'upload', redeploy(2), rollback(2)], 1],
  ['from a promoted canary to what it replaced', ['upload', 'canary', redeploy(1), rollback(2)], 3],
  ['a second rollback goes further back', ['upload', 'upload', 'upload', rollback(2)], 1],
  ['from the first release there is no way back', ['upload', 'upload', rollback(1)], undefined],
  ['from a redeployment of a rollback to the rollback', ['upload', 'upload', rollback(1), redeploy(3)], 3],
  ['after a rollback a new upload goes back to it', ['upload', 'upload', rollback(1), 'upload'], 3],
  [
    'to that rollback and then on to what was before it',
    ['upload', 'upload', rollback(1), 'upload', rollback(3)],
    2,
  ],
]

for (const [title, history, target] of TABLE) {
  test(`a rollback goes: ${title}`, async (t) => {
    const { add, store } = openRows(t)
    for (const [index, entry] of history.entries()) {
      const isLast = index === history.length - 1
      if (typeof entry === 'object')
        add(index + 1, { source: entry, status: isLast ? 'Healthy' : 'Inactive' })
      else if (entry === 'failed') add(index + 1, { status: 'Failed' })
      else if (entry === 'canary') add(index + 1, { status: 'Inactive', canary_percent: 10 })
      else if (entry === 'given up') add(index + 1, { status: 'Inactive', image: null, image_id: null })
      else add(index + 1, { status: isLast ? 'Healthy' : 'Inactive' })
    }
    const web = service('web', { live_deployment_id: `web-${history.length}` })
    const choose = () => createReleaseChoice(store).requireRollbackTarget(web, undefined).number
    if (target === undefined) t.throws(choose, { code: 'NOTHING_TO_DEPLOY' })
    else t.equal(choose(), target)
  })
}

test('a named release must be one, and of this service', async (t) => {
  const { add, store } = openRows(t)
  add(1, { status: 'Inactive' })
  add(2, { status: 'Failed' })
  add(3)
  add(1, { service_id: 'api', status: 'Inactive' })
  const releases = createReleaseChoice(store)
  const web = service('web', { live_deployment_id: 'web-3' })
  t.equal(releases.requireRollbackTarget(web, 'web-1').number, 1)
  t.throws(() => releases.requireRollbackTarget(web, 'web-2'), { code: 'NOTHING_TO_DEPLOY' })
  t.throws(() => releases.requireRollbackTarget(web, 'api-1'), { code: 'NOT_FOUND' })
  t.throws(() => releases.requireRollbackTarget(web, 'nobody'), {
    code: 'NOT_FOUND',
    details: [{ field: 'deployment_id', message: 'nobody is no deployment of the service' }],
  })
})

test('a service that was never deployed has nothing to deploy again', async (t) => {
  const releases = createReleaseChoice(openRows(t).store)
  t.throws(() => releases.requireLive(service('web')), { code: 'NOTHING_TO_DEPLOY' })
  t.throws(() => releases.requireRollbackTarget(service('web'), undefined), { code: 'NOTHING_TO_DEPLOY' })
})
