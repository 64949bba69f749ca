import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import { packArchive } from '../../src/lib/archive-pack.ts'
import { createSystem } from '../../src/lib/system.ts'
import { normalizeInstant } from '../../src/modules/logs/output-place.ts'
import { createServiceLogs } from '../../src/modules/logs/service-logs.ts'
import type { RuntimeVerb } from '../../src/runtime/fake-faults.ts'
import { ALICE, answer, type ApiServer, refuse, sendEvents, startApiServer } from '../support/api-server.ts'
import { newPerson, type Person, type Result, wrongClock } from '../support/berth-command.ts'
import { openCliDaemon } from '../support/cli-daemon.ts'
import { addVolume } from '../support/world.ts'

async function set(t: Test): Promise<{ api: ApiServer; person: Person; id: string }> {
  const api = await startApiServer(t)
  const person = await newPerson(t, { BERTH_URL: api.url, BERTH_TOKEN: ALICE })
  await person.berth([
    'api',
    'POST',
    '/v1/services',
    '-d',
    JSON.stringify({ name: 'web', project_id: api.projects[0]?.['id'] }),
  ])
  return { api, person, id: String(api.services[0]?.['id']) }
}

test('ps shows a table for people and an array for programs', async (t) => {
  const { api, person } = await set(t)
  Object.assign(api.services[0] ?? {}, { status: 'Running' })
  t.equal(
    (await person.berth(['ps'])).stdout,
    'PROJECT   SERVICE   STATUS    REPLICAS   URL\ndefault   web       Running   1/1        http://web.default.localhost/\n',
  )
  t.match(JSON.parse((await person.berth(['ps', '-o', 'json'])).stdout), [
    { name: 'web', status: 'Running', healthy_replicas: 1 },
  ])
  t.match(await person.berth(['ps', '--project', 'nope']), {
    status: 4,
    stderr: /no project nope .*\n {2}There is: default/,
  })
  const { shown } = await person.terminal(['ps']).ended
  t.match(shown, '\u001B[32mRunning\u001B[39m')
})

test('a list of several pages is shown whole', async (t) => {
  const { api, person } = await set(t)
  api.on('GET /v1/workloads', ({ query }, response) => {
    const page = Number(query.get('cursor') ?? 0)
    const link = page < 2 ? { link: `</v1/workloads?limit=1000&cursor=${page + 1}>; rel="next"` } : {}
    answer(
      response,
      200,
      [{ name: `s${page}`, project_name: 'p', status: 'New', replicas: 1, healthy_replicas: 0 }],
      link,
    )
  })
  t.match(JSON.parse((await person.berth(['ps', '-o', 'json'])).stdout), [
    { name: 's0' },
    { name: 's1' },
    { name: 's2' },
  ])
})

test('a service is found by name, by project and name, or by id, and an ambiguous name is refused', async (t) => {
  const { api, person, id } = await set(t)
  for (const name of ['web', 'default/web', id])
    t.match(await person.berth(['open', name]), { status: 0, stdout: /web/ }, name)
  t.match(await person.berth(['open', 'nope']), { status: 4, stderr: /no service nope/ })
  t.match(await person.berth(['open', 'other/web']), { status: 4, stderr: /no project other/ })
  t.match(await person.berth(['open']), { status: 2, stderr: /no berth.toml/ })
  await person.berth(['projects', 'create', 'shop'])
  await person.berth([
    'api',
    '/v1/services',
    '-d',
    JSON.stringify({ name: 'web', project_id: api.projects[0]?.['id'] }),
  ])
  t.match(await person.berth(['open', 'web']), {
    status: 2,
    stderr: /several projects have a service web: say which\n {2}shop\/web\n {2}default\/web/,
  })
  t.match(await person.berth(['open', 'web', '--project', 'shop']), { status: 0 })
})

test('services rm asks at a terminal and wants --yes elsewhere', async (t) => {
  const { api, person } = await set(t)
  t.match(await person.berth(['services', 'rm', 'web']), { status: 2, stderr: /add --yes/ })
  const terminal = person.terminal(['services', 'rm', 'web'])
  await terminal.shows('for good? [y/N]')
  terminal.type('n\r')
  t.match(await terminal.ended, { status: 1, shown: /nothing was removed/ })
  t.equal(api.services.length, 1)
  t.match(await person.berth(['services', 'rm', 'web', '--yes']), { status: 0 })
  t.equal(api.services.length, 0)
})

