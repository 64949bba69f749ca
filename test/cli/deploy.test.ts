import { readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { ALICE, answer, type ApiServer, refuse, sendEvents, startApiServer } from '../support/api-server.ts'
import { newPerson, type Person, writeFiles } from '../support/berth-command.ts'

interface Setting {
  api: ApiServer
  person: Person
  /** The folder of an application. */
  app: string
}

async function set(
  t: Test,
  files: Record<string, string | Buffer> = { 'index.html': '<p>hello' },
): Promise<Setting> {
  const api = await startApiServer(t)
  const person = await newPerson(t, { BERTH_URL: api.url, BERTH_TOKEN: ALICE })
  const app = join(person.home, 'My App')
  await writeFiles(app, files)
  return { api, person, app }
}

function count(api: ApiServer, method: string, path: RegExp): number {
  return api.requests.filter((each) => each.method === method && path.test(each.path)).length
}

test('deploy makes the service, uploads the folder, shows the log on stderr and prints the URL on stdout', async (t) => {
  const { api, person, app } = await set(t, {
    'index.html': '<p>hello',
    '.gitignore': '*.log',
    'x.log': '',
    '.git/config': '',
  })
  const { status, stdout, stderr } = await person.berth(['deploy', app, '--service', 'hello', '--yes'])
  t.equal(status, 0, stderr)
  t.equal(stdout, 'http://hello.default.localhost/\n')
  t.match(
    stderr,
    /Made the service default\/hello\.\nUploaded 2 files, \d+ B, packed \d+ B, in [\d.]+ s\.\nDeployment 1 of hello \(.*\)\nfetching\nStep 1\/2 : FROM base\nchecking\n/,
  )
  t.notMatch(stderr, '\u001B', 'no colours and no bar without a terminal')
  t.same(api.uploaded, ['.gitignore', 'index.html'])
  t.match(api.services, [{ name: 'hello', source: { type: 'upload' }, project_id: api.projects[0]?.['id'] }])
  const upload = api.requests.find(({ path }) => path.endsWith('/uploads'))
  t.equal(upload?.headers['content-type'], 'application/zstd')
  const deployment = api.requests.find(({ path, method }) => method === 'POST' && path === '/v1/deployments')
  t.match(deployment?.body, {
    service_id: api.services[0]?.['id'],
    source: { type: 'upload', upload_id: /-/ },
  })
  t.match(deployment?.headers['idempotency-key'], /-/)
  t.equal((await person.berth(['deploy', app, '-s', 'default/hello', '-q'])).stderr, '', 'quiet says nothing')
  t.equal(count(api, 'POST', /services$/), 1)
})

test('without a name the folder becomes a service of its own name and is linked to it', async (t) => {
  const { api, person, app } = await set(t)
  const refused = await person.berth(['deploy'], { directory: app })
  t.match(refused, {
    status: 4,
    stderr: /linked to no service.\n {2}To make the service default\/my-app, add --yes/,
  })
  t.equal(api.services.length, 0)
  t.match(await person.berth(['deploy', '--yes', '--port', '3000'], { directory: app }), {
    status: 0,
    stdout: 'http://my-app.default.localhost/\n',
  })
  t.match(api.services, [{ name: 'my-app', internal_port: 3000 }])
  t.match(await readFile(join(app, 'berth.toml'), 'utf8'), /^project = "default"\nservice = "my-app"$/m)
  t.match(await person.berth(['deploy'], { directory: app }), { status: 0 })
  t.equal(api.services.length, 1)
  t.match(await person.berth(['open'], { directory: app }), {
    status: 0,
    stdout: 'http://my-app.default.localhost/\n',
  })
  t.match(await person.berth(['releases', '-o', 'json'], { directory: app }), {
    status: 0,
    stdout: /"number": 2/,
  })
})

test('a folder that is linked to nothing does not take over a service of its name', async (t) => {
  const { api, person, app } = await set(t)
  await person.berth(['deploy', app, '--service', 'my-app', '--yes'])
  const uploads = count(api, 'POST', /uploads$/)
  t.match(await person.berth(['deploy', app, '--yes']), {
    status: 5,
    stderr: /there is a service default\/my-app already\n {2}To deploy to that one: --service my-app/,
  })
  t.equal(count(api, 'POST', /uploads$/), uploads)
})

test('Dockerfile, target and build arguments become settings of the service, and are sent only when they change', async (t) => {
  const { api, person, app } = await set(t, { 'docker/web': 'FROM scratch', '.dockerignore': '*' })
  const args = [
    'deploy',
    app,
    '-s',
    'web',
    '-y',
    '--dockerfile',
    'docker/web',
    '--target',
    'run',
    '--build-arg',
    'A=1=2',
  ]
  t.equal((await person.berth(args)).status, 0)
  t.match(api.services, [{ dockerfile_path: 'docker/web', target: 'run', build_args: { A: '1=2' } }])
  t.same(api.uploaded, ['.dockerignore', 'docker/', 'docker/web'])
  await person.berth(args)
  t.equal(count(api, 'PATCH', /./), 0)
  await person.berth(['deploy', app, '-s', 'web'])
  t.same(api.uploaded, ['.dockerignore', 'docker/', 'docker/web'], 'the Dockerfile of the service is known')
  t.match(
    await person.berth([
      'deploy',
      app,
      '-s',
      'web',
      '--build-arg',
      'B=3',
      '--dockerfile',
      'docker/web',
      '--build-secret',
      'TOKEN',
    ]),
    {
      status: 0,
      stderr:
        'Changed settings of web, for later deployments too: build_args is now {"A":"1=2","B":"3"}, build_secrets is now ["TOKEN"].\n',
    },
  )
  t.match(api.services, [{ build_args: { A: '1=2', B: '3' }, build_secrets: ['TOKEN'], target: 'run' }])
  const changes = count(api, 'PATCH', /./)
  t.match(await person.berth(['deploy', app, '-s', 'web', '--dockerfile', 'nope']), {
    status: 2,
    stderr: /there is no Dockerfile .*\/nope\n {2}Nothing was changed/,
  })
  t.equal(count(api, 'PATCH', /./), changes)
  t.match(await person.berth(['deploy', app, '-s', 'web', '--dockerfile', '', '--target=']), {
    status: 0,
    stderr: /dockerfile_path is now null, target is now null\./,
  })
  t.match(api.services, [{ dockerfile_path: null, target: null, build_args: { A: '1=2' } }])
})

test('a service that is made for an image has it as its source', async (t) => {
  const { api, person, app } = await set(t)
  const image = 'nginx:1.27'
  t.match(await person.berth(['deploy', app, '-s', 'db', '-y', '--image', image]), { status: 0 })
  t.match(api.services, [{ name: 'db', source: { type: 'external_image', image } }])
  t.match(await person.berth(['deploy', app, '-s', 'db']), { status: 0 })
  t.equal(count(api, 'POST', /uploads$/), 0, 'the folder is not packed')
})

test('--git is refused before anything is made or changed where there is no repository', async (t) => {
  const { api, person, app } = await set(t)
  t.match(await person.berth(['deploy', app, '-s', 'web', '--git', '--yes']), {
    status: 2,
    stderr: /nothing says which repository it is to have\n {2}Name it in a berth.toml/,
  })
  t.same(api.services, [])
  await person.berth(['deploy', app, '-s', 'web', '--yes'])
  t.match(await person.berth(['deploy', app, '-s', 'web', '--git', '--port', '3000']), {
    status: 2,
    stderr: /web has no repository: its source is of type upload/,
  })
  t.equal(count(api, 'PATCH', /./), 0)
})

test('a deployment that fails ends with status 6 and the reason, and its record is on stdout as JSON', async (t) => {
  const { api, person, app } = await set(t)
  api.deploymentEnd = { status: 'Failed', reason: 'the health check \u001B[2Jfailed' }
  const { status, stdout, stderr } = await person.berth(['deploy', app, '-s', 'web', '-y'])
  t.equal(status, 6)
  t.equal(stdout, '')
  t.match(
    stderr,
    /berth: deployment 1 ended Failed: the health check \^\[\[2Jfailed\n {2}Nothing of this service serves yet\.\n {2}Its log: berth logs --deployment /,
  )
  const json = await person.berth(['deploy', app, '-s', 'web', '-o', 'json', '-q'])
  t.equal(json.status, 6)
  t.match(JSON.parse(json.stdout), { status: 'Failed', number: 2 })
  t.match(JSON.parse(json.stderr), { error: 'NOT_DEPLOYED', exit_status: 6 })
})

test('a rollback says where it goes back to, and what a deployment of a stopped service does', async (t) => {
  const { api, person, app } = await set(t)
  await person.berth(['deploy', app, '-s', 'web', '-y', '-d'])
  Object.assign(api.services[0] ?? {}, { status: 'Stopped' })
  const id = '01928c5e-7b1a-7c3e-9d2f-5a6b7c8d9e0f'
  api.on(`POST /v1/services/${String(api.services[0]?.['id'])}/rollback`, (_, response) =>
    answer(response, 202, { id, number: 4, source: { type: 'rollback', number: 2 } }),
  )
  t.match((await person.berth(['rollback', 'web', '-d'])).stderr.split('\n'), [
    `Deployment 4 of web: back to release 2 (${id})`,
    'web is stopped; this deployment starts it.',
  ])
})

test('--detach does not wait', async (t) => {
  const { api, person, app } = await set(t)
  const { status, stdout } = await person.berth(['deploy', app, '-s', 'web', '-y', '--detach'])
  t.equal(status, 0)
  t.equal(stdout.trim(), api.deployments[0]?.['id'])
  t.equal(count(api, 'GET', /stream/), 0)
})

test('nothing is made when the folder cannot be packed', async (t) => {
  const { api, person, app } = await set(t)
  await symlink('/etc/passwd', join(app, 'passwords'))
  t.match(await person.berth(['deploy', app, '-s', 'web', '-y']), {
    status: 1,
    stderr: /berth: passwords is a link to \/etc\/passwd/,
  })
  await writeFiles(person.home, { 'empty/.gitignore': '*\n' })
  t.match(await person.berth(['deploy', 'empty', '-s', 'web', '-y']), {
    status: 2,
    stderr: /no file to deploy/,
  })
  await writeFiles(person.home, { 'odd/berth.toml': 'service = "web"\nprot = 3\n' })
  t.match(await person.berth(['deploy', 'odd']), {
    status: 1,
    stderr: /berth\.toml:2: "prot" is not a known key[^]*configuration of a server/,
  })
  t.match(
    await person.berth(['releases', 'default/web'], { directory: join(person.home, 'odd') }),
    { stderr: /there is no service default\/web/ },
    'beside a file that is no manifest a service can be named in full',
  )
  await writeFiles(person.home, { 'odd/berth.toml': 'service = "web"\nproject = [\n' })
  t.match(await person.berth(['deploy', 'odd']), { status: 1, stderr: /berth\.toml:3: / })
  t.equal(count(api, 'POST', /./), 0)
})

test('an upload that is refused while it is sent is told with the reason of the server', async (t) => {
  const random = Buffer.from(
    Array.from({ length: 4 * 1024 ** 2 }, (_, index) => (index * 2_654_435_761) >>> 13),
  )
  const { api, person, app } = await set(t, { big: random, big2: random })
  await person.berth(['deploy', app, '-s', 'web', '-y', '-d'])
  const path = `POST /v1/services/${String(api.services[0]?.['id'])}/uploads`
  api.on(path, (_, response, raw) => {
    const body = JSON.stringify({
      error: 'PAYLOAD_TOO_LARGE',
      message: 'The upload is too large.',
      request_id: 'req-1',
    })
    response.writeHead(413, { 'content-type': 'application/json', 'content-length': body.length }).write(body)
    // Closing while data still comes would reset the connection, and the answer with it, now and then.
    raw.resume().once('end', () => response.end())
  })
  t.match(await person.berth(['deploy', app, '-s', 'web']), {
    status: 1,
    stderr: /berth: The upload is too large\.\n$/,
  })
  api.on(path, (_, __, raw) => void raw.once('data', () => raw.socket.destroy()))
  t.match(await person.berth(['deploy', app, '-s', 'web']), {
    status: 7,
    stderr: /cannot reach .*: the connection was cut/,
  })
})

test('a cut of the log while it is followed costs no line and repeats none', async (t) => {
  const { api, person, app } = await set(t)
  await person.berth(['deploy', app, '-s', 'web', '-y', '-d'])
  api.on('POST /v1/deployments', (request, response) => {
    const id = 'aaaaaaaa-0000-7000-8000-000000000000'
    const deployment = {
      id,
      number: 2,
      status: 'Building',
      service_id: (request.body as { service_id: string }).service_id,
    }
    api.deployments.unshift(deployment)
    api.deploymentLog = ['one', 'two', 'three']
    api.on(
      `GET /v1/deployments/${id}/logs/stream`,
      (_, cut) => {
        sendEvents(cut, [{ id: 1, data: { line: 'one' } }])
        cut.write('id: 2\ndata: {"line":"tw')
        setImmediate(() => cut.destroy())
      },
      1,
    )
    answer(response, 202, deployment)
  })
  const { status, stderr } = await person.berth(['deploy', app, '-s', 'web'])
  t.equal(status, 0)
  t.match(stderr, /\none\ntwo\nthree\n$/)
})

test('Ctrl-C while the log is followed says that the deployment goes on, and how to follow and cancel it', async (t) => {
  const { api, person, app } = await set(t)
  await person.berth(['deploy', app, '-s', 'web', '-y', '-d'])
  const id = 'aaaaaaaa-0000-7000-8000-000000000000'
  api.on('POST /v1/deployments', (_, response) => answer(response, 202, { id, number: 2, status: 'Pending' }))
  api.on(`GET /v1/deployments/${id}/logs/stream`, (_, response) =>
    sendEvents(response, [{ id: 1, data: { line: 'building' } }]),
  )
  const command = person.start(['deploy', app, '-s', 'web'])
  await command.says('building')
  command.signal('SIGINT')
  const { status, stdout, stderr } = await command.ended
  t.equal(status, 130)
  t.equal(stdout, '')
  t.match(
    stderr,
    `berth: interrupted\n  The deployment goes on without this command.\n  To follow it again: berth logs --deployment ${id} -f\n  To stop it: berth cancel ${id}\n`,
  )
  t.equal(count(api, 'POST', /cancel/), 0)
})

test('Ctrl-C while the folder is uploaded deploys nothing', async (t) => {
  const { api, person, app } = await set(t)
  await person.berth(['deploy', app, '-s', 'web', '-y', '-d'])
  const before = count(api, 'POST', /deployments$/)
  const stalled = new Promise<void>((resolve) => {
    api.on(`POST /v1/services/${String(api.services[0]?.['id'])}/uploads`, () => resolve())
  })
  const command = person.start(['deploy', app, '-s', 'web'])
  await stalled
  command.signal('SIGINT')
  t.match(await command.ended, { status: 130, stderr: /berth: interrupted\n {2}Nothing was deployed\.\n$/ })
  t.equal(count(api, 'POST', /deployments$/), before)
})

test('a token that may not read logs still learns how the deployment ended', async (t) => {
  const { api, person, app } = await set(t)
  await person.berth(['deploy', app, '-s', 'web', '-y', '-d'])
  const id = 'aaaaaaaa-0000-7000-8000-000000000000'
  api.on('POST /v1/deployments', (_, response) => answer(response, 202, { id, number: 2, status: 'Pending' }))
  api.on(`GET /v1/deployments/${id}/logs/stream`, (_, response) =>
    refuse(response, 403, 'FORBIDDEN', 'You may not.'),
  )
  api.on(`GET /v1/deployments/${id}`, (_, response) =>
    answer(response, 200, { id, status: 'Healthy', url: 'http://w/' }),
  )
  api.on(`GET /v1/deployments/${id}`, (_, response) =>
    answer(response, 200, { id, status: 'Healthy', url: 'http://w/' }),
  )
  t.match(await person.berth(['deploy', app, '-s', 'web']), {
    status: 0,
    stdout: 'http://w/\n',
    stderr: /The log cannot be shown/,
  })
})

test('a server that is busy is asked again when it says so', async (t) => {
  const { api, person, app } = await set(t)
  api.on(
    'POST /v1/deployments',
    (_, response) => {
      response.setHeader('retry-after', '0')
      refuse(response, 503, 'RUNTIME_UNAVAILABLE', 'The container engine cannot be reached.')
    },
    2,
  )
  t.equal((await person.berth(['deploy', app, '-s', 'web', '-y'])).status, 0)
  const keys = api.requests
    .filter(({ method, path }) => method === 'POST' && path === '/v1/deployments')
    .map(({ headers }) => headers['idempotency-key'])
  t.equal(keys.length, 3)
  t.equal(new Set(keys).size, 1, 'it is the same request')
})

test('on a terminal there is a bar and colour; with NO_COLOR there is no colour', async (t) => {
  const { api, person, app } = await set(t)
  const terminal = person.terminal(['deploy', app, '-s', 'web'])
  await terminal.shows('There is no service default/web yet. Make the service default/web? [y/N]')
  terminal.type('y\r')
  const { status, shown } = await terminal.ended
  t.equal(status, 0, shown)
  t.match(shown, /\rUploading \[.*\] +\d+% .*sent.*\/s/)
  t.match(shown, '\r\u001B[KUploaded 1 files', 'the bar is taken away')
  t.match(shown, 'http://web.default.localhost/')
  api.deploymentLog = ['\u001B[32mgreen\u001B[0m \u001B[2J']
  const coloured = await person.terminal(['deploy', app, '-s', 'web']).ended
  t.match(coloured.shown, '\u001B[32mgreen\u001B[0m ^[[2J')
  const plain = await person.terminal(['deploy', app, '-s', 'web'], { environment: { NO_COLOR: '1' } }).ended
  t.match(plain.shown, 'green ^[[2J')
  for (const style of [0, 1, 2, 32]) t.notMatch(plain.shown, `\u001B[${style}m`)
  const watched = await person.terminal(['deploy', app, '-s', 'web'], { environment: { CI: 'true' } }).ended
  t.notMatch(watched.shown, 'Uploading [', 'nobody watches a build server')
})

test('on a terminal, no is no', async (t) => {
  const { api, person, app } = await set(t)
  const terminal = person.terminal(['deploy', app, '-s', 'web'])
  await terminal.shows('[y/N]')
  terminal.type('\r')
  t.match(await terminal.ended, { status: 1, shown: /nothing was made and nothing was deployed/ })
  t.equal(api.services.length, 0)
})

test('init makes and links a service, and asks for what it was not told', async (t) => {
  const { api, person, app } = await set(t)
  t.match(await person.berth(['init', app, '--yes', '--port', 'none']), {
    status: 0,
    stderr: /Made the service default\/my-app/,
  })
  t.match(api.services, [{ name: 'my-app', internal_port: null }])
  t.match(await person.berth(['init', app, '--yes']), {
    status: 5,
    stderr: /linked to the service my-app already/,
  })
  await writeFiles(person.home, { 'other/a': '' })
  const terminal = person.terminal(['init', 'other'])
  await terminal.shows('Name of the service: [other]')
  terminal.type('web\r')
  await terminal.shows('Port that it listens on, or none: [8080]')
  terminal.type('9000\r')
  t.equal((await terminal.ended).status, 0)
  t.match(api.services, [{ name: 'web', internal_port: 9000 }, { name: 'my-app' }])
  t.match(await readFile(join(person.home, 'other/berth.toml'), 'utf8'), 'service = "web"')
})
