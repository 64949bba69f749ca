interface Fault {
  error: string
  title: string
  message: string
}

const FAULTS: ReadonlyMap<number, Fault> = new Map([
  [400, fault('BAD_REQUEST', 'Bad request', 'The request could not be understood.')],
  [401, fault('UNAUTHENTICATED', 'Sign in', 'A user name and a password are needed.')],
  [403, fault('FORBIDDEN', 'Not allowed', 'Requests from this address are not let in.')],
  [404, fault('UNKNOWN_HOST', 'Nothing here', 'No service answers to this host name.')],
  [405, fault('METHOD_NOT_ALLOWED', 'Method not allowed', 'This method is not passed on.')],
  [408, fault('REQUEST_TIMEOUT', 'Too slow', 'The request did not arrive in time.')],
  [
    413,
    fault('PAYLOAD_TOO_LARGE', 'Too large', 'The body of the request is larger than this service takes.'),
  ],
  [414, fault('URI_TOO_LONG', 'Address too long', 'The address of the request is too long.')],
  [417, fault('EXPECTATION_FAILED', 'Expectation failed', 'The expectation of the request cannot be met.')],
  [421, fault('MISDIRECTED_REQUEST', 'Wrong connection', 'This connection is not for that host name.')],
  [431, fault('HEADERS_TOO_LARGE', 'Headers too large', 'The header fields of the request are too large.')],
  [502, fault('BAD_GATEWAY', 'No valid answer', 'The service could not be reached or gave no valid answer.')],
  [
    503,
    fault('SERVICE_UNAVAILABLE', 'Not available', 'The service cannot answer right now. Try again shortly.'),
  ],
  [504, fault('GATEWAY_TIMEOUT', 'No answer in time', 'The service did not answer in time.')],
  [505, fault('HTTP_VERSION', 'Version not supported', 'This version of HTTP is not supported.')],
])

function fault(error: string, title: string, message: string): Fault {
  return { error, title, message }
}

/** What a rule of the service says instead of the usual. */
export interface OwnWords {
  message: string
  /** Seconds; undefined: nobody knows. */
  retryAfter?: number
}

const RETRY_AFTER_SECONDS = 5

/** An answer of the ingress itself: names and values of its fields in turn, and its body. */
export interface ErrorPage {
  headers: string[]
  body: string
}

/** The page for a status: JSON for a client that asks for it, else plain HTML without anything to fetch. */
export function errorPage(
  status: number,
  requestId: string,
  accept: string | undefined,
  own?: OwnWords,
): ErrorPage {
  const {
    error,
    title,
    message: usual,
  } = FAULTS.get(status) ?? fault('ERROR', 'Error', 'The request failed.')
  const message = own?.message ?? usual
  const asJson = accept !== undefined && /[/+]json\b/i.test(accept)
  const body = asJson
    ? `${JSON.stringify({ error, message, request_id: requestId })}\n`
    : htmlPage(status, title, message, requestId)
  const headers = [
    'Content-Type',
    asJson ? 'application/json; charset=utf-8' : 'text/html; charset=utf-8',
    'Cache-Control',
    'no-store',
    'X-Content-Type-Options',
    'nosniff',
    'X-Request-Id',
    requestId,
  ]
  if (!asJson) headers.push('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'")
  const retryAfter = own ? own.retryAfter : RETRY_AFTER_SECONDS
  if (status === 503 && retryAfter !== undefined) headers.push('Retry-After', String(retryAfter))
  if (status === 405) headers.push('Allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS')
  headers.push('Content-Length', String(Buffer.byteLength(body)))
  return { headers, body }
}

/** The whole answer as text, for a request that could not even be parsed. */
export function rawErrorPage(status: number, requestId: string): string {
  const { headers, body } = errorPage(status, requestId, undefined)
  let head = `HTTP/1.1 ${status} ${FAULTS.get(status)?.title ?? 'Error'}\r\n`
  for (let index = 0; index < headers.length; index += 2)
    head += `${headers[index]}: ${headers[index + 1]}\r\n`
  return `${head}Connection: close\r\n\r\n${body}`
}

/** The request id holds only characters that mean nothing in HTML. */
function htmlPage(status: number, title: string, message: string, requestId: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${status} ${title}</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 32rem; margin: 20vh auto 0; padding: 0 1.5rem }
h1 { font-size: 1.5rem; margin: 0 0 .5rem }
p { margin: 0 0 1.5rem }
small { opacity: .65 }
</style>
<h1>${status} ${title}</h1>
<p>${escapeHtml(message)}</p>
<small>Berth &middot; request ${requestId}</small>
</html>
`
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
