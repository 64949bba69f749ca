import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { symlink, utimes, writeFile } from 'node:fs/promises'
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { test } from 'tap'
import { type SourceTree, writeSource } from './source-tree.ts'

const SCRIPT = new URL('../../../src/modules/builds/static-server/static-server.mjs', import.meta.url)
  .pathname

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

interface Site {
  root: string
  get(path: string, headers?: Record<string, string>, method?: string): Promise<Answer>
  stop(): Promise<number | null>
  port: number
}

async function serve(t: Test, tree: SourceTree): Promise<Site> {
  const root = await writeSource(t, tree)
  const server = spawn(process.execPath, [SCRIPT, root], {
    env: { PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => server.kill('SIGKILL'))
  const exited = once(server, 'exit')
  const [line] = (await once(createInterface({ input: server.stdout }), 'line')) as [string]
  const port = Number(/port (\d+)$/.exec(line)?.[1])
  return {
    root,
    port,
    get: (path, headers = {}, method = 'GET') => fetchRaw(port, path, headers, method),
    stop: async () => {
      server.kill('SIGTERM')
      return ((await exited) as [number | null])[0]
    },
  }
}

/** Sends the path as it stands: `fetch` would tidy it. */
function fetchRaw(
  port: number,
  path: string,
  headers: Record<string, string>,
  method: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', path, method, headers, agent: false }, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(pieces).toString(),
        }),
      )
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end()
  })
}

const SITE = {
  'index.html': '<h1>home</h1>',
  'about.html': 'about',
  'docs/index.html': 'docs',
  'style.css': 'body{}',
  'app.js': 'js',
  'data.bin': '0123456789',
  'with space/ü.txt': 'umlaut',
  '.env': 'SECRET=1',
  '.git/config': 'secret',
  '.well-known/security.txt': 'contact',
  '.well-known/.hidden': 'secret',
  'empty.txt': '',
  '404.html': 'nothing here',
}

void test('files are served with their type, and folders with their index', async (t) => {
  const site = await serve(t, SITE)
  const table: [path: string, status: number, type: string, body: string][] = [
    ['/', 200, 'text/html; charset=utf-8', '<h1>home</h1>'],
    ['/index.html', 200, 'text/html; charset=utf-8', '<h1>home</h1>'],
    ['/?a=b', 200, 'text/html; charset=utf-8', '<h1>home</h1>'],
    ['/style.css', 200, 'text/css; charset=utf-8', 'body{}'],
    ['/app.js', 200, 'text/javascript; charset=utf-8', 'js'],
    ['/data.bin', 200, 'application/octet-stream', '0123456789'],
    ['/about', 200, 'text/html; charset=utf-8', 'about'],
    ['/docs/', 200, 'text/html; charset=utf-8', 'docs'],
    ['/with%20space/%C3%BC.txt', 200, 'text/plain; charset=utf-8', 'umlaut'],
    ['/.well-known/security.txt', 200, 'text/plain; charset=utf-8', 'contact'],
    ['/empty.txt', 200, 'text/plain; charset=utf-8', ''],
    ['/missing', 404, 'text/html; charset=utf-8', 'nothing here'],
    ['http://example.com/about', 200, 'text/html; charset=utf-8', 'about'],
  ]
  for (const [path, status, type, body] of table) {
    const answer = await site.get(path)
    t.match(answer, { status, body, headers: { 'content-type': type } }, path)
    t.equal(answer.headers['x-content-type-options'], 'nosniff', path)
  }
})

void test('a folder without its slash leads to it, on this host', async (t) => {
  const site = await serve(t, SITE)
  t.match(await site.get('/docs?x=1'), { status: 301, headers: { location: '/docs/?x=1' } })
  t.match(await site.get('//docs'), { status: 301, headers: { location: '/docs/' } })
})

void test('hidden files, paths that lead up and nonsense are not served', async (t) => {
  const site = await serve(t, SITE)
  const hidden = [
    '/.env',
    '/.git/config',
    '/%2eenv',
    '/.well-known/.hidden',
    '/..',
    '/../package.json',
    '/docs/../.env',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/docs/%2e%2e/.env',
    '/a/.well-known/x',
  ]
  for (const path of hidden) {
    const answer = await site.get(path)
    t.equal(answer.status, 404, path)
    t.notMatch(answer.body, /secret|root:/i, path)
  }
  for (const path of ['/%', '/%ff', '/a%00b']) t.equal((await site.get(path)).status, 400, path)
})

void test('a link that leads out of the site is as if it were not there; one inside is served', async (t) => {
  const site = await serve(t, { 'index.html': 'x', 'real.txt': 'real' })
  await symlink('/etc/passwd', join(site.root, 'passwd.txt'))
  await symlink('/etc', join(site.root, 'etc'))
  await symlink('real.txt', join(site.root, 'alias.txt'))
  t.equal((await site.get('/passwd.txt')).status, 404)
  t.equal((await site.get('/etc/passwd')).status, 404)
  t.match(await site.get('/alias.txt'), { status: 200, body: 'real' })
  t.match(await site.get('/nothing'), { status: 404, body: 'Not Found\n' }, 'without a page of its own')
})

