import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
import { Type } from 'typebox'
import { WORDED_PATTERNS } from '../../src/http/pattern-words.ts'
import { strictObject } from '../../src/http/schema.ts'
import { createSystem } from '../../src/lib/system.ts'
import { ERROR_CATALOGUE } from '../../src/lib/errors.ts'
import { openApp } from '../support/app.ts'
import { type Answer, openIdentityApi } from '../support/identity-api.ts'

type Api = Awaited<ReturnType<typeof openIdentityApi>>

/** What is wrong with a failure's shape; nothing when it is as the contract says. */
function misshapen({ status, body, headers }: Pick<Answer, 'status' | 'body' | 'headers'>): string[] {
  const known = ERROR_CATALOGUE[body.error as keyof typeof ERROR_CATALOGUE] as { status: number } | undefined
  const extra = Object.keys(body).filter(
    (key) => !['error', 'message', 'details', 'permission', 'request_id'].includes(key),
  )
  return [
    ...(known?.status === status ? [] : [`${body.error} with status ${status}`]),
    ...(typeof body.message === 'string' && body.message !== '' ? [] : ['no message']),
    ...(body['request_id'] === headers['x-request-id'] ? [] : ['no request id']),
    ...(String(headers['content-type']).startsWith('application/json') ? [] : ['not JSON']),
    ...extra.map((key) => `an unknown key ${key}`),
  ]
}

test('what a field may hold is said in words', async (t) => {
  const api = await openApp()
  t.teardown(() => api.close())
  const root = await api.bootstrap()
  const ask = async (body: object) => (await api.send(root, 'POST', '/v1/services', body)).body.details
  t.match(await ask({ name: 'web', builder: 'magic' }), [
    { field: 'builder', message: 'must be one of auto, dockerfile, node, static' },
  ])
  t.match(await ask({ name: 'My App' }), [
    { field: 'name', message: /1 to 40 lower-case letters, digits and hyphens/ },
  ])
  const document = (await api.send(root, 'GET', '/v1/openapi.json')).text
  for (const pattern of WORDED_PATTERNS)
    t.ok(document.includes(JSON.stringify(pattern)), `${pattern} is in use`)
})

test('what a field names and is not there is said with the field and what stood in it', async (t) => {
  const api = await openApp()
  t.teardown(() => api.close())
  const root = await api.bootstrap()
  const id = '01928c5e-7b1a-7c3e-9d2f-5a6b7c8d9e0f'
  const service = String((await api.must(root, 'POST', '/v1/services', { name: 'web' })).body['id'])
  const projects = (await api.must(root, 'GET', '/v1/projects')).list
  const members = `/v1/projects/${String(projects[0]?.['id'])}/members`
  const upload = { service_id: service, source: { type: 'upload', upload_id: id } }
  const cases: [string, object, status: number, field: string][] = [
    ['/v1/deployments', { service_id: id, source: { type: 'redeploy' } }, 404, 'service_id'],
    ['/v1/deployments', upload, 404, 'source.upload_id'],
    [`/v1/services/${service}/rollback`, { deployment_id: id }, 404, 'deployment_id'],
    ['/v1/api-tokens', { name: 'ci', project_ids: [id] }, 400, 'project_ids.0'],
    [members, { user_id: id, role: 'viewer' }, 400, 'user_id'],
  ]
  for (const [path, body, status, field] of cases) {
    const answer = await api.send(root, 'POST', path, body)
    t.equal(answer.status, status, answer.text)
    t.match(answer.body.details, [{ field, message: new RegExp(id) }], path)
  }
})

