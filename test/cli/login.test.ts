import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { ADMIN_TOKEN, ALICE, PASSWORD, refuse, startApiServer } from '../support/api-server.ts'
import { PASSWORD as OF_ROOT } from '../support/app.ts'
import { newPerson, type Person, wrongClock } from '../support/berth-command.ts'
import { openCliDaemon } from '../support/cli-daemon.ts'

const DAY_MS = 86_400_000

interface Saved {
  current: string
  contexts: Record<string, { url: string; token?: string; kind?: string; username?: string }>
}

async function saved(person: Person): Promise<Saved> {
  return JSON.parse(await readFile(join(person.home, '.config/berth/config.json'), 'utf8'))
}

test('login mints an API token named after the machine, ends the session, and saves the token for this user alone', async (t) => {
  const api = await startApiServer(t)
  const person = await newPerson(t)
  const { status, stdout, stderr } = await person.berth(
    ['login', api.url, '--username', 'alice', '--password-stdin'],
    {
      input: `${PASSWORD}\n`,
    },
  )
  t.equal(status, 0)
  t.equal(stdout, '')
  t.equal(stderr, `Signed in to ${api.url} as alice.\n`)
  const file = join(person.home, '.config/berth/config.json')
  t.equal((await stat(file)).mode & 0o777, 0o600)
  t.equal((await stat(join(person.home, '.config/berth'))).mode & 0o777, 0o700)
  const context = (await saved(person)).contexts[new URL(api.url).host]
  t.match(context, { url: api.url, kind: 'api_token', username: 'alice' })
  t.equal(api.tokens.get(context?.token ?? '')?.name, `berth on ${hostname()}`)
  t.notOk(
    [...api.tokens.values()].some(({ kind }) => kind === 'session'),
    'the session is over',
  )
  t.match(await person.berth(['whoami']), { status: 0, stdout: /^alice on / })
  t.notOk((await readFile(file, 'utf8')).includes(PASSWORD))
})

test('a clock that goes wrong keeps nobody from signing in, and a login that fails leaves no session', async (t) => {
  const { app, person } = await openCliDaemon(t)
  const url = person.environment['BERTH_URL'] ?? ''
  const login = ['login', url, '--username', 'root', '--password-stdin']
  const environment = { ...wrongClock(-400 * DAY_MS), BERTH_TOKEN: '' }
  t.match(await person.berth(login, { input: OF_ROOT, environment }), {
    status: 0,
    stderr: /^warning: the clock of this machine is 9600 h 0 min behind that of http:[^]*Signed in to/,
  })
  const session = await app.login('root')
  const [token] = (await app.must(session, 'GET', '/v1/api-tokens')).list
  const expires = Date.parse(String(token?.['expires_at']))
  t.ok(Math.abs(expires - Date.now() - 90 * DAY_MS) < DAY_MS / 24, String(token?.['expires_at']))
  const api = await startApiServer(t)
  api.on('POST /v1/api-tokens', (_, response) => refuse(response, 400, 'VALIDATION_ERROR', 'Not so.'))
  t.match(await person.berth(['login', api.url, '-u', 'alice', '--password-stdin'], { input: PASSWORD }), {
    status: 1,
    stderr: 'berth: Not so.',
  })
  t.notOk([...api.tokens.values()].some(({ kind }) => kind === 'session'))
})

test('login again revokes the token of before, and logout the last one', async (t) => {
  const api = await startApiServer(t)
  const person = await newPerson(t)
  const login = () => person.berth(['login', api.url, '-u', 'alice', '--password-stdin'], { input: PASSWORD })
  await login()
  const first = Object.values((await saved(person)).contexts)[0]?.token ?? ''
  await login()
  const second = Object.values((await saved(person)).contexts)[0]?.token ?? ''
  t.not(first, second)
  t.notOk(api.tokens.has(first))
  t.ok(api.tokens.has(second))
  t.match(await person.berth(['logout']), { status: 0, stderr: `Signed out of ${api.url}.\n` })
  t.notOk(api.tokens.has(second))
  t.notOk((await readFile(join(person.home, '.config/berth/config.json'), 'utf8')).includes(second))
  t.match(await person.berth(['ps']), { status: 3, stderr: new RegExp(`not signed in to ${api.url}`) })
  t.match(await person.berth(['logout']), { status: 3 })
})

