import { errorPage, type OwnWords } from './error-page.ts'
import type { RequestHead } from '../messages/request-head.ts'

/** An answer that the ingress gives itself: names and values of its fields in turn, and a body whose length is among them. */
export interface LocalAnswer {
  status: number
  headers: string[]
  body: string
}

/** An error page, in the form that the client asks for. */
export function errorAnswer(
  status: number,
  requestId: string,
  accept: string | undefined,
  own?: OwnWords,
): LocalAnswer {
  return { status, ...errorPage(status, requestId, accept, own) }
}

/** Plain text that nobody may keep. */
export function textAnswer(body: string, requestId: string): LocalAnswer {
  const headers = [
    'Content-Type',
    'text/plain; charset=utf-8',
    'Cache-Control',
    'no-store',
    'X-Content-Type-Options',
    'nosniff',
    'X-Request-Id',
    requestId,
    'Content-Length',
    String(Buffer.byteLength(body)),
  ]
  return { status: 200, headers, body }
}

/** Sends a request on to the same address by TLS: path, query and method stay (RFC 9110, section 15.4.9). */
export function httpsRedirect(head: RequestHead, httpsPort: number): LocalAnswer {
  const authority = httpsPort === 443 ? head.hostname : `${head.hostname}:${httpsPort}`
  const headers = [
    'Location',
    `https://${authority}${pathInUri(head)}`,
    'X-Request-Id',
    head.requestId,
    'Content-Length',
    '0',
  ]
  return { status: 308, headers, body: '' }
}

/** As it stands in a URI: the target `*` is a URI without a path (RFC 9112, section 3.3). */
export function pathInUri({ path }: RequestHead): string {
  return path === '*' ? '' : path
}
