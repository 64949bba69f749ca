// Serves a folder of static files. Runs in containers, on any Node.js from 18 on, without dependencies.
// node static-server.mjs <folder>     PORT is where it listens (default 8080)
import { createReadStream } from 'node:fs'
import { open, realpath } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, sep } from 'node:path'
import { pipeline } from 'node:stream'

/** What browsers care about; text is UTF-8 (the encoding that everything is written in today). */
const TYPES = {
  '.avif': 'image/avif',
  '.bmp': 'image/bmp',
  '.css': 'text/css; charset=utf-8',
  '.csv': 'text/csv; charset=utf-8',
  '.eot': 'application/vnd.ms-fontobject',
  '.gif': 'image/gif',
  '.gz': 'application/gzip',
  '.htm': 'text/html; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.ics': 'text/calendar; charset=utf-8',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.jsonld': 'application/ld+json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.mp3': 'audio/mpeg',
  '.mp4': 'video/mp4',
  '.oga': 'audio/ogg',
  '.ogg': 'audio/ogg',
  '.ogv': 'video/ogg',
  '.otf': 'font/otf',
  '.pdf': 'application/pdf',
  '.png': 'image/png',
  '.rss': 'application/rss+xml; charset=utf-8',
  '.svg': 'image/svg+xml; charset=utf-8',
  '.tar': 'application/x-tar',
  '.ttf': 'font/ttf',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.wav': 'audio/wav',
  '.webm': 'video/webm',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.webp': 'image/webp',
  '.woff': 'font/woff',
  '.woff2': 'font/woff2',
  '.xhtml': 'application/xhtml+xml; charset=utf-8',
  '.xml': 'application/xml; charset=utf-8',
  '.zip': 'application/zip',
}

/** Files made beforehand beside the original, in the order in which they are liked. */
const ENCODINGS = [
  ['br', '.br'],
  ['gzip', '.gz'],
]

const DRAIN_MS = 10_000

const [, , folder = '.'] = process.argv
const root = await realpath(folder)
const server = createServer((request, response) => {
  serve(request, response).catch((error) => {
    process.stderr.write(`${request.method} ${request.url}: ${error.stack}\n`)
    if (response.headersSent) response.destroy()
    else sendText(response, 500, 'Internal Server Error')
  })
})
// Longer than proxies keep theirs, so that none finds a connection closed under its request.
server.keepAliveTimeout = 90_000
server.listen(Number(process.env.PORT ?? 8080), () => {
  process.stdout.write(`Serving ${root} on port ${server.address().port}\n`)
})
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, drain)

/** Answers what is under way, takes nothing new. */
function drain() {
  server.close(() => process.exit(0))
  // Connections become idle one after the other, each when its answer is out.
  setInterval(() => server.closeIdleConnections(), 50).unref()
  setTimeout(() => process.exit(0), DRAIN_MS).unref()
}

async function serve(request, response) {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    return sendText(response, 405, 'Method Not Allowed')
  }
  const [rawPath, query] = splitTarget(request.url)
  const path = decodePath(rawPath)
  if (path === undefined) return sendText(response, 400, 'Bad Request')
  const found = await find(path)
  if (found?.redirect) {
    // Relative to the host alone, and of one slash only: `//host` would lead elsewhere.
    const location = `${encodeURI(`/${path.split('/').filter(Boolean).join('/')}/`)}${query}`
    response.setHeader('location', location)
    return sendText(response, 301, 'Moved Permanently')
  }
  if (found) return sendFile(request, response, found, 200)
  const page = await openFile('/404.html')
  if (page) return sendFile(request, response, page, 404)
  return sendText(response, 404, 'Not Found')
}