test('releases say what each deployment deploys, requests which one answered, and ps why there is none', async (t) => {
  const { api, person, id } = await set(t)
  const made = (number: number, source: object, more: object = {}) => ({
    id: `aaaaaaaa-0000-7000-8000-00000000000${number}`,
    service_id: id,
    number,
    status: 'Inactive',
    created_at: '2026-11-21T08:00:00.000Z',
    source,
    ...more,
  })
  const commit = { sha: '0123456789abcdef', ref: 'main' }
  api.deployments.push(
    made(6, { type: 'upload' }, { canary_percent: 10 }),
    made(5, { type: 'rollback', number: 1 }),
    made(4, { type: 'redeploy', number: 3 }),
    made(3, { type: 'external_image', image: 'nginx:1.27' }),
    made(2, { type: 'git', git_ref: null }, { commit }),
    made(1, { type: 'upload' }),
  )
  const { stdout } = await person.berth(['releases', 'web'])
  const shown = [
    'canary 10 %: upload',
    'back to 1',
    '3 once more',
    'nginx:1.27',
    'git main 0123456789',
    'upload',
  ]
  for (const [index, what] of shown.entries())
    t.match(stdout.split('\n')[index + 1], new RegExp(`^${6 - index} +Inactive +${what} +2026`))
  const entry = {
    ts: 'x',
    status: 200,
    method: 'GET',
    hostname: 'h',
    path: '/',
    duration_ms: 1,
    client_address: 'c',
  }
  const gone = 'aaaaaaaa-0000-7000-8000-000000000009'
  api.on(`GET /v1/services/${id}/requests`, ({ query }, response) => {
    const asked = query.get('deployment_id')
    const ids = asked === null ? [gone, null, api.deployments[1]?.['id']] : [asked]
    answer(
      response,
      200,
      ids.map((deployment_id) => Object.assign({ deployment_id }, entry)),
    )
  })
  const ends = async (...args: string[]) =>
    (await person.berth(['requests', 'web', ...args])).stdout.match(/\S+$/gm)
  t.same(await ends(), ['#5', '-', gone])
  t.same(await ends('--deployment', '3'), ['#3'])
  api.on('GET /v1/workloads', (_, response) =>
    answer(response, 200, [
      {
        name: 'web',
        project_name: 'p',
        status: 'New',
        status_reason: 'Deployment 1 failed: x',
        replicas: 1,
        healthy_replicas: 0,
        url: null,
      },
    ]),
  )
  t.match(await person.berth(['ps']), { stdout: /New +0\/1 +-$/m, stderr: 'web: Deployment 1 failed: x\n' })
})

test('services rm names the option for volumes', async (t) => {
  const { api, person, id } = await set(t)
  api.on(`DELETE /v1/services/${id}`, (_, response) =>
    refuse(response, 409, 'NOT_EMPTY', 'add delete_volumes=true', { details: [{ message: 'volume data' }] }),
  )
  const { stderr } = await person.berth(['services', 'rm', 'web', '--yes'])
  t.match(stderr, /web has volumes: .* add --volumes\n {2}volume data\n/)
  t.notMatch(stderr, 'delete_volumes')
})

test('services show tells everything', async (t) => {
  const { person } = await set(t)
  t.match((await person.berth(['services', 'show', 'web'])).stdout, /^name +web$/m)
  t.match(JSON.parse((await person.berth(['services', 'show', 'web', '-o', 'json'])).stdout), {
    name: 'web',
    replicas: 1,
  })
})

test('logs prints the lines, with replica and time where wanted, and JSON lines for programs', async (t) => {
  const { api, person, id } = await set(t)
  api.on(`GET /v1/services/${id}/logs`, ({ query }, response) => {
    t.equal(query.get('tail'), '100')
    answer(response, 200, [
      {
        seq: 1,
        ts: '2026-11-21T08:00:00Z',
        stream: 'stdout',
        replica: 0,
        line: 'one \u001B[31mred\u001B[0m',
      },
      { seq: 2, ts: '2026-11-21T08:00:01Z', stream: 'stderr', replica: 1, line: 'two' },
    ])
  })
  t.equal((await person.berth(['logs', 'web'])).stdout, 'one red\ntwo\n')
  Object.assign(api.services[0] ?? {}, { replicas: 2 })
  t.equal(
    (await person.berth(['logs', 'web', '-t'])).stdout,
    '2026-11-21T08:00:00Z [0] one red\n2026-11-21T08:00:01Z [1] two\n',
  )
  const lines = (await person.berth(['logs', 'web', '-o', 'json'])).stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.match(lines, [{ seq: 1, line: 'one \u001B[31mred\u001B[0m' }, { seq: 2 }])
})

