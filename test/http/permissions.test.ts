import { test } from 'tap'
import type { OpenApiDocument } from '../../src/http/openapi/document.ts'
import type { Operation } from '../../src/http/openapi/operation.ts'
import { createSystem } from '../../src/lib/system.ts'
import { openApp } from '../support/app.ts'
import { addGate, type Caller, LET_IN, operationsOf, type Row, sweep } from '../support/permission-table.ts'
import { pathIn } from '../support/world.ts'

/** The sweep of a whole app, and what further callers get. */
async function openSweep(t: { teardown(done: () => unknown): void }) {
  const gate = { closed: false }
  const system = createSystem()
  let ahead = 0
  const app = await openApp({
    system: {
      ...system,
      now: () => system.now() + ahead,
      nowIso: () => new Date(system.now() + ahead).toISOString(),
    },
    prepare: (server) => addGate(server, gate),
  })
  t.teardown(() => app.close())
  const document = (await app.must(undefined, 'GET', '/v1/openapi.json')).body as unknown as OpenApiDocument
  const { rows, world } = await sweep(app, document, gate)
  return {
    app,
    document,
    rows,
    world,
    gate,
    advance: (ms: number) => {
      ahead += ms
    },
    /** What each operation answers to one more token, beside what it answers to another caller. */
    compare: async (token: string | undefined): Promise<{ row: Row; got: string }[]> => {
      const results = []
      for (const row of rows) {
        const answer = await app.send(token, row.method, pathIn(world, row.path))
        results.push({ row, got: answer.body.error ?? String(answer.status) })
      }
      return results
    },
  }
}

const isPublic = ({ security }: Operation): boolean => security.length === 0
const nameOf = ({ method, path }: Row): string => `${method} ${path}`

test('nobody is let in without valid credentials but where the document says so', async (t) => {
  const { rows, app, world, compare, advance } = await openSweep(t)
  for (const row of rows) {
    t.equal(row.answers.nobody, isPublic(row.operation) ? LET_IN : 'UNAUTHENTICATED', nameOf(row))
  }
  for (const token of [
    'bth_ses_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    'bth_pat_x',
    'x',
    `${world.root}A`,
  ]) {
    for (const { row, got } of await compare(token))
      t.equal(got, row.answers.nobody, `${nameOf(row)} with ${token}`)
  }
  t.equal((await app.send(world.root, 'GET', '/v1/me')).body.error, LET_IN)
  advance(31 * 86_400_000)
  for (const { row, got } of await compare(world.root)) {
    t.equal(got, row.answers.nobody, `${nameOf(row)} with an expired session`)
  }
})

test('roles only add: whoever may more in a project is let in wherever those below are', async (t) => {
  const { rows } = await openSweep(t)
  const ladder: Caller[] = ['signed in', 'viewer', 'operator', 'admin', 'super-admin']
  for (const row of rows) {
    const answers = ladder.map((caller) => row.answers[caller] === LET_IN)
    t.same(
      answers,
      answers.toSorted((a, b) => Number(a) - Number(b)),
      nameOf(row),
    )
  }
})

test('ids of a project that the caller does not see are not confirmed', async (t) => {
  const { rows, world, compare } = await openSweep(t)
  const ofProject = (path: string): boolean => /^\/v1\/(projects|services|deployments)\/\{id\}/.test(path)
  t.ok(rows.filter((row) => ofProject(row.path)).length > 20)
  for (const { row, got } of await compare(world.sessions.other_admin)) {
    // A session-only operation says so before it looks for anything.
    if (ofProject(row.path)) t.equal(got, 'NOT_FOUND', nameOf(row))
  }
  for (const row of rows) if (ofProject(row.path)) t.equal(row.answers['signed in'], 'NOT_FOUND', nameOf(row))
})

