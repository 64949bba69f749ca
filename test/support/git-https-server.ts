import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const BACKEND = '/usr/lib/git-core/git-http-backend'

export interface Authority {
  /** A certificate in PEM: what a daemon is to trust. */
  file: string
  key: Buffer
  certificate: Buffer
  remove(): Promise<void>
}

/** A certificate for localhost and 127.0.0.1 that vouches for itself. */
export async function makeAuthority(): Promise<Authority> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-ca-'))
  const [key, file] = [join(folder, 'key.pem'), join(folder, 'ca.pem')]
  await run('openssl', [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=berth test',
    '-addext',
    'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:127.0.0.2',
    '-keyout',
    key,
    '-out',
    file,
  ])
  return {
    file,
    key: await readFile(key),
    certificate: await readFile(file),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

export interface GitHttpsServer {
  url: string
  /** What was asked, in order: path and the Authorization header. */
  seen: { path: string; authorization: string | undefined }[]
  close(): Promise<void>
}

export interface HttpsServerOptions {
  /** `user:token` that every request must show. */
  credential?: string
  /** Answers instead of the repository when it returns true. */
  intercept?: (request: IncomingMessage, response: ServerResponse) => boolean
  host?: string
}

/** Serves the bare repositories under `root` over smart HTTP, with git's own CGI program. */
export async function serveGitHttps(
  root: string,
  authority: Authority,
  options: HttpsServerOptions = {},
): Promise<GitHttpsServer> {
  const seen: GitHttpsServer['seen'] = []
  const server = createServer({ key: authority.key, cert: authority.certificate }, (request, response) => {
    seen.push({ path: request.url ?? '', authorization: request.headers.authorization })
    if (options.intercept?.(request, response) === true) return
    const wanted = options.credential && `Basic ${Buffer.from(options.credential).toString('base64')}`
    if (wanted !== undefined && request.headers.authorization !== wanted) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end()
      return
    }
    runBackend(root, request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, options.host ?? '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `https://${options.host === '127.0.0.2' ? '127.0.0.2' : 'localhost'}:${port}`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

function runBackend(root: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'https://localhost')
  const child = spawn(BACKEND, [], {
    env: {
      PATH: process.env['PATH'],
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      HOME: '/nonexistent',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      REQUEST_METHOD: request.method,
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      ...(request.headers['content-length'] !== undefined && {
        CONTENT_LENGTH: request.headers['content-length'],
      }),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  child.stdin.on('error', () => {})
  request.pipe(child.stdin)
  response.on('close', () => child.kill('SIGKILL'))
  let head = Buffer.alloc(0)
  let begun = false
  child.stdout.on('data', (chunk: Buffer) => {
    if (begun) return void response.write(chunk)
    head = Buffer.concat([head, chunk])
    const end = head.indexOf('\r\n\r\n')
    if (end === -1) return
    begun = true
    const fields = head.subarray(0, end).toString().split('\r\n')
    let status = 200
    for (const field of fields) {
      const [name = '', value = ''] = field.split(/: ?(.*)/s)
      if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10)
      else response.setHeader(name, value)
    }
    response.writeHead(status)
    response.write(head.subarray(end + 4))
  })
  child.on('close', () => response.end())
}
