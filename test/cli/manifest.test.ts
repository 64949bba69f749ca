import { test } from 'tap'
import { parse } from 'smol-toml'
import { TomlLines } from '../../src/cli/manifest/toml-lines.ts'
import { openCliDaemon } from '../support/cli-daemon.ts'

const MANIFEST = `# The shop.
project = "default"

[services.web]
internal_port = 3000
replicas = 2
command = ["node", "server.js"]
secrets = ["DATABASE_URL"]

[services.web.health_check]
path = "/healthz"

[services.web.env]
GREETING = "hello"
`

test('plan shows what differs, apply makes it, and then nothing differs', async (t) => {
  const { app, person, token, write } = await openCliDaemon(t)
  await write('berth.toml', MANIFEST)
  const first = await person.berth(['plan'])
  t.equal(first.status, 8)
  t.match(first.stdout, 'default/web: is made')
  for (const line of [
    '+ internal_port: 3000',
    '+ replicas: 2',
    '+ command: ["node","server.js"]',
    '+ health_check.path: "/healthz"',
    '+ env.GREETING: "hello"',
    '! env.DATABASE_URL has no value on the server: berth env set DATABASE_URL',
  ])
    t.match(first.stdout, `  ${line}\n`.trimEnd(), line)
  t.same((await app.must(token, 'GET', '/v1/services')).list, [], 'plan makes nothing')
  t.match(await person.berth(['apply']), { status: 2, stderr: /add --yes/ })
  t.match(await person.berth(['apply', '--yes']), { status: 0, stderr: /default\/web was made/ })
  const [service] = (await app.must(token, 'GET', '/v1/services')).list
  t.match(service, { name: 'web', internal_port: 3000, replicas: 2, command: ['node', 'server.js'] })
  t.match(await person.berth(['plan']), { status: 0, stdout: /default\/web: is as it should be/ })
  const before = await app.must(token, 'GET', `/v1/services/${String(service?.['id'])}`)
  t.match(await person.berth(['apply']), { status: 0, stderr: /Nothing to do/ }, 'and asks nothing')
  const after = await app.must(token, 'GET', `/v1/services/${String(service?.['id'])}`)
  t.equal(after.headers['etag'], before.headers['etag'])
})

test('what someone set by hand shows up, and goes; what secrets names stays, and no value of a variable is shown', async (t) => {
  const { app, person, token, write } = await openCliDaemon(t)
  await write('berth.toml', MANIFEST)
  await person.berth(['apply', '--yes'])
  const url = `/v1/services/${String((await app.must(token, 'GET', '/v1/services')).list[0]?.['id'])}`
  await app.must(token, 'PATCH', url, { stop_grace_seconds: 77, health_check: { timeout_seconds: 9 } })
  await app.must(token, 'PATCH', `${url}/env`, {
    set: { DATABASE_URL: 'postgres://canary-one', STRAY: 'canary-two', GREETING: 'canary-three' },
  })
  const found = await person.berth(['plan'])
  t.equal(found.status, 8)
  for (const line of [
    '- stop_grace_seconds: 77 -> 10 (default)',
    '- health_check.timeout_seconds: 9 -> 60 (default)',
    '- env.STRAY\n',
    '~ env.GREETING: "hello"',
  ])
    t.match(found.stdout, line, line)
  const json = await person.berth(['plan', '-o', 'json'])
  t.match(JSON.parse(json.stdout), { services: [{ name: 'web', action: 'change', missing_secrets: [] }] })
  const applied = await person.berth(['apply', '--yes'])
  t.notMatch(`${found.stdout}${json.stdout}${json.stderr}${applied.stdout}${applied.stderr}`, 'canary')
  const service = (await app.must(token, 'GET', url)).body
  t.match(service, { stop_grace_seconds: 10, health_check: { timeout_seconds: 60, path: '/healthz' } })
  t.same(service['env'], { DATABASE_URL: 'postgres://canary-one', GREETING: 'hello' })
  t.equal((await person.berth(['plan'])).status, 0)
})

test('services that the manifest does not name are left alone, and a port of none is one', async (t) => {
  const { app, person, token, write } = await openCliDaemon(t)
  await app.must(token, 'POST', '/v1/services', { name: 'old', source: { type: 'upload' } })
  await write('berth.toml', 'project = "default"\n[services.worker]\ninternal_port = "none"\n')
  t.match(await person.berth(['apply', '--yes']), { status: 0 })
  const { list } = await app.must(token, 'GET', '/v1/services')
  t.same(
    list.map(({ name, internal_port: port }) => [name, port]),
    [
      ['worker', null],
      ['old', 8080],
    ],
  )
  t.match(await person.berth(['plan']), { status: 0, stderr: /Not in the manifest, and left alone: old/ })
})

