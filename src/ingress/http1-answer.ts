import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Answer, countAnswer } from './answer.ts'
import type { ClientConnection } from './client-connection.ts'
import { errorAnswer, type LocalAnswer } from './local-answer.ts'
import type { KeptPiece } from './read-buffers.ts'
import type { ResponseHead } from './response-head.ts'
import type { WorkerContext } from './worker-context.ts'

/** The answer to a request that came by HTTP/1. */
export class Http1Answer implements Answer {
  begun = false
  stalled = false
  private readonly context: WorkerContext
  private readonly client: ClientConnection
  private readonly request: IncomingMessage
  private readonly response: ServerResponse
  /** The connection ends with this answer. */
  private readonly last: boolean
  private headWaits = false

  constructor(
    context: WorkerContext,
    client: ClientConnection,
    request: IncomingMessage,
    response: ServerResponse,
    last: boolean,
  ) {
    this.context = context
    this.client = client
    this.request = request
    this.response = response
    this.last = last
  }

  informational(head: ResponseHead): void {
    if (this.request.httpVersionMinor === 1) this.response.writeInformation(head.status, head.headers)
  }

  askForBody(): void {
    this.response.writeContinue()
  }

  begin(head: ResponseHead, hasBody: boolean): void {
    const { headers } = head
    this.begun = true
    this.headWaits = hasBody
    if (this.last || this.context.draining) {
      this.client.closing = true
      headers.push('Connection', 'close')
    }
    if (hasBody && head.trailer !== '' && head.chunked && this.request.httpVersionMinor === 1) {
      headers.push('Transfer-Encoding', 'chunked', 'Trailer', head.trailer)
    }
    // Last, because a length in front of Content-Disposition makes Node write that field in another encoding; and none on a 204
    // (RFC 9110, section 8.6).
    if (head.contentLength !== -1 && head.status !== 204)
      headers.push('Content-Length', String(head.contentLength))
    this.response.writeHead(head.status, head.reason, headers)
  }

  flush(): void {
    if (!this.headWaits) return
    this.headWaits = false
    this.response.flushHeaders()
  }

  write({ bytes, release }: KeptPiece, drained: () => void): boolean {
    this.headWaits = false
    if (this.response.write(bytes, release) || this.stalled) return false
    this.stalled = true
    this.response.once('drain', () => {
      this.stalled = false
      drained()
    })
    return true
  }

  end(body: string, trailers: readonly string[]): void {
    this.headWaits = false
    if (trailers.length > 0) this.response.addTrailers(pairs(trailers))
    this.response.end(body, 'latin1')
  }

  fail(status: number, requestId: string): void {
    if (this.begun) {
      this.context.counters.truncated += 1
      this.client.socket.destroy()
      return
    }
    countAnswer(this.context, status)
    this.send(errorAnswer(status, requestId, this.accepts()), status === 408)
  }

  local(answer: LocalAnswer): void {
    this.send(answer, false)
  }

  accepts(): string | undefined {
    return this.request.headers.accept
  }

  private send({ status, headers, body }: LocalAnswer, close: boolean): void {
    this.begun = true
    this.client.closing = close || this.last || this.context.draining
    if (this.client.closing) headers.push('Connection', 'close')
    this.response.writeHead(status, headers)
    this.response.end(body)
  }

  handOver(): void {
    this.response.detachSocket(this.client.socket)
    this.client.socket.removeAllListeners('drain')
  }
}

function pairs(fields: readonly string[]): [string, string][] {
  const result: [string, string][] = []
  for (let index = 0; index < fields.length; index += 2) {
    result.push([fields[index] as string, fields[index + 1] as string])
  }
  return result
}