test('a token is let in only where its few permissions reach', async (t) => {
  const { app, world, gate, compare } = await openSweep(t)
  gate.closed = false
  const minted = await app.must(world.sessions.admin, 'POST', '/v1/api-tokens', {
    name: 'small',
    permissions: ['deployments.read'],
    project_ids: [world.projectId],
  })
  gate.closed = true
  const reached = (await compare(String(minted.body['token'])))
    .filter(({ row, got }) => got === LET_IN && !isPublic(row.operation))
    .map(({ row }) => nameOf(row))
  t.same(reached, [
    'GET /v1/api-tokens',
    'POST /v1/api-tokens',
    'DELETE /v1/api-tokens/{token_id}',
    'GET /v1/auth/sessions',
    'POST /v1/authorization/check',
    'GET /v1/authorization/me',
    'GET /v1/certificates',
    'GET /v1/deployments/{id}',
    'GET /v1/events',
    'GET /v1/me',
    'GET /v1/node/freeze',
    'GET /v1/permissions',
    'GET /v1/projects',
    'GET /v1/roles',
    'GET /v1/secrets/recipient',
    'GET /v1/services',
    'GET /v1/services/{id}/deployments',
    'GET /v1/workloads',
  ])
  gate.closed = false
  const token = String(minted.body['token'])
  for (const url of ['/v1/projects', '/v1/services', '/v1/workloads']) {
    t.same((await app.must(token, 'GET', url)).list, [], `${url} holds nothing that it may not read`)
  }
})

test('every refusal names what is missing', async (t) => {
  const { app, world, rows } = await openSweep(t)
  for (const row of rows) {
    if (row.answers.viewer !== 'FORBIDDEN') continue
    const answer = await app.send(world.sessions.viewer, row.method, pathIn(world, row.path))
    t.ok(answer.body['permission'] ?? row.path === '/v1/bootstrap', nameOf(row))
  }
})

test('the check agrees with every route', async (t) => {
  const { app, world, rows, gate } = await openSweep(t)
  gate.closed = false
  const callers = [
    ['viewer', world.sessions.viewer],
    ['operator', world.sessions.operator],
    ['admin', world.sessions.admin],
    ['signed in', world.sessions.nobody_special],
    ['super-admin', world.root],
  ] as const
  for (const row of rows) {
    for (const [caller, token] of callers) {
      const body = { method: row.method, path: pathIn(world, row.path) }
      const said = (await app.must(token, 'POST', '/v1/authorization/check', body)).body
      t.equal(
        said['allowed'] === true ? LET_IN : said['reason'],
        row.answers[caller],
        `${nameOf(row)} ${caller}`,
      )
    }
  }
})

test('every PUT, PATCH and DELETE with an If-Match that is not of what it changes answers 412 and changes nothing', async (t) => {
  const { app, world, document, gate } = await openSweep(t)
  gate.closed = false
  const newest = async () => (await app.must(world.root, 'GET', '/v1/audit-events?limit=1')).list[0]?.['id']
  const before = await newest()
  const tagged: string[] = []
  const operations = operationsOf(document)
  for (const { method, path, operation } of operations) {
    if (!['PUT', 'PATCH', 'DELETE'].includes(method)) continue
    const name = `${method} ${path}`
    const url = pathIn(world, path)
    const body = operation.requestBody?.content['application/json']?.example
    const answer = await app.send(world.root, method, url, body, { 'if-match': '"something-else"' })
    // The world has neither of them.
    const missing = ['/v1/services/{id}/canary', '/v1/certificates/{certificate_id}'].includes(path)
    t.equal(answer.body.error, missing ? 'NOT_FOUND' : 'PRECONDITION_FAILED', `${name}: ${answer.text}`)
    if (JSON.stringify(operation.parameters).includes('IfMatch')) tagged.push(name)
    const isRead = operations.some((each) => each.method === 'GET' && each.path === path)
    const { headers } = isRead ? await app.send(world.root, 'GET', url) : { headers: {} as { etag?: string } }
    if (headers.etag !== undefined) t.ok(tagged.includes(name), `${name} compares the tag of its GET`)
  }
  t.ok(tagged.length >= 28, `${tagged.length} compare`)
  t.equal(await newest(), before, 'nothing was done')
  const rules = pathIn(world, '/v1/projects/{id}/registry-rules')
  const asRead = { 'if-match': String((await app.must(world.root, 'GET', rules)).headers['etag']) }
  const replace = () => app.send(world.root, 'PUT', rules, { quota_bytes: null, rules: [] }, asRead)
  t.same([(await replace()).status, (await replace()).status], [200, 412])
})
