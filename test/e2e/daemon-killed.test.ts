import { type Test, test } from 'tap'
import { type Installation, installBerth } from '../support/daemon.ts'
import {
  application,
  createService,
  type Deployment,
  readDeploymentLog,
  waitForEnd,
} from '../support/deploy.ts'
import { makeAuthority, serveGitHttps } from '../support/git-https-server.ts'
import { openRepositoryRoot, type TestRepository } from '../support/git-repository.ts'
import { startLoad } from '../support/load.ts'
import { waitFor } from '../support/wait.ts'

interface Forge {
  repository: TestRepository
  repo_url: string
  authority: string
  /** While it is set, nothing is answered: a fetch takes for ever. */
  silence: { isKept: boolean }
}

async function openForge(t: Test): Promise<Forge> {
  const [repositories, authority] = await Promise.all([openRepositoryRoot(), makeAuthority()])
  const silence = { isKept: false }
  const server = await serveGitHttps(repositories.root, authority, { intercept: () => silence.isKept })
  t.teardown(async () => {
    await server.close()
    await Promise.all([repositories.remove(), authority.remove()])
  })
  const repository = await repositories.create('shop.git')
  return { repository, repo_url: `${server.url}/shop.git`, authority: authority.file, silence }
}

/** An application whose build takes its time. */
function builtSlowly(text: string): Record<string, string> {
  const scripts = { start: 'node server.mjs', build: 'node -e "setTimeout(() => {}, 1500)"' }
  return {
    ...application(text, { delayMs: 20 }),
    'package.json': JSON.stringify({ name: 'app', version: '1.0.0', scripts }),
  }
}

/** Kills the daemon in each of these steps of a deployment, starts it again, and answers how the deployment ended. */
async function killIn(
  berth: Installation,
  id: string,
  steps: readonly string[],
  died: (step: string) => void = () => {},
): Promise<Deployment> {
  for (const step of steps) {
    // Some steps are short: to have passed one is as good as to be in it.
    await waitFor(`the ${step} step`, async () => {
      const seen = await berth.call<{ steps: { step: string; status: string }[] }>(
        'GET',
        `/v1/deployments/${id}`,
      )
      return seen.steps.some((each) => each.step === step && each.status !== 'skipped')
    })
    await berth.stop('SIGKILL')
    died(step)
    await berth.start()
  }
  return waitForEnd(berth, id)
}

const STEPS = ['fetch', 'build', 'publish', 'release_command', 'start', 'check', 'route', 'retire']

test('a daemon killed in every step of a deployment from Git, and of a rollback, finishes both, and no request fails', async (t) => {
  const forge = await openForge(t)
  await forge.repository.commit(builtSlowly('version 1'))
  const berth = await installBerth(t, {
    BERTH_GIT_CA_FILE: forge.authority,
    BERTH_GIT_PRIVATE_RANGES: '127.0.0.1,::1',
  })
  const service = await createService(berth, 'web', {
    source: { type: 'git', repo_url: forge.repo_url },
    replicas: 2,
    health_check: { path: '/', interval_ms: 100 },
    release_command: ['node', '-e', 'setTimeout(() => console.log("released"), 1000)'],
  })
  const deploy = async (source: object): Promise<string> =>
    (await berth.call<Deployment>('POST', '/v1/deployments', { service_id: service, source })).id
  const first = await waitForEnd(berth, await deploy({ type: 'git' }))
  t.equal(first.status, 'Healthy', first.reason ?? '')
  const load = startLoad(berth.httpPort(), 'web.default.localhost', { connections: 16, perSecond: 200 })

  const sha = await forge.repository.commit(builtSlowly('version 2'))
  forge.silence.isKept = true
  const id = await deploy({ type: 'git' })
  const ended = await killIn(berth, id, STEPS, () => (forge.silence.isKept = false))
  t.match(ended, { status: 'Healthy', commit: { sha } })
  const log = await readDeploymentLog(berth, id)
  t.ok(log.split('Going on after an interruption.').length > 5, 'it went on again and again')
  t.match(log, /released/)

  const rollback = await deploy({ type: 'rollback', deployment_id: first.id })
  const back = await killIn(berth, rollback, ['check', 'retire'])
  t.equal(back.status, 'Healthy', back.reason ?? '')
  const report = await load.stop()
  t.equal(report.failed, 0, `no request failed (${report.failures.join('; ')})`)
  t.ok(report.per_second >= 100, `${Math.round(report.per_second)} requests a second`)
  t.ok('version 1' in report.answers && 'version 2' in report.answers)
  await waitFor('it runs', async () => {
    const { status } = await berth.call<{ status: string }>('GET', `/v1/services/${service}`)
    return status === 'Running'
  })
})
