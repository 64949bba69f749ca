import { test } from 'tap'
import { DEFAULT_INGRESS } from '../../../src/modules/services/ingress-schema.ts'
import { openServiceApi } from './service-api.ts'

const MIB = 1024 ** 2
const HEALTH_CHECK = {
  path: null,
  timeout_seconds: 60,
  interval_ms: 500,
  statuses: '200-399',
  successes: 2,
  stays_up_seconds: 5,
  live_interval_seconds: 10,
  live_failures: 3,
}

test('a service with a name only gets the documented defaults', async (t) => {
  const api = await openServiceApi(t)
  const { status, body } = await api.root('POST', '/v1/services', { name: 'web' })
  t.equal(status, 201)
  const { id, created_at, updated_at, ...rest } = body
  t.ok(id)
  t.equal(created_at, updated_at)
  t.same(rest, {
    project_id: api.defaultProject,
    name: 'web',
    source: { type: 'upload' },
    builder: 'auto',
    dockerfile_path: null,
    context_path: null,
    target: null,
    build_args: {},
    env_file: null,
    build_secrets: [],
    internal_port: 8080,
    command: null,
    replicas: 1,
    health_check: HEALTH_CHECK,
    resource_limits: null,
    env: {},
    domains: [],
    tls_enabled: true,
    ingress: DEFAULT_INGRESS,
    volumes: [],
    autoscale: null,
    restart: 'always',
    stop_grace_seconds: 10,
    pre_stop_seconds: 0,
    read_only: false,
    release_command: null,
    release_timeout_seconds: 600,
    bake_seconds: 0,
    status: 'New',
    status_reason: null,
    url: 'http://web.default.localhost:8080/',
    notes: [],
    live_deployment_id: null,
    canary: null,
  })
})

