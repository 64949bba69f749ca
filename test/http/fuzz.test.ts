import * as fc from 'fast-check'
import { test } from 'tap'
import type { OpenApiDocument } from '../../src/http/openapi/document.ts'
import type { Parameter } from '../../src/http/openapi/operation.ts'
import { ERROR_CATALOGUE } from '../../src/lib/errors.ts'
import { openApp } from '../support/app.ts'
import { valueFor } from '../support/fuzz-values.ts'
import { resolveReference } from '../support/openapi-reference.ts'
import { operationsOf } from '../support/permission-table.ts'
import { makeWorld, pathIn } from '../support/world.ts'

const RUNS_PER_OPERATION = 40
/** The same inputs each time; another one finds others. A failure prints the smallest input. */
const SEED = 20261121
/** What the fuzz must not do, because it would end the session that it works with, or wait for ever. */
const LEFT_OUT = new Set([
  'logout',
  'endSessions',
  'changePassword',
  'login',
  'followEvents',
  'readReadiness',
  'deleteService',
])
/** Answers of the app that never started its ingress. */
const NOT_STARTED = new Set(['STARTING'])

test('no input makes an error of ours: bodies, queries, paths and headers of every operation', async (t) => {
  const app = await openApp()
  t.teardown(() => app.close())
  const document = (await app.must(undefined, 'GET', '/v1/openapi.json')).body as unknown as OpenApiDocument
  const world = await makeWorld(app)

  for (const { path, method, operation } of operationsOf(document)) {
    const { operationId } = operation
    if (LEFT_OUT.has(operationId) || operationId.startsWith('follow')) continue
    const schema = operation.requestBody?.content['application/json']?.schema
    const parameters = operation.parameters.map((each) => resolveReference<Parameter>(document, each))
    const query = fc.record(
      Object.fromEntries(
        parameters
          .filter((parameter) => parameter.in === 'query')
          .map(({ name, schema: of }) => [name, valueFor(document, of).map(String)]),
      ),
      { requiredKeys: [] },
    )
    const headers = fc.record(
      {
        'idempotency-key': fc.string({ maxLength: 30 }).map((key) => `${operationId}${key}`),
        'if-match': fc.string({ maxLength: 30 }),
      },
      { requiredKeys: [] },
    )
    const target = fc.oneof(
      { weight: 4, arbitrary: fc.constant(pathIn(world, path)) },
      {
        weight: 1,
        arbitrary: fc
          .string({ unit: 'binary', maxLength: 40 })
          .map((text) => path.replaceAll(/\{\w+\}/g, encodeLoosely(text))),
      },
    )
    await fc.assert(
      fc.asyncProperty(
        target,
        query,
        headers,
        schema ? valueFor(document, schema) : fc.constant(undefined),
        async (url, search, extra, body) => {
          const text = new URLSearchParams(given(search)).toString()
          const answer = await app.send(
            world.root,
            method,
            text === '' ? url : `${url}?${text}`,
            body === undefined ? undefined : JSON.stringify(body),
            { ...printable(extra), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
          )
          if (answer.status < 400) return
          const { error = 'none' } = answer.body
          if (NOT_STARTED.has(error)) return
          const known = ERROR_CATALOGUE[error as keyof typeof ERROR_CATALOGUE] as
            | { status: number }
            | undefined
          if (answer.status >= 500 || known?.status !== answer.status)
            throw new Error(`${answer.status} ${answer.text}`)
        },
      ),
      { numRuns: RUNS_PER_OPERATION, seed: SEED },
    )
    t.pass(operationId)
  }
  t.match(await verify(app.send, world.root), { chain_ok: true }, 'the audit log holds after all of it')
})

async function verify(send: Awaited<ReturnType<typeof openApp>>['send'], token: string) {
  return (await send(token, 'POST', '/v1/audit-events/verify')).body
}

/** Any text as a path segment, its lone surrogates aside. */
function encodeLoosely(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

function given(values: Record<string, string | undefined>): [string, string][] {
  return Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
}

/** What Node would let a client send. */
function printable(headers: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(given(headers).filter(([, value]) => /^[\x20-\x7e]+$/.test(value)))
}

test('bytes that are no JSON, or more than fits, are refused and harm nothing', async (t) => {
  const app = await openApp()
  t.teardown(() => app.close())
  const root = await app.bootstrap()
  const types = [
    'application/json',
    'application/json; charset=utf-16',
    'text/plain',
    'application/xml',
    '',
    'a/b;;;',
    'multipart/form-data',
  ]
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.constantFrom(...types), async (bytes, type) => {
      const response = await app.server.inject({
        method: 'POST',
        url: '/v1/projects',
        headers: { authorization: `Bearer ${root}`, 'content-type': type },
        payload: Buffer.from(bytes),
      })
      if (response.statusCode >= 500 || response.statusCode < 400) throw new Error(response.body)
      if (typeof response.json<{ error: string }>().error !== 'string') throw new Error(response.body)
    }),
    { numRuns: 200, seed: 1 },
  )
  const nested = '['.repeat(200_000)
  t.equal(
    (await app.send(root, 'POST', '/v1/projects', nested, { 'content-type': 'application/json' })).status,
    400,
  )
  const wide = JSON.stringify(Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`field${n}`, n])))
  const answer = await app.send(root, 'POST', '/v1/projects', wide, { 'content-type': 'application/json' })
  t.equal(answer.status, 400)
  t.ok((answer.body.details?.length ?? 0) <= 50, 'the answer to a wide body is short')
  const large = await app.send(root, 'POST', '/v1/projects', ' '.repeat(2_000_000), {
    'content-type': 'application/json',
  })
  t.equal(large.status, 413)
})
