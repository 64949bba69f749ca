import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { pack } from 'tar-stream'
import { test } from 'tap'
import type { OpenApiDocument } from '../../src/http/openapi/document.ts'
import type { AnswerObject, Operation } from '../../src/http/openapi/operation.ts'
import { EXAMPLE_ID } from '../../src/http/schema.ts'
import { ADMIN_TOKEN, type Method, type OpenedApp, openApp } from '../support/app.ts'
import { generate } from '../support/generated.ts'
import { resolveReference } from '../support/openapi-reference.ts'
import { operationsOf } from '../support/permission-table.ts'
import { makeWorld, pathIn, type World } from '../support/world.ts'

async function readDocument(app: OpenedApp): Promise<OpenApiDocument> {
  return (await app.must(undefined, 'GET', '/v1/openapi.json')).body as unknown as OpenApiDocument
}

/** Checks values against schemas of the document, with its references resolved. */
function createChecker(document: OpenApiDocument) {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats.default(ajv)
  ajv.addSchema(document, 'openapi')
  return (schema: unknown, value: unknown): string => {
    // References of the document lead into the document, wherever the schema is used.
    const text = JSON.stringify(schema).replaceAll('"$ref":"#/', '"$ref":"openapi#/')
    const validate = ajv.compile(JSON.parse(text) as object)
    return validate(value) ? '' : ajv.errorsText(validate.errors)
  }
}

test('openapi.json, openapi.d.ts and docs/permissions.md are those of the routes', async (t) => {
  for (const [path, text] of Object.entries(await generate())) {
    const committed = await readFile(new URL(`../../${path}`, import.meta.url), 'utf8')
    t.ok(committed === text, `${path} is out of date? run: npm run openapi`)
  }
})

test('every operation is whole: words, errors, examples that fit', async (t) => {
  const app = await openApp()
  t.teardown(() => app.close())
  const document = await readDocument(app)
  const problemOf = createChecker(document)
  const ids = new Set<string>()
  for (const { path, method, operation } of operationsOf(document)) {
    const name = `${method} ${path}`
    t.notOk(ids.has(operation.operationId), `${operation.operationId} is unique`)
    ids.add(operation.operationId)
    t.match(operation.operationId, /^[a-z][A-Za-z]+$/, name)
    t.ok(operation.summary.length > 3 && operation.tags.length === 1, name)
    t.ok(operation.responses['500'] && operation.responses['429'], name)
    t.equal(
      operation.responses['401'] === undefined,
      operation.security.length === 0 && path !== '/v1/auth/login',
      name,
    )
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1])
    const declared = operation.parameters.flatMap((each) =>
      'in' in each && each.in === 'path' ? [each.name] : [],
    )
    t.same(declared, inPath, `${name} describes its parameters`)
    for (const [status, reference] of Object.entries(operation.responses)) {
      const answer = resolveReference<AnswerObject>(document, reference)
      t.ok(answer, `${name} ${status}`)
      for (const [type, media] of Object.entries(answer?.content ?? {})) {
        if (type !== 'application/json') continue
        t.equal(problemOf(media.schema, media.example), '', `the example of ${name} ${status}`)
      }
    }
    for (const [type, media] of Object.entries(operation.requestBody?.content ?? {})) {
      if (type !== 'application/json') continue
      t.equal(problemOf(media.schema, media.example), '', `the example body of ${name}`)
    }
  }
})

/** What an example names is exchanged for what there is. */
function fillIn(world: World, body: unknown, name = ''): unknown {
  if (Array.isArray(body)) return body.map((each) => fillIn(world, each, name))
  if (typeof body === 'object' && body !== null) {
    return Object.fromEntries(Object.entries(body).map(([key, value]) => [key, fillIn(world, value, key)]))
  }
  if (body !== EXAMPLE_ID) return name === 'user_id' ? world.userId : name === 'role' ? 'viewer' : body
  const ids: Record<string, string> = {
    service_id: world.serviceId,
    project_id: world.projectId,
    upload_id: world.uploadId,
    deployment_id: world.deploymentId,
  }
  return ids[name] ?? body
}

/** Reads come first, then what makes things, then what changes them; what ends sessions or things last, the inner before the outer. */
function inOrder(document: OpenApiDocument) {
  const rank = ({
    path,
    method,
    operation,
  }: {
    path: string
    method: Method
    operation: Operation
  }): number => {
    if (operation.operationId === 'createUser') return 10
    if (operation.operationId === 'login') return 11
    if (method === 'DELETE') return 90 - path.split('/').length + (path === '/v1/projects/{id}' ? 10 : 0)
    return { GET: 1, POST: 20, PUT: 30, PATCH: 40 }[method as 'GET'] ?? 50
  }
  return operationsOf(document).toSorted((a, b) => rank(a) - rank(b))
}

async function archive(): Promise<Buffer> {
  const tar = pack()
  tar.entry({ name: 'index.html' }, 'hello')
  tar.finalize()
  return buffer(tar)
}

