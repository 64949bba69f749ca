import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Type } from 'typebox'
import type { Server } from '../server.ts'
import { buildOpenApi } from './document.ts'

const SCRIPT = 'text/javascript; charset=utf-8'
const PAGE_FILES = {
  '/docs': ['index.html', 'text/html; charset=utf-8'],
  '/docs/docs.css': ['docs.css', 'text/css; charset=utf-8'],
  '/docs/answer.js': ['answer.js', SCRIPT],
  '/docs/docs.js': ['docs.js', SCRIPT],
  '/docs/elements.js': ['elements.js', SCRIPT],
  '/docs/operation.js': ['operation.js', SCRIPT],
  '/docs/request.js': ['request.js', SCRIPT],
} as const

/** Everything from this origin, nothing inline; the page sends requests of its own. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** The description of all routes, and a page that shows it. Add it last: it describes what is there at the first request. */
export function openApiRoutes(server: Server, version: string): void {
  let cached: { text: string; etag: string } | undefined
  const describe = (): { text: string; etag: string } => {
    if (!cached) {
      const text = JSON.stringify(buildOpenApi(server.routeIndex.all(), version))
      const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 27)}"`
      cached = { text, etag }
    }
    return cached
  }

  server.get(
    '/v1/openapi.json',
    {
      config: { access: { public: true } },
      schema: {
        operationId: 'readOpenApi',
        summary: 'Read this description',
        tags: ['node'],
        response: { 200: Type.Unsafe<string>({ type: 'object', description: 'OpenAPI 3.1' }) },
      },
    },
    async (request, reply) => {
      const { text, etag } = describe()
      void reply.headers({ etag, 'cache-control': 'no-cache' })
      if (request.headers['if-none-match'] === etag) return reply.code(304 as 200).send('')
      return reply.type('application/json; charset=utf-8').serializer(String).send(text)
    },
  )
  for (const [url, [file, type]] of Object.entries(PAGE_FILES)) {
    server.get(
      url,
      { config: { access: { public: true } }, schema: { hide: true } },
      async (_request, reply) => {
        void reply.headers({ 'content-security-policy': PAGE_POLICY, 'cache-control': 'no-cache' }).type(type)
        return readFile(new URL(`../../web/docs/${file}`, import.meta.url), 'utf8')
      },
    )
  }
}
