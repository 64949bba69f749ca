import { test } from 'tap'
import { openApp } from '../support/app.ts'
import { openCliDaemon } from '../support/cli-daemon.ts'

test('a webhook is made, used, listed, given another secret and removed', async (t) => {
  const { app, person, token } = await openCliDaemon(t)
  const source = { type: 'git', repo_url: 'https://git.example.com/acme/shop.git' }
  const made = await app.must(token, 'POST', '/v1/services', { name: 'web', source })
  const url = `/v1/services/${String(made.body['id'])}/webhooks`
  const berth = (...words: string[]) => person.berth(['webhooks', ...words, '-s', 'web'])
  t.match(await berth('ls'), { status: 0, stdout: '', stderr: /has no webhooks/ })
  t.match(await berth('rotate'), { status: 4, stderr: /web has no webhook\n/ })

  const added = await berth('add', '--name', 'lab', '--branch', 'main', '--branch', 'x/*', '--path', 'web/**')
  t.match(added, {
    status: 0,
    stdout: /^url {6}http:\/\/127\.0\.0\.1:\d+\/v1\/hooks\/\S+\nsecret {3}whsec_\S+\n$/,
    stderr: /not shown again/,
  })
  const secret = /whsec_\S+/.exec(added.stdout)?.[0] ?? ''
  const [hook] = (await app.must(token, 'GET', url)).list
  t.match(hook, { name: 'lab', branches: ['main', 'x/*'], tags: [], paths: ['web/**'], skip_markers: true })
  const listed = await berth('ls')
  t.match(listed.stdout, /^lab +yes +main, x\/\* +- +web\/\*\* +http\S+\/v1\/hooks\//m)
  t.notMatch(listed.stdout, secret)

  t.match(await berth('set'), { status: 2, stderr: /nothing to change/ })
  t.match(await berth('set', '--branch', 'x', '--default-branch'), { status: 2, stderr: /contradict/ })
  const change = async (...flags: string[]) => {
    t.match(await berth('set', 'lab', ...flags), {
      status: 0,
      stdout: '',
      stderr: /Changed the webhook lab of web: /,
    })
    return (await app.must(token, 'GET', url)).list[0]
  }
  t.match(await change('--default-branch', '--tag', 'v*', '--any-path', '--ignore-markers', '--disable'), {
    name: 'lab',
    enabled: false,
    branches: null,
    tags: ['v*'],
    paths: [],
    skip_markers: false,
  })
  t.match(await change('--branch', 'main', '--no-tags', '--path', 'web/**', '--obey-markers', '--enable'), {
    enabled: true,
    branches: ['main'],
    tags: [],
    paths: ['web/**'],
    skip_markers: true,
  })

  const send = (key: string) =>
    app.send(
      undefined,
      'POST',
      String(hook?.['path']),
      { ref: 'refs/heads/other', after: 'a'.repeat(40), project: { path_with_namespace: 'acme/shop' } },
      { 'x-gitlab-event': 'Push Hook', 'x-gitlab-token': key },
    )
  t.equal((await send(secret)).status, 202)
  t.match(await berth('deliveries'), { status: 0, stdout: /refs\/heads\/other +aaaaaaaaaaaa/ })
  const [delivery] = JSON.parse((await berth('deliveries', 'lab', '-o', 'json')).stdout)
  const replayed = await berth('replay', delivery.id)
  t.match(replayed, { status: 0, stdout: /^[0-9a-f-]{36}\n$/ })
  const again = JSON.parse((await berth('deliveries', '-o', 'json')).stdout)
  t.match(again[0], { id: replayed.stdout.trim(), replays_id: delivery.id })
  t.match(await berth('replay', '00000000-0000-7000-8000-000000000000', 'lab'), { status: 4 })

  const own = 'a-secret-of-my-own'
  const rotated = await person.berth(['webhooks', 'rotate', 'lab', '-s', 'web', '--secret-stdin'], {
    input: `${own}\n`,
  })
  t.match(rotated, { status: 0, stdout: new RegExp(`secret {3}${own}\n`) })
  t.not((await send(secret)).status, 202)
  t.equal((await send(own)).status, 202)

  t.match(await berth('add', '--name', 'lab', '--ignore-markers', '-o', 'json'), { status: 0 })
  t.match(await berth('rotate'), { status: 2, stderr: /web has several webhooks: say which/ })
  t.match(await berth('rm', 'lab', '-y'), { status: 2, stderr: /several webhooks lab/ })
  t.match(await berth('rm', String(hook?.['id'])), { status: 2, stderr: /add --yes/ })
  t.match(await berth('rm', String(hook?.['id']), '--yes'), { status: 0, stderr: /lab is gone/ })
  t.match(await berth('rm', 'nope', '-y'), { status: 4, stderr: /has no webhook nope/ })
  t.match((await app.must(token, 'GET', url)).list, [{ name: 'lab', branches: null, skip_markers: false }])
})

test('URLs under the control domain are those that answer; what listens nowhere has none', async (t) => {
  const environment = { BERTH_CONTROL_DOMAIN: 'apps.example.com', BERTH_HTTP_PORT: '8123' }
  const app = await openApp({ environment })
  t.teardown(() => app.close())
  const token = await app.bootstrap()
  const source = { type: 'git', repo_url: 'https://git.example.com/acme/shop.git' }
  const service = await app.must(token, 'POST', '/v1/services', { name: 'web', source })
  t.equal(service.body['url'], 'http://web.default.apps.example.com:8123/')
  const hook = await app.must(token, 'POST', `/v1/services/${String(service.body['id'])}/webhooks`, {})
  t.equal(
    hook.body['url'],
    `http://apps.example.com:8123${String(hook.body['path'])}`,
    'it has no certificate',
  )
  const silent = await app.must(token, 'POST', '/v1/services', { name: 'worker', internal_port: null })
  t.equal(silent.body['url'], null)
  t.match((await app.must(token, 'GET', '/v1/workloads')).list, [
    { name: 'worker', url: null },
    { name: 'web' },
  ])
})