/** Where it depends on how far the deployment of the world has come, what the example may also get. */
const OTHER_OUTCOMES: Readonly<Record<string, string>> = {
  // Releases run from what is in it.
  deleteRepository: 'IN_USE',
  // The example was added a moment ago, under the same name.
  replaceExternalRegistry: 'NAME_TAKEN',
  bootstrap: 'ALREADY_INITIALIZED',
  cancelDeployment: 'DEPLOYMENT_OVER',
  startService: 'NOTHING_TO_DEPLOY',
  restartService: 'NOTHING_TO_DEPLOY',
  rollbackService: 'NOTHING_TO_DEPLOY',
  setCanary: 'NOT_FOUND',
  promoteCanary: 'NOT_FOUND',
  abortCanary: 'NOT_FOUND',
  deleteProject: 'NOT_EMPTY',
  rotateNodeKey: 'CONFLICT',
  // One has begun by itself with the start.
  collectRegistry: 'CONFLICT',
  deleteVolume: 'IN_USE',
  deleteService: 'NOT_EMPTY',
  // The example is not sent to the hostname that the proof is for.
  getDomainChallenge: 'NOT_FOUND',
  getAcmeChallenge: 'NOT_FOUND',
  // The world has no certificate, and the example is none.
  uploadCertificate: 'VALIDATION_ERROR',
  getCertificate: 'NOT_FOUND',
  deleteCertificate: 'NOT_FOUND',
  renewCertificate: 'NOT_FOUND',
  revokeCertificate: 'NOT_FOUND',
  // Nothing of the world has been fetched over ssh.
  deleteGitHostKey: 'NOT_FOUND',
  // The example is not signed.
  receiveWebhook: 'NOT_FOUND',
}

const ENDS_SESSIONS: ReadonlySet<string> = new Set(['logout', 'endSession', 'endSessions'])

test('every list comes in pages', async (t) => {
  const app = await openApp()
  t.teardown(() => app.close())
  const document = await readDocument(app)
  const lists = operationsOf(document).filter(({ operation }) => answersList(document, operation))
  t.ok(lists.length > 15, 'there are lists')
  for (const { operation } of lists) {
    const names = new Set(
      operation.parameters.map((each) => resolveReference<{ name: string }>(document, each).name),
    )
    t.ok(names.has('limit') && names.has('cursor'), operation.operationId)
  }
})

function answersList(document: OpenApiDocument, { responses }: Operation): boolean {
  return Object.entries(responses).some(([status, answer]) => {
    const schema = resolveReference<AnswerObject>(document, answer).content?.['application/json']?.schema
    return status.startsWith('2') && schema?.type === 'array'
  })
}

test('every example can be sent, and what comes back is as described', async (t) => {
  const app = await openApp({
    environment: {
      BERTH_HTTP_BIND: '127.0.0.1',
      BERTH_HTTP_PORT: '0',
      BERTH_HTTPS_PORT: '0',
      BERTH_INGRESS_WORKERS: '1',
      // Nobody answers there, and says so at once.
      BERTH_DNS_SERVERS: '127.0.0.1:9',
    },
  })
  t.teardown(() => app.close())
  const document = await readDocument(app)
  const problemOf = createChecker(document)
  const world = await makeWorld(app)
  await app.app.start()
  const origin = `http://127.0.0.1:${(app.server.server.address() as AddressInfo).port}`

  // Not one for each: a user has at most so many, and the oldest is the one that the world spares.
  let session: string | undefined
  for (const { path, method, operation } of inOrder(document)) {
    const { operationId } = operation
    // Sessions of their own for what ends them; `alice` is whom the example of createUser made.
    const token =
      operationId === 'bootstrap'
        ? ADMIN_TOKEN
        : operationId === 'changePassword'
          ? await app.login('alice', 'correct horse battery staple')
          : (session ??= await app.login('root'))
    if (ENDS_SESSIONS.has(operationId)) session = undefined
    const headers: Record<string, string> = { authorization: `Bearer ${token}` }
    const raw = Object.keys(operation.requestBody?.content ?? {}).find((type) => type === 'application/x-tar')
    const example = operation.requestBody?.content['application/json']?.example
    const body = raw
      ? await archive()
      : example === undefined
        ? undefined
        : JSON.stringify(fillIn(world, example))
    if (body !== undefined) headers['content-type'] = raw ?? 'application/json'
    const abort = new AbortController()
    const response = await fetch(`${origin}${pathIn(world, path)}`, {
      method,
      headers,
      signal: abort.signal,
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : new Uint8Array(body) }),
    })
    const type = response.headers.get('content-type')?.split(';', 1)[0]
    if (type === 'text/event-stream') {
      t.equal(response.status, 200, operationId)
      abort.abort()
      continue
    }
    const text = await response.text()
    const expected = OTHER_OUTCOMES[operationId]
    const declared = operation.responses[response.status]
    const answer = declared && resolveReference<AnswerObject>(document, declared)
    t.ok(answer, `${operationId} says what ${response.status} is: ${text.slice(0, 300)}`)
    const otherwise = expected !== undefined && text.includes(`"error":"${expected}"`)
    t.ok(response.ok || otherwise, `${operationId}: ${response.status} ${text.slice(0, 300)}`)
    const media = answer?.content?.[type ?? '']
    if (media === undefined) t.equal(text, '', `${operationId} answers nothing`)
    else if (type === 'application/json') t.equal(problemOf(media.schema, JSON.parse(text)), '', operationId)
  }
})

test('the document is served with a tag, and told to be the same when it is', async (t) => {
  const app = await openApp()
  t.teardown(() => app.close())
  const first = await app.send(undefined, 'GET', '/v1/openapi.json')
  t.equal(first.headers['content-type'], 'application/json; charset=utf-8')
  const tag = String(first.headers['etag'])
  const again = await app.send(undefined, 'GET', '/v1/openapi.json', undefined, { 'if-none-match': tag })
  t.equal(again.status, 304)
  t.equal(again.text, '')
})