void test('only reading is allowed, and HEAD says what GET would', async (t) => {
  const site = await serve(t, SITE)
  t.match(await site.get('/', {}, 'POST'), { status: 405, headers: { allow: 'GET, HEAD' } })
  t.equal((await site.get('/', {}, 'DELETE')).status, 405)
  t.match(await site.get('/data.bin', {}, 'HEAD'), {
    status: 200,
    body: '',
    headers: { 'content-length': '10' },
  })
  t.match(await site.get('/missing', {}, 'HEAD'), { status: 404, body: '' })
})

void test('what a browser has already is not sent again', async (t) => {
  const site = await serve(t, SITE)
  const { headers } = await site.get('/style.css')
  const etag = headers.etag ?? ''
  t.match(await site.get('/style.css', { 'if-none-match': etag }), {
    status: 304,
    body: '',
    headers: { etag },
  })
  t.equal((await site.get('/style.css', { 'if-none-match': `"x", W/${etag}` })).status, 304)
  t.equal((await site.get('/style.css', { 'if-none-match': '"x"' })).status, 200)
  t.equal((await site.get('/style.css', { 'if-modified-since': headers['last-modified'] ?? '' })).status, 304)
  t.equal(
    (await site.get('/style.css', { 'if-modified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' })).status,
    200,
  )
  await writeFile(join(site.root, 'style.css'), 'body{color:red}')
  t.equal((await site.get('/style.css', { 'if-none-match': etag })).status, 200, 'until it changes')
})

void test('a part of a file is served where it is asked for', async (t) => {
  const site = await serve(t, SITE)
  const { headers } = await site.get('/data.bin')
  const table: [range: string, status: number, body: string, contentRange: string | undefined][] = [
    ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-2', 206, '89', 'bytes 8-9/10'],
    ['bytes=5-99', 206, '56789', 'bytes 5-9/10'],
    ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=10-', 416, 'Range Not Satisfiable\n', 'bytes */10'],
    ['bytes=-0', 416, 'Range Not Satisfiable\n', 'bytes */10'],
    ['bytes=3-1', 200, '0123456789', undefined],
    ['bytes=0-1,3-4', 200, '0123456789', undefined],
    ['lines=0-1', 200, '0123456789', undefined],
    ['bytes=-', 200, '0123456789', undefined],
  ]
  for (const [range, status, body, contentRange] of table) {
    const answer = await site.get('/data.bin', { range })
    t.match(answer, { status, body }, range)
    t.equal(answer.headers['content-range'], contentRange, range)
  }
  t.equal((await site.get('/data.bin', { range: 'bytes=0-3', 'if-range': headers.etag ?? '' })).status, 206)
  t.equal((await site.get('/data.bin', { range: 'bytes=0-3', 'if-range': '"old"' })).status, 200)
})

void test('a file that was compressed beforehand is preferred where the browser takes it', async (t) => {
  const site = await serve(t, {
    'app.js': 'plain',
    'app.js.br': 'brotli',
    'app.js.gz': 'gzip',
    'old.js': 'plain',
    'old.js.gz': 'leftover',
  })
  await utimes(join(site.root, 'old.js.gz'), 1, 1)
  const get = async (path: string, encoding: string) => site.get(path, { 'accept-encoding': encoding })
  t.match(await get('/app.js', 'gzip, deflate, br'), {
    body: 'brotli',
    headers: { 'content-encoding': 'br', 'content-type': /javascript/, vary: 'accept-encoding' },
  })
  t.match(await get('/app.js', 'gzip'), { body: 'gzip', headers: { 'content-encoding': 'gzip' } })
  t.match(await get('/app.js', 'br;q=0, gzip;q=0.5'), { body: 'gzip' })
  t.match(await get('/app.js', 'identity'), { body: 'plain' })
  t.equal((await get('/app.js', 'identity')).headers['content-encoding'], undefined)
  t.match(await get('/old.js', 'gzip'), { body: 'plain' }, 'unless it is older than the file')
  const tags = await Promise.all(
    ['br', 'gzip', 'identity'].map(async (each) => (await get('/app.js', each)).headers.etag),
  )
  t.equal(new Set(tags).size, 3)
})

void test('SIGTERM lets an answer that is under way finish, and then ends with 0', async (t) => {
  const site = await serve(t, { 'big.bin': 'x'.repeat(20_000_000) })
  const sent = request({ port: site.port, path: '/big.bin' })
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  await once(response, 'readable')
  const stopped = site.stop()
  let bytes = 0
  for await (const piece of response as AsyncIterable<Buffer>) bytes += piece.length
  t.equal(bytes, 20_000_000)
  t.equal(await stopped, 0)
})