test('--session keeps the session, which logout ends', async (t) => {
  const api = await startApiServer(t)
  const person = await newPerson(t)
  await person.berth(['login', api.url, '-u', 'alice', '--session', '--password-stdin'], { input: PASSWORD })
  const { token = '', kind } = Object.values((await saved(person)).contexts)[0] ?? {}
  t.equal(kind, 'session')
  t.equal(api.tokens.get(token)?.kind, 'session')
  await person.berth(['logout'])
  t.notOk(api.tokens.has(token))
})

test('a token can be saved as it is, from stdin or a file, and its owner is shown', async (t) => {
  const api = await startApiServer(t)
  const person = await newPerson(t)
  t.match(await person.berth(['login', api.url, '--token-stdin'], { input: `${ALICE}\n` }), {
    status: 0,
    stderr: /as alice/,
  })
  const file = join(person.home, 'token')
  await writeFile(file, ALICE)
  const fromFile = await person.berth([
    'login',
    api.url,
    '--token-file',
    file,
    '--name',
    'work',
    '-o',
    'json',
  ])
  t.match(JSON.parse(fromFile.stdout), { context: 'work', url: api.url, username: 'alice' })
  t.notOk(fromFile.stdout.includes(ALICE))
  t.match(await person.berth(['logout']), { status: 0, stderr: /stays valid/ })
  t.ok(api.tokens.has(ALICE))
})

test('a wrong password or token is refused and nothing is saved', async (t) => {
  const api = await startApiServer(t)
  const person = await newPerson(t)
  const wrong = await person.berth(['login', api.url, '-u', 'alice', '--password-stdin'], { input: 'wrong' })
  t.match(wrong, { status: 3, stdout: '', stderr: /User name or password is wrong/ })
  t.match(
    wrong.stderr,
    `berth login ${api.url} --username alice --password-stdin --token-file ${person.home}/data/admin-token\n`,
  )
  t.notMatch(wrong.stderr, /revoked/)
  const unknown = await person.berth(['login', api.url, '--token-stdin'], { input: 'nonsense' })
  t.match(unknown, { status: 3, stderr: `berth: ${api.url} does not know that token\n` })
  t.match(await person.berth(['login', api.url, '--token-stdin'], { input: 'two words' }), {
    status: 2,
    stderr: /that is no token/,
  })
  await t.rejects(saved(person), { code: 'ENOENT' })
})

test('a login over plain http to elsewhere is warned of, and one that waits for its input can be interrupted', async (t) => {
  const person = await newPerson(t)
  const args = ['login', 'http://192.0.2.1', '-u', 'alice', '--password-stdin']
  const command = person.start(args, { input: null })
  await command.says('http://192.0.2.1 is not encrypted')
  command.signal('SIGINT')
  t.match(await command.ended, { status: 130, stdout: '' })
})

test('without a terminal login says what to give it', async (t) => {
  const person = await newPerson(t)
  t.match(await person.berth(['login', '127.0.0.1:9999']), {
    status: 2,
    stderr: /--username NAME --password-stdin, or --token-stdin/,
  })
})

const BAD_URLS = [
  'ftp://example.com',
  'https://example.com/path',
  'https://user:secret@example.com',
  'https://exa mple.com',
  'http://',
]

for (const url of BAD_URLS) {
  test(`${url} is refused as the address of a server`, async (t) => {
    const person = await newPerson(t)
    const { status, stderr } = await person.berth(['login', url, '--token-stdin'], { input: 'x' })
    t.equal(status, 2)
    t.notOk(stderr.includes('secret') && !stderr.includes(url), stderr)
  })
}