test('logs since a time ago asks for that instant', async (t) => {
  const { api, person, id } = await set(t)
  api.on(`GET /v1/services/${id}/logs`, ({ query }, response) =>
    answer(response, 200, [{ line: query.get('since') }, { line: String(query.get('tail')) }]),
  )
  const [since = '', tail] = (await person.berth(['logs', 'web', '--since', '10m'])).stdout.split('\n')
  t.ok(Math.abs(Date.now() - 600_000 - Date.parse(since)) < 120_000, since)
  t.equal(tail, '10000')
  t.match(await person.berth(['logs', 'web', '--since', 'yesterday']), { status: 2 })
})

test('logs shows all that was asked for, over pages and whatever the clock says', async (t) => {
  const { app, person, token } = await openCliDaemon(t)
  const id = String((await app.must(token, 'POST', '/v1/services', { name: 'web' })).body['id'])
  const onError = (error: unknown): void => void t.fail(String(error))
  const written = createServiceLogs({
    dataDir: app.dataDir,
    system: createSystem(),
    maxBytes: 64 * 1024 ** 2,
    onError,
  })
  const log = await written.open(id)
  // More than the command keeps: pages end after 4 MiB.
  const count = 290
  const origin = { deployment_id: 'd', replica: 0 }
  const filling = 'x'.repeat(60_000)
  for (let number = 1; number <= count; number += 1) {
    const ts = normalizeInstant(new Date(Date.now() - 3_600_000 + number).toISOString())
    await log?.append(origin, { stream: 'stdout', ts, line: `${number} ${filling}` })
  }
  await written.closeAll()
  const numbers = ({ stdout }: Result) =>
    stdout
      .trim()
      .split('\n')
      .map((line) => Number.parseInt(line, 10))
  const upTo = (last: number, length: number) =>
    Array.from({ length }, (_, index) => last - length + 1 + index)
  const since = await person.berth(['logs', 'web', '--since', '2h'], { environment: wrongClock(86_400_000) })
  t.equal(since.status, 0)
  t.match(since.stderr, /^warning: the clock of this machine is 24 h 0 min ahead of that .*\n$/)
  t.same(numbers(since), upTo(count, count))
  t.same(numbers(await person.berth(['logs', 'web', '-n', '100'])), upTo(count, 100))
  t.match(await person.berth(['logs', 'web', '-f', '-n', '10500']), {
    status: 2,
    stderr: /10000 lines at most/,
  })
})

test('logs -f goes on over a cut until it is interrupted', async (t) => {
  const { api, person, id } = await set(t)
  api.on(`GET /v1/services/${id}/logs/stream`, ({ headers, query }, response) => {
    if (headers['last-event-id'] === undefined) {
      t.equal(query.get('tail'), '7')
      sendEvents(response, [{ id: 1, data: { line: 'one' } }])
      setImmediate(() => response.destroy())
    } else {
      t.equal(headers['last-event-id'], '1')
      sendEvents(response, [
        { id: 2, data: { line: 'two' } },
        { event: 'lost', data: { lost: 5 } },
      ])
    }
  })
  const command = person.start(['logs', 'web', '-f', '-n', '7'])
  await command.says('5 lines were left out')
  command.signal('SIGINT')
  t.match(await command.ended, {
    status: 130,
    stdout: 'one\ntwo\n',
    stderr: /left out: they came too fast\n$/,
  })
})