test('volumes and domains that are there already, in any order, are no difference', async (t) => {
  const { app, person, token, write } = await openCliDaemon(t)
  await write(
    'berth.toml',
    `[services.db]
domains = ["b.example.com", "a.example.com"]

[[services.db.volumes]]
name = "data"
mount_path = "/data"

[[services.db.volumes]]
name = "cache"
mount_path = "/cache"
`,
  )
  t.match(await person.berth(['apply', '--yes']), { status: 0 })
  t.match((await app.must(token, 'GET', '/v1/services')).list, [
    { name: 'db', volumes: [{ name: 'data' }, { name: 'cache' }] },
  ])
  t.match(await person.berth(['plan']), { status: 0 })
  const two = `[services.db]\nreplicas = 2\n\n[[services.db.volumes]]\nname = "data"\nmount_path = "/data"\n`
  await write('berth.toml', two)
  for (const verb of [['plan'], ['apply', '--yes']])
    t.match(await person.berth(verb), {
      status: 1,
      stderr:
        /berth\.toml:2: services\.db\.replicas must be at most 1 for a service that writes into a volume/,
    })
  await write('berth.toml', two.replace('replicas', 'autoscale.max_replicas'))
  t.match(await person.berth(['plan']), {
    status: 1,
    stderr: /berth\.toml:2: services\.db\.autoscale\.max_replicas must be at most 1/,
  })
  await write('berth.toml', `${two}read_only = true\n`)
  t.match(await person.berth(['plan']), { status: 8 })
})

/** Each leaves out what the server fills in when the rest is there. */
const SPARSE = `[services.scaled]
autoscale = { max_replicas = 6 }

[services.sleeper.autoscale]
min_replicas = 0
max_replicas = 2

[services.limited.resource_limits]
pids = 64

[services.checked.health_check]
path = "/healthz"

[services.pulled]
source = { type = "external_image", image = "docker.io/library/nginx:1" }

[services.cloned]
source = { type = "git", repo_url = "https://example.com/shop.git" }

[services.ruled.ingress]
maintenance = {}
request_headers = { remove = ["x-old"] }
redirects = [{ path = "/old", to = "/new" }]
paths = [{ prefix = "/api", service = "scaled" }]

[services.ruled.build_args]
VERSION = "1"
`

test('what the server fills in and what Berth chooses is no difference', async (t) => {
  const { app, person, token, write } = await openCliDaemon(t)
  await write('berth.toml', SPARSE)
  t.match(await person.berth(['apply', '--yes']), { status: 0 })
  const { stdout, status } = await person.berth(['plan'])
  t.equal(status, 0, stdout)
  const { list } = await app.must(token, 'GET', '/v1/services')
  const urlOf = (name: string): string =>
    `/v1/services/${String(list.find((each) => each['name'] === name)?.['id'])}`
  // As if Berth had chosen these.
  await app.must(token, 'PATCH', urlOf('scaled'), { replicas: 5 })
  await app.must(token, 'PATCH', urlOf('sleeper'), { replicas: 0 })
  t.match(await person.berth(['plan']), { status: 0 })
  await write(
    'berth.toml',
    SPARSE.replaceAll('max_replicas =', 'target_cpu_pct = 50\nmax_replicas =').replace(
      '{ target_cpu_pct = 50\n',
      '{ target_cpu_pct = 50, ',
    ),
  )
  const changed = await person.berth(['apply', '--yes'])
  t.match(changed, { status: 0, stdout: /autoscale\.target_cpu_pct/ })
  t.notMatch(changed.stdout, /replicas/)
  for (const [name, replicas] of [
    ['scaled', 5],
    ['sleeper', 0],
  ] as const)
    t.match(
      (await app.must(token, 'GET', urlOf(name))).body,
      { replicas, autoscale: { target_cpu_pct: 50 } },
      name,
    )
})

test('what is there or not is a difference, also with nothing but defaults in it', async (t) => {
  const { person, write } = await openCliDaemon(t)
  const BARE = 'project = "default"\n\n[services.web.ingress]\n'
  await write('berth.toml', BARE)
  t.match(await person.berth(['apply', '--yes']), { status: 0 })
  for (const maintenance of ['{}', '{ retry_after_seconds = 60 }']) {
    await write('berth.toml', `${BARE}maintenance = ${maintenance}\n`)
    t.match(
      await person.berth(['apply', '--yes']),
      { status: 0, stdout: /\+.*ingress\.maintenance/ },
      maintenance,
    )
    t.match(await person.berth(['plan']), { status: 0 })
    await write('berth.toml', BARE)
    t.match(
      await person.berth(['apply', '--yes']),
      { status: 0, stdout: /-.*ingress\.maintenance/ },
      'and off',
    )
    t.match(await person.berth(['plan']), { status: 0 })
  }
})