/** Fields that are taken, and what is answered where that is not what was sent. */
const GOOD: [sent: Record<string, unknown>, answered?: Record<string, unknown>][] = [
  [{ name: 'a' }],
  [{ name: 'a-1'.padEnd(40, 'b') }],
  [{ source: { type: 'upload' } }],
  [{ builder: 'dockerfile', dockerfile_path: 'deploy/Dockerfile.web', target: 'run_1.x-y' }],
  [{ builder: 'node' }],
  [{ builder: 'static', context_path: 'public' }],
  [{ builder: 'auto', build_args: { VERSION: '1', _x: '' } }],
  [{ dockerfile_path: './a//b/./Dockerfile' }, { dockerfile_path: 'a/b/Dockerfile' }],
  [{ context_path: '.' }, { context_path: null }],
  [{ context_path: 'app/' }, { context_path: 'app' }],
  [{ context_path: '..a/b..' }],
  [{ context_path: null, dockerfile_path: null, target: null, command: null }],
  [{ internal_port: 1 }],
  [{ internal_port: 65_535 }],
  [{ internal_port: null }],
  [{ command: ['node', 'server.js', ''] }],
  [{ replicas: 0 }],
  [{ replicas: 100 }],
  [{ health_check: {} }, { health_check: HEALTH_CHECK }],
  [{ health_check: { path: '/healthz?x=1' } }, { health_check: { ...HEALTH_CHECK, path: '/healthz?x=1' } }],
  [
    {
      health_check: { ...HEALTH_CHECK, statuses: '200,204,300-399', interval_ms: 50, timeout_seconds: 3600 },
    },
  ],
  [
    {
      health_check: {
        ...HEALTH_CHECK,
        successes: 1,
        stays_up_seconds: 0,
        interval_ms: 60_000,
        timeout_seconds: 1,
      },
    },
  ],
  [{ resource_limits: { cpu_millis: 10, memory_bytes: 16 * MIB, pids: 8 } }],
  [{ resource_limits: { cpu_millis: 1_024_000, memory_bytes: 4096 * 1024 * MIB, pids: 1_000_000 } }],
  [
    { resource_limits: { memory_bytes: 64 * MIB, cpu_millis: null } },
    { resource_limits: { memory_bytes: 64 * MIB } },
  ],
  [{ resource_limits: {} }, { resource_limits: null }],
  [{ resource_limits: null }],
  [{ restart: 'on_failure' }],
  [{ restart: 'never' }],
  [{ stop_grace_seconds: 0 }],
  [{ stop_grace_seconds: 300 }],
  [{ pre_stop_seconds: 300 }],
  [{ read_only: true }],
  [{ release_command: ['migrate', '--now'], release_timeout_seconds: 86_400 }],
  [{ bake_seconds: 60 }],
  [
    { autoscale: { min_replicas: 0, max_replicas: 3 } },
    {
      autoscale: {
        min_replicas: 0,
        max_replicas: 3,
        target_cpu_pct: 70,
        target_mem_pct: null,
        scale_down_cooldown_s: 300,
        idle_timeout_s: 900,
      },
      notes: [/^It sleeps when it is idle.*"s\d+" in the project's network do not/],
    },
  ],
  [
    { health_check: { live_interval_seconds: 0, live_failures: 100 } },
    { health_check: { ...HEALTH_CHECK, live_interval_seconds: 0, live_failures: 100 } },
  ],
  [
    {
      tls_enabled: false,
      volumes: [],
      release_command: null,
      autoscale: null,
      domains: [],
      build_secrets: [],
    },
  ],
  [{ tls_enabled: true }],
  [{ build_secrets: ['NPM_TOKEN', '_x9'] }],
  [{ build_secrets: Array.from({ length: 100 }, (_, n) => `A${n}`) }],
  [{ domains: ['shop.example.com'] }],
  [
    { volumes: null, domains: null, build_secrets: null },
    { volumes: [], domains: [], build_secrets: [] },
  ],
]

test('every field is taken within its bounds, stored and answered', async (t) => {
  const api = await openServiceApi(t)
  for (const [index, [sent, answered]] of GOOD.entries()) {
    const created = await api.root('POST', '/v1/services', { name: `s${index}`, ...sent })
    t.equal(created.status, 201, JSON.stringify(sent))
    t.match(created.body, answered ?? sent)
    if (answered === undefined || !('notes' in answered)) t.same(created.body['notes'], [])
    const got = await api.root('GET', `/v1/services/${String(created.body['id'])}`)
    t.same(got.body, created.body)
  }
})

/** Fields that are refused, and the field that the answer names. */
const BAD: [sent: Record<string, unknown>, field: string][] = [
  [{ autoscale: {} }, 'autoscale.max_replicas'],
  [{ autoscale: { min_replicas: 3, max_replicas: 2 } }, 'autoscale.max_replicas'],
  [{ autoscale: { max_replicas: 2, speed: 1 } }, 'autoscale.speed'],
  [{ internal_port: null, autoscale: { min_replicas: 0, max_replicas: 2 } }, 'autoscale.min_replicas'],
  [{ name: '' }, 'name'],
  [{ name: 'Web' }, 'name'],
  [{ name: '-a' }, 'name'],
  [{ name: 'a_b' }, 'name'],
  [{ name: 'a.b' }, 'name'],
  [{ name: 'a'.repeat(41) }, 'name'],
  [{ name: 5 }, 'name'],
  [{ name: null }, 'name'],
  [{ name: 'a\n' }, 'name'],
  [{ id: 'x' }, 'id'],
  [{ status: 'Running' }, 'status'],
  [{ colour: 'red' }, 'colour'],
  [{ source: { type: 'ftp' } }, 'source.type'],
  [{ source: {} }, 'source.type'],
  [{ source: 'upload' }, 'source'],
  [{ source: { type: 'upload', image: 'x' } }, 'source.image'],
  [{ source: { type: 'upload', colour: 'x' } }, 'source.colour'],
  [{ builder: 'buildpack' }, 'builder'],
  [{ builder: null }, 'builder'],
  [{ builder: 'node', dockerfile_path: 'Dockerfile' }, 'dockerfile_path'],
  [{ builder: 'static', target: 'x' }, 'target'],
  [{ builder: 'static', build_args: { A: 'b' } }, 'build_args'],
  [{ builder: 'node', build_secrets: ['TOKEN'] }, 'build_secrets'],
  [{ build_secrets: 'TOKEN' }, 'build_secrets'],
  [{ build_secrets: ['A-B'] }, 'build_secrets.0'],
  [{ build_secrets: [''] }, 'build_secrets.0'],
  [{ build_secrets: [5] }, 'build_secrets.0'],
  [{ build_secrets: ['A'.repeat(256)] }, 'build_secrets.0'],
  [{ build_secrets: ['A', 'A'] }, 'build_secrets'],
  [{ build_secrets: Array.from({ length: 101 }, (_, n) => `A${n}`) }, 'build_secrets'],
  [{ dockerfile_path: '' }, 'dockerfile_path'],
  [{ dockerfile_path: '.' }, 'dockerfile_path'],
  [{ dockerfile_path: '/etc/passwd' }, 'dockerfile_path'],
  [{ dockerfile_path: '../Dockerfile' }, 'dockerfile_path'],
  [{ dockerfile_path: 'a/../../b' }, 'dockerfile_path'],
  [{ dockerfile_path: 'a\0b' }, 'dockerfile_path'],
  [{ dockerfile_path: 'a\nb' }, 'dockerfile_path'],
  [{ dockerfile_path: 'a\\b' }, 'dockerfile_path'],
  [{ dockerfile_path: 'a'.repeat(256) }, 'dockerfile_path'],
  [{ dockerfile_path: 'a/'.repeat(513) }, 'dockerfile_path'],
  [{ dockerfile_path: 5 }, 'dockerfile_path'],
  [{ context_path: '..' }, 'context_path'],
  [{ context_path: '/' }, 'context_path'],
  [{ target: '' }, 'target'],
  [{ target: '--x' }, 'target'],
  [{ target: 'a b' }, 'target'],
  [{ target: 'a'.repeat(129) }, 'target'],
  [{ build_args: { 'A-B': 'x' } }, 'build_args.A-B'],
  [{ build_args: { '': 'x' } }, 'build_args.'],
  [{ build_args: { A: 1 } }, 'build_args.A'],
  [{ build_args: { A: 'a\0' } }, 'build_args.A'],
  [{ build_args: { A: 'a'.repeat(8193) } }, 'build_args.A'],
  [{ build_args: Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`A${n}`, 'x'])) }, 'build_args'],
  [{ build_args: ['A=b'] }, 'build_args'],
  [{ internal_port: 0 }, 'internal_port'],
  [{ internal_port: 65_536 }, 'internal_port'],
  [{ internal_port: 80.5 }, 'internal_port'],
  [{ internal_port: '80' }, 'internal_port'],
  [{ command: 'node server.js' }, 'command'],
  [{ command: [] }, 'command'],
  [{ command: [''] }, 'command.0'],
  [{ command: ['a\0'] }, 'command.0'],
  [{ command: ['a', 5] }, 'command.1'],
  [{ command: Array.from({ length: 257 }, () => 'a') }, 'command'],
  [{ replicas: -1 }, 'replicas'],
  [{ replicas: 101 }, 'replicas'],
  [{ replicas: 1.5 }, 'replicas'],
  [{ replicas: '1' }, 'replicas'],
  [{ health_check: null }, 'health_check'],
  [{ health_check: { path: 'healthz' } }, 'health_check.path'],
  [{ health_check: { path: '/a b' } }, 'health_check.path'],
  [{ health_check: { path: '/a\r\nX: y' } }, 'health_check.path'],
  [{ health_check: { path: `/${'a'.repeat(1024)}` } }, 'health_check.path'],
  [{ health_check: { path: '/x' }, internal_port: null }, 'health_check.path'],
  [{ health_check: { timeout_seconds: 0 } }, 'health_check.timeout_seconds'],
  [{ health_check: { timeout_seconds: 3601 } }, 'health_check.timeout_seconds'],
  [{ health_check: { interval_ms: 49 } }, 'health_check.interval_ms'],
  [{ health_check: { interval_ms: 60_001 } }, 'health_check.interval_ms'],
  [{ health_check: { statuses: '' } }, 'health_check.statuses'],
  [{ health_check: { statuses: '2xx' } }, 'health_check.statuses'],
  [{ health_check: { statuses: '600' } }, 'health_check.statuses'],
  [{ health_check: { statuses: '399-200' } }, 'health_check.statuses'],
  [{ health_check: { successes: 0 } }, 'health_check.successes'],
  [{ health_check: { successes: 101 } }, 'health_check.successes'],
  [{ health_check: { stays_up_seconds: -1 } }, 'health_check.stays_up_seconds'],
  [{ health_check: { stays_up_seconds: 3601 } }, 'health_check.stays_up_seconds'],
  [{ health_check: { port: 80 } }, 'health_check.port'],
  [{ resource_limits: { cpu_millis: 9 } }, 'resource_limits.cpu_millis'],
  [{ resource_limits: { memory_bytes: 16 * MIB - 1 } }, 'resource_limits.memory_bytes'],
  [{ resource_limits: { pids: 7 } }, 'resource_limits.pids'],
  [{ resource_limits: { pids: '8' } }, 'resource_limits.pids'],
  [{ resource_limits: { gpu: 1 } }, 'resource_limits.gpu'],
  [{ resource_limits: [] }, 'resource_limits'],
  [{ restart: 'sometimes' }, 'restart'],
  [{ restart: null }, 'restart'],
  [{ stop_grace_seconds: -1 }, 'stop_grace_seconds'],
  [{ stop_grace_seconds: 301 }, 'stop_grace_seconds'],
  [{ tls_enabled: 'yes' }, 'tls_enabled'],
  [{ volumes: 'data' }, 'volumes'],
  [{ replicas: 2, volumes: [{ name: 'data', mount_path: '/data' }] }, 'replicas'],
  [
    { autoscale: { max_replicas: 2 }, volumes: [{ name: 'data', mount_path: '/data' }] },
    'autoscale.max_replicas',
  ],
  [{ project_id: 5 }, 'project_id'],
]