test('the first administrator is made with the install admin token from a file', async (t) => {
  const api = await startApiServer(t)
  api.initialized = false
  api.users.clear()
  const person = await newPerson(t)
  const file = join(person.home, 'admin-token')
  await writeFile(file, `${ADMIN_TOKEN}\n`)
  const args = ['login', api.url, '--token-file', file, '--username', 'root', '--password-stdin']
  t.match(await person.berth(args, { input: 'short' }), { status: 2, stderr: /at least 12 characters/ })
  t.match(await person.berth(args, { input: PASSWORD }), {
    status: 0,
    stderr: /root is the first administrator\.\nSigned in/,
  })
  t.equal(api.users.get('root')?.password, PASSWORD)
  t.match(await person.berth(args, { input: PASSWORD }), { status: 3, stderr: /for recovering access only/ })
})

test('a script on the same machine makes the first administrator, too', async (t) => {
  const api = await startApiServer(t)
  api.initialized = false
  api.users.clear()
  const person = await newPerson(t)
  await mkdir(join(person.home, 'data'))
  await writeFile(join(person.home, 'data/admin-token'), ADMIN_TOKEN)
  const login = () => person.berth(['login', api.url, '-u', 'root', '--password-stdin'], { input: PASSWORD })
  t.match(await login(), { status: 0, stderr: /root is the first administrator\.\nSigned in/ })
  t.equal(api.users.get('root')?.password, PASSWORD)
  t.match(await login(), { status: 0, stderr: `Signed in to ${api.url} as root.\n` }, 'and later signs in')
})

test('on a terminal, a server on this machine without users is offered to be set up; no password is echoed', async (t) => {
  const api = await startApiServer(t)
  api.initialized = false
  api.users.clear()
  const person = await newPerson(t)
  await mkdir(join(person.home, 'data'))
  await writeFile(join(person.home, 'data/admin-token'), ADMIN_TOKEN)
  const terminal = person.terminal(['login', api.url])
  await terminal.shows('User name of the first administrator:')
  terminal.type('\r')
  await terminal.shows('New password of admin')
  terminal.type(`${PASSWORD}x\u007F\r`)
  await terminal.shows('The same again:')
  terminal.type(`nonsense\u0015${PASSWORD}\r`)
  const { status, shown } = await terminal.ended
  t.equal(status, 0, shown)
  t.match(shown, /as admin\./)
  t.notOk(shown.includes(PASSWORD.slice(0, 5)), 'nothing of the password is shown')
  t.equal(api.users.get('admin')?.password, PASSWORD)
})

test('on a terminal, user name and password are asked for; Ctrl-C ends it and puts the terminal right', async (t) => {
  const api = await startApiServer(t)
  const person = await newPerson(t)
  const terminal = person.terminal(['login', api.url])
  await terminal.shows(`User name on ${api.url}:`)
  terminal.type('alice\r')
  await terminal.shows('Password:')
  terminal.type('half a pass\u0003')
  t.match(await terminal.ended, { status: 130 })
  t.notOk((await terminal.ended).shown.includes('half a pass'))
  const again = person.terminal(['login', api.url])
  await again.shows(`User name on ${api.url}:`)
  again.type('alice\r')
  await again.shows('Password:')
  again.type(`${PASSWORD}\r`)
  t.equal((await again.ended).status, 0)
})

test('several servers are kept apart, and a token only goes to its own', async (t) => {
  const [one, two] = [await startApiServer(t), await startApiServer(t)]
  const person = await newPerson(t)
  await person.berth(['login', one.url, '--name', 'one', '-u', 'alice', '--password-stdin'], {
    input: PASSWORD,
  })
  await person.berth(['login', two.url, '--name', 'two', '-u', 'alice', '--password-stdin'], {
    input: PASSWORD,
  })
  t.match((await person.berth(['whoami', '-o', 'json'])).stdout, two.url)
  t.match((await person.berth(['whoami', '--context', 'one'])).stdout, one.url)
  t.match((await person.berth(['whoami'], { environment: { BERTH_CONTEXT: 'one' } })).stdout, one.url)
  t.equal((await person.berth(['contexts', 'use', 'one'])).status, 0)
  t.match((await person.berth(['whoami'])).stdout, one.url)
  const listed = JSON.parse((await person.berth(['contexts', '-o', 'json'])).stdout)
  t.match(listed, [
    { name: 'one', current: true },
    { name: 'two', current: false },
  ])
  t.notOk(JSON.stringify(listed).includes('berth_token'))
  t.match(await person.berth(['whoami', '--context', 'three']), {
    status: 2,
    stderr: /no saved login three\n {2}Known: one, two/,
  })

  const before = two.requests.length
  t.match(
    (await person.berth(['whoami'], { environment: { BERTH_URL: two.url } })).stdout,
    two.url,
    'its own saved login is found',
  )
  const third = await startApiServer(t)
  t.match(await person.berth(['whoami'], { environment: { BERTH_URL: third.url } }), {
    status: 3,
    stderr: /not signed in to/,
  })
  t.equal(third.requests.length, 0)
  t.ok(
    two.requests.slice(before).every(({ headers }) => two.tokens.has((headers.authorization ?? '').slice(7))),
  )

  t.equal((await person.berth(['contexts', 'rm', 'two'])).status, 0)
  t.match(await person.berth(['contexts', 'rm', 'two']), { status: 2 })
})

