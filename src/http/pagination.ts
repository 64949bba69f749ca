import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../lib/errors.ts'
import type { Page, PageRequest } from '../lib/page.ts'
import type { ListQuery } from './schema.ts'

const DEFAULT_LIMIT = 200

/** Reads `?limit=&cursor=`. Throws VALIDATION_ERROR for a cursor that we did not make. */
export function readPageRequest(query: ListQuery): PageRequest {
  const limit = query.limit ?? DEFAULT_LIMIT
  return query.cursor === undefined ? { limit } : { limit, after: readCursor(query.cursor) }
}

/** Answers a page as a bare array, with `Link: <...>; rel="next"` (RFC 8288) while there is more. */
export function sendPage<Item>(request: FastifyRequest, reply: FastifyReply, page: Page<Item>): Item[] {
  if (page.next !== undefined) {
    const url = new URL(request.url, 'http://localhost')
    url.searchParams.set('cursor', makeCursor(page.next))
    // A relative reference: the host that the client used is not ours to know.
    void reply.header('link', `<${url.pathname}${url.search}>; rel="next"`)
  }
  return page.items
}

function makeCursor(key: string): string {
  return Buffer.from(`1${key}`).toString('base64url')
}

function readCursor(cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString()
  if (!/^1[\x20-\x7e]{1,255}$/.test(text)) {
    throw new AppError('VALIDATION_ERROR', {
      details: [{ field: 'cursor', message: 'is not a cursor of this list' }],
    })
  }
  return text.slice(1)
}
