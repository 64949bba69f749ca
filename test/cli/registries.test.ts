import { test } from 'tap'
import { PASSWORD } from '../support/app.ts'
import { openCliDaemon } from '../support/cli-daemon.ts'

test('an external registry is added with a secret from stdin, a file or a question, renewed and removed', async (t) => {
  const { app, person, token, write } = await openCliDaemon(t)
  const [project] = (await app.must(token, 'GET', '/v1/projects')).list
  const url = `/v1/projects/${String(project?.['id'])}/registries`
  const berth = (words: string[], input = '') => person.berth(['registries', ...words], { input })
  t.match(await berth(['ls']), { status: 0, stdout: '', stderr: /no external registries/ })

  t.match(await berth(['add', 'hub', 'docker.io']), { status: 0, stderr: /may take images from/ })
  const ecr = ['add', 'ecr', 'ecr.example.com', '--auth', 'ecr_token', '--secret-stdin']
  // Longer than what a password may be, as such tokens are.
  t.match(await berth(ecr, `${'canary'.repeat(1000)}\n`), { status: 0, stdout: /^\S+\n$/ })
  await write('secret', 'canary-of-file\n')
  t.match(await berth(['add', 'ghcr', 'ghcr.io', '-u', 'olive', '--secret-file', 'secret']), { status: 0 })
  const terminal = person.terminal(['registries', 'add', 'asked', 'r.example.com', '--username', 'olive'])
  await terminal.shows('Password of olive at r.example.com:')
  terminal.type('canary-typed\r')
  t.match(await terminal.ended, { status: 0, shown: /^(?![^]*canary)/ })

  t.match((await app.must(token, 'GET', url)).list, [
    { name: 'asked', endpoint: 'https://r.example.com', auth_kind: 'basic' },
    { name: 'ghcr', auth_kind: 'basic' },
    { name: 'ecr', auth_kind: 'ecr_token' },
    { name: 'hub', auth_kind: 'anonymous' },
  ])
  const { stdout } = await berth(['ls'])
  t.match(stdout, /^ghcr +https:\/\/ghcr\.io +basic /m)
  t.notMatch(stdout, 'canary')

  t.match(await berth(['renew', 'ecr', '--secret-stdin'], 'another'), { status: 0 })
  t.match(await berth(['renew', 'hub', '--secret-stdin'], 'x'), { status: 2, stderr: /neither/ })
  const events = (await app.must(token, 'GET', '/v1/audit-events')).list
  t.ok(events.some((event) => event['action'] === 'updateExternalRegistry'))

  t.match(await berth(['rm', 'ghcr']), { status: 2, stderr: /add --yes/ })
  t.match(await berth(['rm', 'ghcr', '--yes']), { status: 0, stderr: /ghcr is gone/ })
  t.match(await berth(['rm', 'ghcr', '--yes']), { status: 4, stderr: /no external registry ghcr/ })
})

test('what cannot be meant is refused before a secret is read', async (t) => {
  const { person } = await openCliDaemon(t)
  const refused: [words: string[], said: RegExp][] = [
    [['--secret-stdin'], /say what the secret is/],
    [['--auth', 'basic', '--secret-stdin'], /--username NAME/],
    [['--auth', 'token', '--username', 'olive'], /does not belong to token/],
    [['--auth', 'magic'], /--auth magic: there is anonymous/],
    [['--auth', 'token'], /--secret-stdin or --secret-file/],
    [['--auth', 'token', '--secret-stdin', '--secret-file', 'x'], /contradict/],
    [['--auth', 'token', '--secret-stdin'], /no secret on stdin/],
    [['--auth', 'token', '--secret-file', 'nope'], /cannot read .*nope/],
  ]
  for (const [words, stderr] of refused)
    t.match(await person.berth(['registries', 'add', 'r', 'r.example.com', ...words]), { status: 2, stderr })
})

test('an operator whose login is an API token revokes another, and a failed registry login leaves none behind', async (t) => {
  const { app, person, token } = await openCliDaemon(t)
  const [project] = (await app.must(token, 'GET', '/v1/projects')).list
  const { body } = await app.must(token, 'POST', '/v1/users', { username: 'olive', password: PASSWORD })
  const member = { user_id: body['id'], role: 'operator' }
  await app.must(token, 'POST', `/v1/projects/${String(project?.['id'])}/members`, member)
  const olive = await app.login('olive')
  const mint = async (name: string) =>
    String((await app.must(olive, 'POST', '/v1/api-tokens', { name })).body['token'])
  const environment = { BERTH_TOKEN: await mint('login') }
  await mint('ci')
  const names = async () => (await app.must(olive, 'GET', '/v1/api-tokens')).list.map(({ name }) => name)
  const withPassword = async (...args: string[]) => {
    const terminal = person.terminal(args, { environment })
    await terminal.shows('Password of olive:')
    terminal.type(`${PASSWORD}\r`)
    return terminal.ended
  }
  t.match(await withPassword('tokens', 'rm', 'ci'), { status: 0, shown: /ci is revoked/ })
  t.same(await names(), ['login'])
  t.match(await withPassword('registry', 'login', '--with', 'no-such-program'), {
    status: 1,
    shown: /no-such-program could not be started/,
  })
  t.same(await names(), ['login'])
})
