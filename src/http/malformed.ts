import type { Socket } from 'node:net'
import { STATUS_CODES } from 'node:http'
import { AppError, type ErrorCode, systemCodeOf } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import { errorBody } from './error-body.ts'

const CODES: Readonly<Record<string, ErrorCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'PAYLOAD_TOO_LARGE',
}

/** Answers what Node's parser refused, before there is a request: in the shape of every other failure, then closes the connection. */
export function createClientErrorHandler(system: System): (error: Error, socket: Socket) => void {
  return (error, socket) => {
    if (systemCodeOf(error) === 'ECONNRESET' || socket.destroyed) return
    // Part of an answer may be on its way already; anything more would be read as its continuation.
    if (socket.writable && socket.bytesWritten === 0) socket.write(answerTo(error, system.newId()))
    socket.destroySoon()
  }
}

function answerTo(error: Error, requestId: string): string {
  const refusal = new AppError(CODES[systemCodeOf(error) ?? ''] ?? 'BAD_REQUEST')
  const body = JSON.stringify(errorBody(refusal, requestId))
  return [
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${requestId}`,
    'X-Content-Type-Options: nosniff',
    'Cache-Control: no-store',
    'Connection: close',
    '',
    body,
  ].join('\r\n')
}