test('every failure has the same shape, whoever refuses', async (t) => {
  const api = await openIdentityApi(t)
  const root = await api.bootstrap()
  const json = { 'content-type': 'application/json' }
  const login = '/v1/auth/login'
  const cases: [string, number, string, () => Promise<Answer>][] = [
    ['an unknown path', 404, 'NOT_FOUND', () => api.send(root, 'GET', '/v1/nothing')],
    [
      'an unknown path without credentials',
      404,
      'NOT_FOUND',
      () => api.send(undefined, 'POST', '/nothing', { a: 1 }),
    ],
    ['a wrong method', 405, 'METHOD_NOT_ALLOWED', () => api.send(root, 'PATCH', '/v1/users')],
    ['OPTIONS', 405, 'METHOD_NOT_ALLOWED', () => api.send(undefined, 'OPTIONS', '/v1/users')],
    [
      'a wrong method with a parameter',
      405,
      'METHOD_NOT_ALLOWED',
      () => api.send(root, 'POST', '/v1/users/x', {}),
    ],
    ['bad JSON', 400, 'BAD_JSON', () => api.send(undefined, 'POST', login, '{"a":', json)],
    ['no body', 400, 'VALIDATION_ERROR', () => api.send(undefined, 'POST', login)],
    ['an empty body', 400, 'VALIDATION_ERROR', () => api.send(undefined, 'POST', login, '', json)],
    ['a body that is a list', 400, 'VALIDATION_ERROR', () => api.send(undefined, 'POST', login, [1, 2])],
    ['a prototype', 400, 'BAD_JSON', () => api.send(undefined, 'POST', login, '{"__proto__":{"a":1}}', json)],
    [
      'a hidden prototype',
      400,
      'BAD_JSON',
      () => api.send(undefined, 'POST', login, '{"__pr\\u006fto_\\u005f":1}', json),
    ],
    [
      'a wrong media type',
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      () => api.send(undefined, 'POST', login, 'a=b', { 'content-type': 'text/plain' }),
    ],
    [
      'a body that is too large',
      413,
      'PAYLOAD_TOO_LARGE',
      () => api.send(undefined, 'POST', login, { username: 'x'.repeat(5000) }),
    ],
    [
      'a body where none belongs',
      400,
      'VALIDATION_ERROR',
      () => api.send(root, 'POST', '/v1/auth/logout', { force: true }),
    ],
    ['a query that is unknown', 400, 'VALIDATION_ERROR', () => api.send(root, 'GET', '/v1/users?colour=red')],
    [
      'a limit that is no number',
      400,
      'VALIDATION_ERROR',
      () => api.send(root, 'GET', '/v1/users?limit=many'),
    ],
    [
      'a limit that is too high',
      400,
      'VALIDATION_ERROR',
      () => api.send(root, 'GET', '/v1/users?limit=1001'),
    ],
    [
      'a cursor that is not ours',
      400,
      'VALIDATION_ERROR',
      () => api.send(root, 'GET', '/v1/users?cursor=abc'),
    ],
    ['a URL that cannot be decoded', 404, 'NOT_FOUND', () => api.send(root, 'GET', '/v1/users/%zz')],
    [
      'a parameter that is too long',
      404,
      'NOT_FOUND',
      () => api.send(root, 'GET', `/v1/users/${'x'.repeat(400)}`),
    ],
    [
      'an id that is too long',
      400,
      'VALIDATION_ERROR',
      () => api.send(root, 'GET', `/v1/users/${'x'.repeat(100)}`),
    ],
    ['no credentials', 401, 'UNAUTHENTICATED', () => api.send(undefined, 'GET', '/v1/users')],
    [
      'a bad Idempotency-Key',
      400,
      'VALIDATION_ERROR',
      () => api.send(root, 'POST', '/v1/api-tokens', { name: 'x' }, { 'idempotency-key': 'a b' }),
    ],
  ]
  for (const [what, status, code, send] of cases) {
    const answer = await send()
    t.equal(answer.status, status, what)
    t.equal(answer.body.error, code, what)
    t.same(misshapen(answer), [], what)
  }
})

test('a wrong method is told which ones there are', async (t) => {
  const api = await openIdentityApi(t)
  const answer = await api.send(undefined, 'PATCH', '/v1/users/directory')
  t.equal(answer.headers['allow'], 'GET, HEAD')
  const users = await api.send(undefined, 'OPTIONS', '/v1/users/123?x=1')
  t.same(String(users.headers['allow']).split(', ').toSorted(), ['DELETE', 'GET', 'HEAD', 'PUT'])
})

test('an error of ours shows nothing but the request id, which is in the log with the cause', async (t) => {
  const api = await openIdentityApi(t, {
    addRoutes: (server) => {
      server.get('/broken', { config: { access: { public: true } } }, async () => {
        throw new Error('the secret cause')
      })
      server.get(
        '/lying',
        {
          config: { access: { public: true } },
          schema: { response: { 200: strictObject({ a: Type.String() }) } },
        },
        async () => ({ b: 1 }) as never,
      )
    },
  })
  for (const path of ['/broken', '/lying']) {
    const answer = await api.send(undefined, 'GET', path)
    t.equal(answer.status, 500)
    t.same(misshapen(answer), [])
    t.same(Object.keys(answer.body).toSorted(), ['error', 'message', 'request_id'])
    t.ok(api.log().includes(String(answer.body['request_id'])))
  }
  t.match(api.log(), /the secret cause/)
})

