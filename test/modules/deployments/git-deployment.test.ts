import { test } from 'tap'
import { addService, ask, openDelivery, over, type Source, until } from '../../support/delivery.ts'

const SOURCE = { type: 'git', repo_url: 'https://git.example.com/shop.git', git_ref: 'main' } as const

test('a release from git says which commit it is; redeploy and rollback keep that', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { source: SOURCE })
  const first = world.push()
  const one = await over(daemon, await ask(daemon, service, { type: 'git' }))
  t.match(one, {
    status: 'Healthy',
    commit: { sha: first, ref: 'refs/heads/main', author: 'Olive', message: `Commit ${first}` },
  })
  const second = world.push()
  const two = await over(daemon, await ask(daemon, service, { type: 'git' }))
  t.equal(two.commit?.sha, second)
  t.match(two.source, {
    type: 'git',
    repo_url: SOURCE.repo_url,
    git_ref: 'main',
    commit: null,
    submodules: false,
  })
  const again = await over(daemon, await ask(daemon, service, { type: 'redeploy' }))
  t.same(again.commit, two.commit)
  const back = await over(daemon, await ask(daemon, service, { type: 'rollback', deployment_id: one.id }))
  t.same([back.status, back.commit], ['Healthy', one.commit])
  const exact = await over(
    daemon,
    await ask(daemon, service, { type: 'git', git_ref: 'refs/heads/main', commit: first }),
  )
  t.same([exact.commit?.sha, exact.commit?.ref], [first, 'refs/heads/main'])
})

test('what is fetched again after a crash is the commit that was recorded', async (t) => {
  const world = await openDelivery(t)
  const dying = await world.start()
  const service = await addService(world, dying, 'web', { source: SOURCE })
  const source: Source = { until: new Promise(() => {}) }
  const sha = world.push(source)
  const id = await ask(dying, service, { type: 'git' })
  await until('it builds', () => dying.stores.deployments.find(id)?.step === 'build')
  t.equal(dying.stores.deployments.find(id)?.commit?.sha, sha)
  dying.life.kill()
  delete source.until
  world.push()
  const { status, commit } = await over(await world.start(), id)
  t.same([status, commit?.sha, commit?.ref], ['Healthy', sha, 'refs/heads/main'])
})

test('a source that is not git, and refs that cannot be, are refused', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const upload = await addService(world, daemon, 'up')
  await t.rejects(ask(daemon, upload, { type: 'git' }), { code: 'VALIDATION_ERROR' })
  const service = await addService(world, daemon, 'web', { source: SOURCE })
  await t.rejects(ask(daemon, service, { type: 'git', git_ref: '--upload-pack=x' }), {
    code: 'VALIDATION_ERROR',
  })
  const plain = await addService(world, daemon, 'plain', {
    source: { ...SOURCE, repo_url: 'http://git.example.com/x' },
  })
  await t.rejects(ask(daemon, plain, { type: 'git' }), { code: 'POLICY_REFUSED' })
  const gone = await over(daemon, await ask(daemon, service, { type: 'git', commit: 'a'.repeat(40) }))
  t.match(gone, { status: 'Failed', reason: `The repository has no commit ${'a'.repeat(40)}.` })
})