function splitTarget(target) {
  // An absolute form (RFC 9112, section 3.2.2) has its path behind the host.
  const local = target.replace(/^https?:\/\/[^/?#]*/i, '')
  const at = local.search(/[?#]/)
  return at === -1 ? [local || '/', ''] : [local.slice(0, at) || '/', local.slice(at).replace(/#.*$/, '')]
}

/** The path without escapes, or undefined when it is not one. Whatever is hidden (a dot in front) or leads up is not served. */
function decodePath(rawPath) {
  let path
  try {
    path = decodeURIComponent(rawPath)
  } catch {
    return undefined
  }
  if (!path.startsWith('/') || path.includes('\0')) return undefined
  return path
}

function isHidden(path) {
  // RFC 8615: .well-known is the one that is meant for the public.
  return path
    .split('/')
    .some((name, position) => name.startsWith('.') && !(position === 1 && name === '.well-known'))
}

/** The file for a path: itself, the index of a folder, or the page without its extension. */
async function find(path) {
  if (isHidden(path)) return undefined
  if (path.endsWith('/')) return openFile(`${path}index.html`)
  const file = (await openFile(path)) ?? (await openFile(`${path}.html`))
  if (file) return file
  const index = await openFile(`${path}/index.html`)
  if (!index) return undefined
  await index.handle.close()
  return { redirect: true }
}

/** A regular file inside the root, opened; links that lead out of it are as if they were not there. */
async function openFile(path) {
  let handle
  try {
    const real = await realpath(join(root, path))
    if (real !== root && !real.startsWith(root.endsWith(sep) ? root : root + sep)) return undefined
    handle = await open(real, 'r')
    const status = await handle.stat()
    if (status.isFile()) return { handle, path, status }
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG', 'ENXIO'].includes(error.code))
      throw error
  }
  await handle?.close()
  return undefined
}

async function sendFile(request, response, file, status) {
  response.setHeader('content-type', TYPES[extname(file.path).toLowerCase()] ?? 'application/octet-stream')
  response.setHeader('x-content-type-options', 'nosniff')
  response.setHeader('cache-control', 'public, max-age=0, must-revalidate')
  response.setHeader('vary', 'accept-encoding')
  const chosen = request.headers.range === undefined ? await chooseEncoding(request, response, file) : file
  try {
    await sendBytes(request, response, chosen, status)
  } finally {
    await chosen.handle.close()
  }
}

async function chooseEncoding(request, response, file) {
  const accepted = request.headers['accept-encoding'] ?? ''
  for (const [encoding, suffix] of ENCODINGS) {
    if (!accepts(accepted, encoding)) continue
    const packed = await openFile(file.path + suffix)
    // One that is older than its original is a leftover.
    if (packed && packed.status.mtimeMs >= file.status.mtimeMs) {
      response.setHeader('content-encoding', encoding)
      await file.handle.close()
      return packed
    }
    await packed?.handle.close()
  }
  return file
}

/** RFC 9110, section 12.5.3. */
function accepts(header, encoding) {
  return header.split(',').some((part) => {
    const [name, ...parameters] = part
      .trim()
      .toLowerCase()
      .split(/\s*;\s*/)
    return name === encoding && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))
  })
}

async function sendBytes(request, response, { handle, status: { size, mtimeMs } }, status) {
  const modified = Math.floor(mtimeMs / 1000) * 1000
  const etag = `"${size.toString(16)}-${Math.floor(mtimeMs).toString(16)}"`
  response.setHeader('accept-ranges', 'bytes')
  response.setHeader('etag', etag)
  response.setHeader('last-modified', new Date(modified).toUTCString())
  if (status === 200 && isFresh(request.headers, etag, modified)) return end(response, 304)
  const range = status === 200 ? readRange(request.headers, size, etag, modified) : undefined
  if (range === 'unsatisfiable') {
    response.setHeader('content-range', `bytes */${size}`)
    return sendText(response, 416, 'Range Not Satisfiable')
  }
  const [first, last] = range ?? [0, size - 1]
  if (range) response.setHeader('content-range', `bytes ${first}-${last}/${size}`)
  response.setHeader('content-length', last - first + 1)
  response.statusCode = range ? 206 : status
  if (request.method === 'HEAD' || size === 0) return end(response, response.statusCode)
  const source = createReadStream('', { fd: handle, start: first, end: last, autoClose: false })
  // A client that goes away in the middle is no error of ours.
  await new Promise((resolve) => pipeline(source, response, resolve))
}

/** RFC 9110, section 13.2.2: If-None-Match counts before If-Modified-Since. */
function isFresh(headers, etag, modified) {
  const tags = headers['if-none-match']
  if (tags !== undefined)
    return tags.trim() === '*' || tags.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)
  const since = Date.parse(headers['if-modified-since'] ?? '')
  return !Number.isNaN(since) && modified <= since
}

/** One range (RFC 9110, section 14.2); several, and units that we do not know, count as none. */
function readRange(headers, size, etag, modified) {
  const match = /^bytes=(\d*)-(\d*)$/.exec(headers.range?.trim() ?? '')
  if (!match || (match[1] === '' && match[2] === '')) return undefined
  const condition = headers['if-range']
  if (condition !== undefined && condition !== etag && Date.parse(condition) !== modified) return undefined
  const first = match[1] === '' ? Math.max(0, size - Number(match[2])) : Number(match[1])
  const last = match[1] === '' || match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1)
  if (match[1] !== '' && match[2] !== '' && Number(match[2]) < first) return undefined
  return first > last ? 'unsatisfiable' : [first, last]
}

function sendText(response, status, text) {
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.setHeader('content-length', Buffer.byteLength(text) + 1)
  response.statusCode = status
  response.removeHeader('content-encoding')
  response.end(response.req.method === 'HEAD' ? undefined : `${text}\n`)
}

function end(response, status) {
  response.statusCode = status
  response.end()
}