test('the answer holds declared fields only', async (t) => {
  const api = await openIdentityApi(t, {
    addRoutes: (server) => {
      server.get(
        '/leaky',
        {
          config: { access: { public: true } },
          schema: { response: { 200: Type.Object({ name: Type.String() }) } },
        },
        async () => ({ name: 'x', password_hash: 'secret' }),
      )
    },
  })
  t.equal((await api.send(undefined, 'GET', '/leaky')).text, '{"name":"x"}')
})

test('a route without an access rule does not boot', async (t) => {
  await t.rejects(
    openIdentityApi(t, { addRoutes: (server) => void server.get('/open', async () => 'x') }),
    /GET \/open declares no access/,
  )
})

/** Writes bytes to a socket and answers what comes back until it closes. */
async function raw(api: Api, bytes: string): Promise<Pick<Answer, 'status' | 'body' | 'headers'>> {
  const { port } = new URL(await api.listen())
  const socket = connect(Number(port), '127.0.0.1')
  socket.write(bytes)
  const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n')
  const [first = '', ...lines] = head.split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => [line.split(': ')[0]?.toLowerCase(), line.split(': ')[1]]),
  )
  return { status: Number(first.split(' ')[1]), body: JSON.parse(body) as Answer['body'], headers }
}

test('a body that does not arrive ends its connection, whatever it is and whoever wants it', async (t) => {
  const real = createSystem()
  const system = { ...real, later: (ms: number, run: () => void) => real.later(ms / 100, run) }
  const api = await openIdentityApi(t, {
    system,
    addRoutes: (server) => {
      server.post('/streams', { config: { access: { public: true }, streams_body: true } }, async () => 'x')
    },
  })
  const { port } = new URL(await api.listen())
  const cases: [path: string, type: string, answer: RegExp][] = [
    ['/v1/auth/login', 'application/json', /^$/],
    ['/v1/auth/login', 'text/plain', /^HTTP\/1\.1 415 /],
    ['/nothing', 'application/x-tar', /^HTTP\/1\.1 404 /],
    ['/v1/users', 'application/octet-stream', /^HTTP\/1\.1 401 /],
    ['/streams', 'application/x-tar', /^HTTP\/1\.1 415 /],
  ]
  for (const [path, type, answer] of cases) {
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: 100\r\n\r\n{"user`,
    )
    t.match(await text(socket), answer, `${path} ${type}`)
  }
})

test('what is not even HTTP gets the same shape', async (t) => {
  const cases: [string, number, string][] = [
    ['NONSENSE\r\n\r\n', 400, 'BAD_REQUEST'],
    ['GET / HTTP/9.9\r\n\r\n', 400, 'BAD_REQUEST'],
    ['GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n', 400, 'BAD_REQUEST'],
    ['GET / HTTP/1.1\r\nconnection: close\r\n\r\n', 400, 'BAD_REQUEST'],
    ['GET / HTTP/1.1\r\nhost: x\r\nHost: y\r\nconnection: close\r\n\r\n', 400, 'BAD_REQUEST'],
    [
      'GET /v1/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer a\r\nauthorization: Bearer b\r\nconnection: close\r\n\r\n',
      400,
      'BAD_REQUEST',
    ],
    [`GET / HTTP/1.1\r\nhost: x\r\na: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'HEADERS_TOO_LARGE'],
    [
      'POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n',
      400,
      'BAD_REQUEST',
    ],
    ['GET /v1/users/%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 404, 'NOT_FOUND'],
    ['PROPFIND /v1/users HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 405, 'METHOD_NOT_ALLOWED'],
    ['PROPFIND /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 404, 'NOT_FOUND'],
    [
      'GET /v1/me HTTP/1.1\r\nhost: x\r\nexpect: wonders\r\nconnection: close\r\n\r\n',
      401,
      'UNAUTHENTICATED',
    ],
    [
      'GET /v1/me HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n\r\n',
      401,
      'UNAUTHENTICATED',
    ],
  ]
  for (const [bytes, status, code] of cases) {
    const what = JSON.stringify(bytes.slice(0, 70))
    const api = await openIdentityApi(t)
    const answer = await raw(api, bytes)
    t.equal(answer.status, status, what)
    t.equal(answer.body.error, code, what)
    t.same(misshapen(answer), [], what)
  }
})