test('what the server does not know is refused with its line, all of it at once', async (t) => {
  const { person, write } = await openCliDaemon(t)
  await write(
    'berth.toml',
    `project = "default"

[services.web]
replicas = "two"
colour = "red"
builder = "magic"

[services.web.health_check]
pat = "/healthz"

[services.web.env]
PORT_COUNT = 3

[services."Bad Name"]
`,
  )
  const { status, stderr } = await person.berth(['plan'])
  t.equal(status, 1)
  for (const line of [
    '4: services.web.replicas must be integer',
    '5: services.web.colour is not a known key',
    '6: services.web.builder must be one of auto, dockerfile, node, static',
    '9: services.web.health_check.pat is not a known key',
    '12: services.web.env.PORT_COUNT must be string',
    '14: services.Bad Name',
  ])
    t.match(stderr, `berth.toml:${line}`, line)
  await write('berth.toml', 'project = "default"\nservces = 1\n')
  t.match(await person.berth(['plan']), { status: 1, stderr: /berth.toml:2: servces is not a known key/ })
  await write('berth.toml', 'project = \n')
  t.match(await person.berth(['plan']), { status: 1, stderr: /berth.toml:1: / })
  await write('berth.toml', '[services.web]\nsecrets = ["A"]\nenv = { A = "x" }\n')
  t.match(await person.berth(['plan']), { status: 1, stderr: /berth.toml:2: A is among env too/ })
})

test('a service that changed since it was compared is not overwritten', async (t) => {
  const { app, person, token, write } = await openCliDaemon(t)
  await write('berth.toml', MANIFEST)
  await person.berth(['apply', '--yes'])
  await write('berth.toml', MANIFEST.replace('replicas = 2', 'replicas = 3'))
  const terminal = person.terminal(['apply'])
  await terminal.shows('Change this service?')
  const url = `/v1/services/${String((await app.must(token, 'GET', '/v1/services')).list[0]?.['id'])}`
  await app.must(token, 'PATCH', url, { replicas: 5 })
  terminal.type('y\r')
  t.equal((await terminal.ended).status, 5)
  t.equal((await app.must(token, 'GET', url)).body['replicas'], 5)
})

test('deploy makes the service as the manifest says first, and waits for secrets', async (t) => {
  const { app, person, token, write } = await openCliDaemon(t)
  await write('berth.toml', MANIFEST)
  await write('index.html', '<h1>hello</h1>')
  t.match(await person.berth(['deploy', '--port', '1', '--yes']), {
    status: 2,
    stderr: /change internal_port there/,
  })
  t.match(await person.berth(['deploy', '-d', '--yes']), {
    status: 5,
    stderr: /was made and not deployed: it lacks DATABASE_URL/,
  })
  t.match(await person.berth(['env', 'set', 'DATABASE_URL'], { input: 'postgres://x\n' }), { status: 0 })
  t.match(
    await person.berth(['deploy', '-d']),
    { status: 0, stdout: /^[0-9a-f-]{36}\n$/ },
    'and asks nothing',
  )
  await write('berth.toml', MANIFEST.replace('replicas = 2', 'replicas = 4'))
  t.match(await person.berth(['deploy', '-d']), { status: 2, stderr: /~ replicas: 2 -> 4[^]*add --yes/ })
  t.match(await person.berth(['deploy', '-d', '--yes']), { status: 0 })
  t.equal((await app.must(token, 'GET', '/v1/services')).list[0]?.['replicas'], 4)
})

test('lines of keys are found in every form that TOML has', async (t) => {
  const text = `top = 1
"quoted key" = 2
a.b.c = 3

[table]
long = """
not = "a key"
[nor.a.table]
"""
list = [
  "x = 1",  # ]
  [ 'y', "z\\"]" ],
]
after = { inline = 1, deep = { er = 2 } }

[[rows]]
first = '''
x
'''
[ spaced . "dot.ted" ]
end = true
`
  parse(text)
  const lines = new TomlLines(text)
  for (const [path, line] of [
    [['top'], 1],
    [['quoted key'], 2],
    [['a', 'b', 'c'], 3],
    [['a'], 3],
    [['table'], 5],
    [['table', 'long'], 6],
    [['table', 'list'], 10],
    [['table', 'after'], 14],
    [['table', 'after', 'deep', 'er'], 14],
    [['table', 'not'], 5],
    [['rows', 'first'], 17],
    [['spaced', 'dot.ted', 'end'], 21],
  ] as const)
    t.equal(lines.of(path), line, path.join('.'))
})