test('logs into a pipe that is closed ends quietly', async (t) => {
  const { api, person, id } = await set(t)
  api.on(`GET /v1/services/${id}/logs/stream`, (_, response) => {
    const line = 'x'.repeat(1000)
    const more = (): void => {
      while (response.write(`data: {"line":"${line}"}\n\n`));
      response.once('drain', more)
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    more()
  })
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const child = spawn(process.execPath, [main, 'logs', 'web', '-f'], {
    env: person.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  await once(child.stdout, 'data')
  child.stdout.destroy()
  const [status] = await once(child, 'close')
  t.equal(status, 141)
  t.equal(stderr, '')
})

test('the log of a deployment is shown by its id', async (t) => {
  const { api, person } = await set(t)
  const id = 'aaaaaaaa-0000-7000-8000-000000000000'
  api.on(`GET /v1/deployments/${id}/logs`, (_, response) =>
    answer(response, 200, [{ seq: 1, stream: 'status', line: 'fetching' }]),
  )
  t.match(await person.berth(['logs', '--deployment', id]), { status: 0, stdout: 'fetching\n' })
  t.match(await person.berth(['logs', '--deployment', 'x']), { status: 2 })
  t.match(await person.berth(['logs', 'web', '--deployment', id]), { status: 2 })
  t.match(await person.berth(['logs', '--deployment', id, '--tail', '3']), { status: 2 })
})

test('cancel takes the deployment of an id, or the one of a service that is under way', async (t) => {
  const { api, person, id } = await set(t)
  const deployment = (number: number, status: string) => ({
    id: `aaaaaaaa-0000-7000-8000-00000000000${number}`,
    service_id: id,
    number,
    status,
  })
  api.deployments.push(deployment(3, 'Pending'), deployment(2, 'Building'), deployment(1, 'Healthy'))
  t.match(await person.berth(['cancel', 'web']), { status: 0, stderr: /Deployment 2 is being cancelled/ })
  t.match(await person.berth(['cancel', String(api.deployments[0]?.['id'])]), {
    status: 0,
    stderr: /Deployment 3/,
  })
  t.match(await person.berth(['cancel', 'web']), { status: 5, stderr: /no deployment of web is under way/ })
  api.on(`POST /v1/deployments/${String(api.deployments[2]?.['id'])}/cancel`, (_, response) =>
    refuse(response, 409, 'DEPLOYMENT_OVER', 'The deployment is over already.'),
  )
  t.match(await person.berth(['cancel', String(api.deployments[2]?.['id'])]), {
    status: 5,
    stderr: /over already/,
  })
})

test('tokens are made with limits, shown once, and revoked by name', async (t) => {
  const { api, person } = await set(t)
  const made = await person.berth([
    'tokens',
    'create',
    'ci',
    '--project',
    'default',
    '--permission',
    'logs.read',
    '--expires',
    '30d',
  ])
  t.match(made.stdout, /^berth_token_[\w-]+\n$/)
  const request = api.requests.findLast(({ path }) => path === '/v1/api-tokens')
  t.match(request?.body, { name: 'ci', permissions: ['logs.read'], project_ids: [api.projects[0]?.['id']] })
  const { expires_at: expiresAt } = Object(request?.body) as { expires_at: string }
  const expires = Date.parse(expiresAt)
  t.ok(Math.abs(expires - Date.now() - 30 * 86_400_000) < 120_000)
  t.match(await person.berth(['tokens', 'rm', 'nope']), { status: 4 })
  t.match(await person.berth(['tokens', 'rm', 'ci']), { status: 0 })
  t.notOk(api.tokens.has(made.stdout.trim()))
})

test('a backup has its name once it is whole, and nothing stays of one that was interrupted', async (t) => {
  const { api, person, id } = await set(t)
  const path = `/v1/services/${id}/volumes/data/backup`
  api.on(`GET ${path}`, (_, response) => void response.writeHead(200).write('half of it'))
  const backup = ['volumes', 'backup', 'web', 'data', 'db.tar']
  const running = person.start(backup)
  const part = join(person.home, 'db.tar.part')
  while (!existsSync(part) || readFileSync(part, 'utf8') === '') await setTimeout(20)
  t.notOk(existsSync(join(person.home, 'db.tar')))
  running.signal('SIGINT')
  t.match(await running.ended, { status: 130 })
  t.same(readdirSync(person.home), [])
  api.on(`GET ${path}`, (_, response) => void response.writeHead(200).end('all of it'))
  t.match(await person.berth(backup), { status: 0 })
  t.same(readdirSync(person.home), ['db.tar'])
  t.equal(readFileSync(join(person.home, 'db.tar'), 'utf8'), 'all of it')
  t.match(await person.berth(backup), { status: 1, stderr: /db\.tar exists already/ })
  rmSync(join(person.home, 'db.tar'))
  writeFileSync(part, 'half of it', { mode: 0o600 })
  t.match(await person.berth(backup), { status: 1, stderr: /db\.tar\.part exists already/ })
  const long = new Date(Date.now() - 3_600_000)
  chmodSync(part, 0o644)
  utimesSync(part, long, long)
  t.match(
    await person.berth(backup),
    { status: 1, stderr: /db\.tar\.part exists already/ },
    'not as we make it',
  )
  chmodSync(part, 0o600)
  t.match(await person.berth(backup), { status: 0 }, 'nobody has been writing it for long')
  t.same(readdirSync(person.home), ['db.tar'])
})

test('what a file does not take of the output is an error, and nothing of a backup goes to a terminal', async (t) => {
  const { api, person, id } = await set(t)
  const path = `/v1/services/${id}/volumes/data/backup`
  api.on(`GET ${path}`, (_, response) => void response.writeHead(200).end('all of it'))
  api.on(`GET /v1/services/${id}/logs`, (_, response) =>
    answer(response, 200, [{ seq: 1, line: 'a long line' }]),
  )
  const backup = ['volumes', 'backup', 'web', 'data']
  const file = join(person.home, 'output')
  const limit = 4 * 1024 ** 2
  for (const args of [['--help'], ['ps', '-o', 'json'], ['logs', 'web'], backup]) {
    writeFileSync(file, Buffer.alloc(limit - 5))
    const { status, stderr } = await intoFile(t, person, args, file, limit)
    t.equal(status, 1, args.join(' '))
    t.match(stderr, 'cannot write standard output: the file would become larger than it may')
    t.equal(statSync(file).size, limit, 'what had room is there')
  }
  t.match(await intoFile(t, person, backup, '/dev/full', limit), {
    status: 1,
    stderr: 'berth: cannot write standard output: the disk is full',
  })
  writeFileSync(file, '')
  t.match(await intoFile(t, person, backup, file, limit), { status: 0, stderr: '' })
  t.equal(readFileSync(file, 'utf8'), 'all of it')
  const shown = await person.terminal(backup, { environment: { NO_COLOR: '1' } }).ended
  t.match(shown, { status: 2, shown: /^berth: name a FILE/ })
})

/** Runs a command with its output behind what is in a file, which may not grow beyond `limit` bytes. */
async function intoFile(t: Test, person: Person, args: readonly string[], file: string, limit: number) {
  const output = openSync(file, 'a')
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const child = spawn('prlimit', [`--fsize=${limit}`, process.execPath, main, ...args], {
    env: person.environment,
    stdio: ['ignore', output, 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  closeSync(output)
  const [stderr, [status]] = await Promise.all([text(child.stderr as Readable), once(child, 'close')])
  return { status: status as number | null, stderr }
}

test('a restore from a file that cannot be read says so before it asks', async (t) => {
  const { api, person } = await set(t)
  const asked = api.requests.length
  const restore = (file: string) => person.terminal(['volumes', 'restore', 'web', 'data', file]).ended
  t.match(await restore('nope.tar'), { status: 2, shown: /cannot read .*nope\.tar/ })
  await mkdir(join(person.home, 'folder.tar'))
  t.match(await restore('folder.tar'), { status: 2, shown: /is a folder/ })
  t.equal(api.requests.length, asked)
})

test('Ctrl-C during a restore says what became of the volume, and the server restores nothing', async (t) => {
  const { app, person, token } = await openCliDaemon(t)
  const made = await app.must(token, 'POST', '/v1/services', { name: 'db' })
  const id = String(made.body['id'])
  await addVolume(app, token, id)
  const events = async () =>
    (await app.must(token, 'GET', '/v1/audit-events?action=restoreVolume')).list.map(
      (each) => each['outcome'],
    )
  const connections = promisify(app.server.server.getConnections.bind(app.server.server))
  const done = await events()
  const archive = await buffer(
    packArchive([{ kind: 'file', name: 'x', mode: 0o644, content: Buffer.from('x') }]),
  )
  const file = join(person.home, 'db.tar')
  writeFileSync(file, archive)
  // Much more than connections hold.
  const large = join(person.home, 'large.tar')
  writeFileSync(large, archive)
  truncateSync(large, 512 * 1024 ** 2)
  const cases: [RuntimeVerb, string, RegExp][] = [
    ['writeVolume', large, /^berth: interrupted\n {2}Nothing was changed\.\n$/],
    [
      'setVolumeRoot',
      file,
      /^berth: interrupted\n {2}All of the archive was sent: .*\n {2}SINCE in berth volumes ls/,
    ],
  ]
  for (const [verb, from, says] of cases) {
    const reached = Promise.withResolvers<void>()
    const held = Promise.withResolvers<void>()
    const free = app.controls.before(verb, () => (reached.resolve(), held.promise))
    const running = person.start(['volumes', 'restore', 'db', 'data', from, '--yes'])
    await reached.promise
    running.signal('SIGINT')
    t.match(await running.ended, { status: 130, stdout: '', stderr: says })
    // The connection of the first is not read from, and so not seen to be closed.
    if (from === file) while ((await connections()) > 0) await setTimeout(20)
    free()
    held.resolve()
    t.same(await events(), done, verb)
  }
  const restore = ['volumes', 'restore', 'db', 'data', file, '--yes']
  for (let status: number | null = 5; status === 5;) ({ status } = await person.berth(restore))
  t.same(await events(), [...done, 'done'], 'only the one that was not interrupted')
})

test('api sends what it is told to, and prints the answer', async (t) => {
  const { api, person } = await set(t)
  t.match(JSON.parse((await person.berth(['api', '/v1/me'])).stdout), { principal: { username: 'alice' } })
  api.on('PUT /v1/echo', ({ body, query, headers }, response) =>
    answer(response, 200, { body, query: [...query], match: headers['if-match'] }),
  )
  const sent = await person.berth(
    ['api', 'put', '/v1/echo?a=1', '--query', 'b=2', '-H', 'If-Match: "3"', '-d', '-'],
    { input: '{"x":[1]}' },
  )
  t.same(JSON.parse(sent.stdout), {
    body: { x: [1] },
    query: [
      ['a', '1'],
      ['b', '2'],
    ],
    match: '"3"',
  })
  t.match(await person.berth(['api', 'GET', '/v1/nope']), { status: 4, stdout: '' })
  api.on('GET /v1/text', (_, response) =>
    response.writeHead(200, { 'content-type': 'text/plain' }).end('a\u001B[2Jb'),
  )
  t.equal((await person.berth(['api', '/v1/text'])).stdout, 'a\u001B[2Jb', 'bytes for a program')
  t.match((await person.terminal(['api', '/v1/text']).ended).shown, 'a^[[2Jb')
  const before = api.requests.length
  const bad = [
    ['GET', 'v1/me'],
    ['FETCH', '/v1/me'],
    ['POST', '/v1/me', '-d', '{'],
    ['/v1/me', '-H', 'a b: c'],
    ['/v1/me', '--query', 'x'],
  ]
  for (const args of bad) t.equal((await person.berth(['api', ...args])).status, 2, args.join(' '))
  t.match(await person.berth(['api', '//example.com/v1/me']), { status: 4 }, 'it is a path of this server')
  t.match(await person.berth(['api', '/@example.com/v1/me']), { status: 4 })
  t.equal(api.requests.length, before + 2)
})

test('refusals are told with their details, the missing permission, and the request id of a failure', async (t) => {
  const { api, person } = await set(t)
  api.on(
    'POST /v1/projects',
    (_, response) =>
      refuse(response, 400, 'VALIDATION_ERROR', 'The request is not valid; see details.', {
        details: [{ field: 'name', message: 'is \u001B[2Jodd' }],
      }),
    1,
  )
  t.match(await person.berth(['projects', 'create', 'X']), {
    status: 1,
    stderr: 'berth: The request is not valid; see details.\n  name: is ^[[2Jodd\n',
  })
  api.on(
    'POST /v1/projects',
    (_, response) =>
      refuse(response, 403, 'FORBIDDEN', 'You do not have the permission.', { permission: 'projects.write' }),
    1,
  )
  t.match(await person.berth(['projects', 'create', 'x']), {
    status: 3,
    stderr: /The missing permission is projects\.write/,
  })
  api.on('POST /v1/projects', (_, response) => refuse(response, 500, 'INTERNAL', 'Something went wrong.'), 1)
  t.match(await person.berth(['projects', 'create', 'x']), {
    status: 1,
    stderr: /request id, for the server's log: req-1/,
  })
  api.on('POST /v1/projects', (_, response) => refuse(response, 409, 'NAME_TAKEN', 'That name is taken.'), 1)
  const json = await person.berth(['projects', 'create', 'x', '-o', 'json'])
  t.equal(json.status, 5)
  t.match(JSON.parse(json.stderr), {
    error: 'NAME_TAKEN',
    status: 409,
    message: 'That name is taken.',
    request_id: 'req-1',
    exit_status: 5,
  })
  api.on('GET /v1/me', (_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
  )
  t.match(await person.berth(['whoami']), { status: 1, stderr: /instead of JSON: is that a Berth server\?/ })
  api.on('GET /v1/me', (_, response) => response.writeHead(502).end('bad gateway'))
  t.match(await person.berth(['whoami']), {
    status: 7,
    stderr: /answered 502, and not as a Berth server does/,
  })
  t.match(await person.berth(['ps'], { environment: { BERTH_TOKEN: 'revoked' } }), {
    status: 3,
    stderr: /Sign in again: berth login/,
  })
})

test('audit lists, exports and verifies', async (t) => {
  const { api, person } = await set(t)
  api.on('GET /v1/audit-events', ({ query }, response) =>
    answer(response, 200, [
      {
        at: '2026-11-21T08:00:00.000Z',
        actor_name: query.get('actor'),
        action: 'createService',
        outcome: 'done',
        resource_kind: 'service',
        resource_id: '1',
      },
    ]),
  )
  t.match(
    (await person.berth(['audit', 'ls', '--actor', 'alice'])).stdout,
    /alice +createService +done +service 1/,
  )
  api.on('GET /v1/audit-events/export', (_, response) =>
    response.writeHead(200, { 'content-type': 'application/x-ndjson' }).end('{"a":1}\n{"count":1}\n'),
  )
  t.equal((await person.berth(['audit', 'export'])).stdout, '{"a":1}\n{"count":1}\n')
  api.on(
    'POST /v1/audit-events/verify',
    (_, response) => answer(response, 200, { chain_ok: true, events: 12 }),
    1,
  )
  t.match(await person.berth(['audit', 'verify']), { status: 0, stdout: 'The chain holds: 12 events.\n' })
  api.on('POST /v1/audit-events/verify', (_, response) =>
    answer(response, 200, { chain_ok: false, broken_at: 7, reason: 'hash' }),
  )
  t.match(await person.berth(['audit', 'verify']), { status: 1, stderr: /chain is broken at event 7: hash/ })
})

test('members are named by user and role', async (t) => {
  const { api, person } = await set(t)
  const projectId = String(api.projects[0]?.['id'])
  const path = `/v1/projects/${projectId}/members`
  api.on('GET /v1/users/directory', (_, response) => answer(response, 200, [{ id: 'u1', username: 'bob' }]))
  api.on('GET /v1/roles', (_, response) =>
    answer(response, 200, [
      { id: 'operator', name: 'operator' },
      { id: 'r1', name: 'tester' },
    ]),
  )
  api.on(`POST ${path}`, ({ body }, response) => answer(response, 201, body))
  api.on(`GET ${path}`, (_, response) =>
    answer(response, 200, [
      { user_id: 'u1', username: 'bob', role: 'r1', role_name: 'tester', created_at: 'x' },
    ]),
  )
  api.on(`DELETE ${path}/u1`, (_, response) => answer(response, 204))
  t.match(await person.berth(['members', 'add', 'bob', '--role', 'tester', '--project', 'default']), {
    status: 0,
    stderr: /bob is tester in default/,
  })
  t.same(api.requests.findLast(({ method }) => method === 'POST')?.body, { user_id: 'u1', role: 'r1' })
  t.match(await person.berth(['members', 'add', 'eve', '--role', 'tester', '-p', 'default']), { status: 4 })
  t.match(await person.berth(['members', 'add', 'bob', '--role', 'boss', '-p', 'default']), {
    status: 4,
    stderr: /There is: operator, tester/,
  })
  t.match((await person.berth(['members', 'ls', 'default'])).stdout, /bob +tester/)
  t.match(await person.berth(['members', 'rm', 'bob', '-p', 'default']), { status: 0 })
  t.match(await person.berth(['members', 'ls']), { status: 2, stderr: /say which project/ })
})
