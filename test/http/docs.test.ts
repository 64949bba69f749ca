import { test } from 'tap'
import { openIdentityApi } from '../support/identity-api.ts'

interface Filled {
  values: Record<string, string>
  parameters: { name: string; in: string }[]
  body: string | undefined
  token: string
  origin: string
}
interface PageRequest {
  url: string
  needsToken: boolean
  needsFile: boolean
  options: { method: string; headers: Record<string, string>; body?: string }
}
/** The part of the page that needs no browser. */
const page = (await import(new URL('../../src/web/docs/request.js', import.meta.url).href)) as {
  requestOf(operation: object, filled: Filled): PageRequest
  curlCommand(request: PageRequest): string
}

const FILES = ['docs.css', 'docs.js', 'answer.js', 'elements.js', 'operation.js', 'request.js']

test('the page and all that it loads come from here, and nothing of it is inline', async (t) => {
  const api = await openIdentityApi(t)
  const html = await api.send(undefined, 'GET', '/docs')
  t.equal(html.headers['content-type'], 'text/html; charset=utf-8')
  t.match(html.headers['content-security-policy'], /default-src 'none'; script-src 'self'; style-src 'self'/)
  t.notMatch(html.headers['content-security-policy'], /unsafe|http/)
  t.notMatch(html.text, /<script(?![^>]*\bsrc=)|<style|\son[a-z]+=|\sstyle=|https?:/i)
  const loaded = [...html.text.matchAll(/(?:href|src)="\/docs\/([^"]+)"/g)].map((match) => match[1])
  t.same(loaded, ['docs.css', 'docs.js'])
  for (const file of FILES) {
    const answer = await api.send(undefined, 'GET', `/docs/${file}`)
    t.equal(answer.status, 200, file)
    t.equal(answer.headers['x-content-type-options'], 'nosniff', file)
    t.match(answer.headers['content-type'], file.endsWith('.css') ? /css/ : /javascript/, file)
    t.notMatch(answer.text, /innerHTML|eval\(|https?:\/\//, file)
    const imported = [...answer.text.matchAll(/from '\.\/([^']+)'/g)].map((match) => match[1] ?? '')
    t.ok(
      imported.every((name) => FILES.includes(name)),
      `${file} imports what is served`,
    )
  }
  t.equal((await api.send(undefined, 'GET', '/docs/../package.json')).status, 404)
})

test('a filled form becomes a request and a command for a shell', async (t) => {
  const operation = { method: 'PATCH', path: '/v1/services/{id}/env', security: [{ bearer: [] }] }
  const request = page.requestOf(operation, {
    values: { id: 'a/b', 'If-Match': '"1"', limit: '', since: 'a b' },
    parameters: [
      { name: 'id', in: 'path' },
      { name: 'limit', in: 'query' },
      { name: 'since', in: 'query' },
      { name: 'If-Match', in: 'header' },
    ],
    body: '{\n  "set": { "A": "it\'s" }\n}',
    token: 'bth_pat_secret',
    origin: 'http://localhost:7180',
  })
  t.equal(request.url, 'http://localhost:7180/v1/services/a%2Fb/env?since=a+b')
  t.same(request.options.headers, {
    'If-Match': '"1"',
    Authorization: 'Bearer bth_pat_secret',
    'Content-Type': 'application/json',
  })
  const command = page.curlCommand(request)
  t.equal(
    command,
    [
      "curl -X PATCH 'http://localhost:7180/v1/services/a%2Fb/env?since=a+b'",
      '-H "Authorization: Bearer $BERTH_TOKEN"',
      `-H 'If-Match: "1"'`,
      "-H 'Content-Type: application/json'",
      `-d '{"set":{"A":"it'\\''s"}}'`,
    ].join(' \\\n  '),
  )
  t.notMatch(command, /bth_pat_secret/, 'the token stays out of the history of the shell')
})

test('what is missing stays visible, and a public operation needs no token', async (t) => {
  const operation = { method: 'GET', path: '/v1/users/{user_id}', security: [] }
  const parameters = [{ name: 'user_id', in: 'path' }]
  const request = page.requestOf(operation, {
    values: {},
    parameters,
    body: undefined,
    token: '',
    origin: 'http://x',
  })
  t.equal(page.curlCommand(request), "curl 'http://x/v1/users/{user_id}'")
})

test('a body that is a file is for the shell', async (t) => {
  const request = page.requestOf(
    {
      method: 'POST',
      path: '/v1/services/{id}/uploads',
      security: [{ bearer: [] }],
      requestBody: { content: { 'application/zstd': {}, 'application/x-tar': {} } },
    },
    { values: { id: 'x' }, parameters: [{ name: 'id', in: 'path' }], body: undefined, token: '', origin: '' },
  )
  t.equal(request.needsFile, true)
  t.equal(
    page.curlCommand(request),
    [
      "curl -X POST '/v1/services/x/uploads'",
      '-H "Authorization: Bearer $BERTH_TOKEN"',
      "-H 'Content-Type: application/zstd'",
      '--data-binary @FILE',
    ].join(' \\\n  '),
  )
})