test('every field is refused outside its bounds, by name, and nothing is stored', async (t) => {
  const api = await openServiceApi(t)
  const id = await api.addService('present')
  const before = await api.root('GET', `/v1/services/${id}`)
  for (const [sent, field] of BAD) {
    const answer = await api.root('POST', '/v1/services', { name: 'new', ...sent })
    t.equal(answer.status, 400, `${answer.status} to ${JSON.stringify(sent).slice(0, 100)}`)
    t.equal(answer.body.error, 'VALIDATION_ERROR')
    t.equal(answer.body.details?.[0]?.field, field)
    t.equal(answer.body.details?.length, 1, JSON.stringify(answer.body.details))
    const patched = await api.root('PATCH', `/v1/services/${id}`, sent)
    t.equal(patched.status, 400, `PATCH ${JSON.stringify(sent).slice(0, 100)}`)
  }
  t.equal((await api.root('GET', '/v1/services')).list.length, 1)
  t.same((await api.root('GET', `/v1/services/${id}`)).body, before.body)
})

test('a source from git is read, and what cannot be is named', async (t) => {
  const api = await openServiceApi(t)
  const source = {
    type: 'git',
    repo_url: 'https://Example.com/a.git',
    context_path: './web/',
    submodules: true,
  }
  const made = await api.root('POST', '/v1/services', { name: 'new', source })
  t.same(made.body['source'], {
    type: 'git',
    repo_url: 'https://example.com/a.git',
    git_ref: null,
    submodules: true,
    context_path: 'web',
  })
  const id = String(made.body['id'])
  t.same((await api.root('GET', `/v1/services/${id}`)).body['source'], made.body['source'])
  for (const [sent, field] of [
    [{ type: 'git' }, 'source.repo_url'],
    [{ type: 'git', repo_url: 'ext::sh -c id' }, 'source.repo_url'],
    [{ type: 'git', repo_url: 'https://me:secret@h/x' }, 'source.repo_url'],
    [{ ...source, git_ref: '--upload-pack=id' }, 'source.git_ref'],
    [{ ...source, dockerfile_path: '../Dockerfile' }, 'source.dockerfile_path'],
    [{ ...source, image: 'nginx' }, 'source.image'],
    [{ type: 'upload', repo_url: 'https://h/x' }, 'source.repo_url'],
  ] as const) {
    const answer = await api.root('PATCH', `/v1/services/${id}`, { source: sent })
    t.equal(answer.status, 400, answer.text)
    t.equal(answer.body.details?.[0]?.field, field)
    t.notMatch(answer.text, 'secret')
  }
})