test('BERTH_URL and BERTH_TOKEN need no saved login, and nothing is written', async (t) => {
  const api = await startApiServer(t)
  const person = await newPerson(t, { BERTH_URL: api.url, BERTH_TOKEN: ALICE })
  t.match(await person.berth(['whoami']), { status: 0, stdout: /alice/ })
  await t.rejects(saved(person), { code: 'ENOENT' })
})

test('a redirect is not followed, so that a token stays where it belongs', async (t) => {
  const [api, other] = [await startApiServer(t), await startApiServer(t)]
  api.on('GET /v1/me', (_, response) => response.writeHead(302, { location: `${other.url}/v1/me` }).end())
  const person = await newPerson(t, { BERTH_URL: api.url, BERTH_TOKEN: ALICE })
  t.match(await person.berth(['whoami']), { status: 1, stderr: /redirects to .*: use that address/ })
  t.equal(other.requests.length, 0)
})

test('a file of logins that others may read is warned of; a broken one is named', async (t) => {
  const api = await startApiServer(t)
  const person = await newPerson(t)
  const file = join(person.home, '.config/berth/config.json')
  await mkdir(join(person.home, '.config/berth'), { recursive: true })
  await writeFile(file, JSON.stringify({ format: 1, contexts: { a: { url: api.url, token: ALICE } } }), {
    mode: 0o644,
  })
  t.match(await person.berth(['whoami']), { status: 0, stderr: /others may read it/ })
  await writeFile(file, '{')
  t.match(await person.berth(['whoami']), { status: 1, stderr: /config\.json is not valid JSON/ })
})

test('what only a session may do asks for the password at a terminal, and says so without one', async (t) => {
  const api = await startApiServer(t)
  const person = await newPerson(t, { BERTH_URL: api.url, BERTH_TOKEN: ALICE })
  const refused = await person.berth(['users', 'create', 'bob', '--password-stdin'], {
    input: 'a good long password',
  })
  t.match(refused, { status: 3, stderr: /berth login --session/ })
  const terminal = person.terminal(['users', 'create', 'bob'])
  await terminal.shows('New password of bob')
  terminal.type('a good long password\r')
  await terminal.shows('The same again:')
  terminal.type('a good long password\r')
  await terminal.shows('Password of alice:')
  terminal.type(`${PASSWORD}\r`)
  const { status, shown } = await terminal.ended
  t.equal(status, 0, shown)
  t.equal(api.users.get('bob')?.password, 'a good long password')
  t.notOk(
    [...api.tokens.values()].some(({ kind }) => kind === 'session'),
    'the session is over again',
  )
})

test('too many logins are told with the time to wait', async (t) => {
  const api = await startApiServer(t)
  api.on('POST /v1/auth/login', (_, response) => {
    response.setHeader('retry-after', '600')
    refuse(response, 429, 'RATE_LIMITED', 'Too many requests; try again later.')
  })
  const person = await newPerson(t)
  const result = await person.berth(['login', api.url, '-u', 'alice', '--password-stdin'], {
    input: PASSWORD,
  })
  t.match(result, { status: 7, stderr: /Try again in 600 s/ })
})