test('two wrong fields are both named', async (t) => {
  const api = await openServiceApi(t)
  const shape = await api.root('POST', '/v1/services', { name: 'new', replicas: -1, colour: 'red' })
  t.same(shape.body.details?.map((each) => each.field).toSorted(), ['colour', 'replicas'])
  const meaning = await api.root('POST', '/v1/services', { name: 'new', context_path: '..', command: [''] })
  t.same(
    meaning.body.details?.map((each) => each.field),
    ['context_path', 'command.0'],
  )
})

test('a body that is no object is refused', async (t) => {
  const api = await openServiceApi(t)
  for (const body of [[], '"text"', 'null', '5']) {
    const answer = await api.root('POST', '/v1/services', body, { 'content-type': 'application/json' })
    t.equal(answer.status, 400, String(body))
  }
  t.equal((await api.root('POST', '/v1/services')).status, 400)
})

test('a source of an image is read, and what cannot be is named', async (t) => {
  const api = await openServiceApi(t)
  const source = { type: 'external_image', image: 'nginx:1' }
  const made = await api.root('POST', '/v1/services', { name: 'new', source })
  t.same(made.body['source'], { ...source, auto_deploy: false })
  const wrong: [sent: object, field: string][] = [
    [{}, 'image'],
    [{ image: 'a', registry_id: 'x', image_ref: 'a:1' }, 'image'],
    [{ registry_id: 'x' }, 'image_ref'],
    [{ image: 'a', image_ref: 'a:1' }, 'image_ref'],
    [{ image: 'a', git_ref: 'main' }, 'git_ref'],
  ]
  for (const [sent, field] of wrong) {
    const answer = await api.root('PATCH', `/v1/services/${String(made.body['id'])}`, {
      source: { type: 'external_image', ...sent },
    })
    t.match(answer, { status: 400, body: { details: [{ field: `source.${field}` }] } }, JSON.stringify(sent))
  }
})
