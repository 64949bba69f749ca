import type { LocalAnswer } from './local-answer.ts'
import type { KeptPiece } from './read-buffers.ts'
import type { ResponseHead } from '../messages/response-head.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** What the client of one request gets, whichever version of HTTP it speaks. */
export interface Answer {
  /** The client has been given a final header section: nothing else can be said any more. */
  readonly begun: boolean
  /** The client takes no more for now. */
  readonly stalled: boolean
  /** Passes 102, 103 and their like on, to clients that know of them. */
  informational(head: ResponseHead): void
  /** Asks for the body that the client holds back. */
  askForBody(): void
  begin(head: ResponseHead, hasBody: boolean): void
  /** Sends the header section now if no piece of the body has taken it along. */
  flush(): void
  /** Passes on a piece of the body. True: this one filled the client's buffer; send no more until `drained` is called. */
  write(piece: KeptPiece, drained: () => void): boolean
  end(body: string, trailers: readonly string[]): void
  /** Answers with an error page, or cuts off an answer that has begun: the client must not take it for whole. */
  fail(status: number, requestId: string): void
  /** Gives an answer of the ingress. */
  local(answer: LocalAnswer): void
  /** What the client says of the forms that it takes. */
  accepts(): string | undefined
}

/** Whoever sent a request, as far as serving it goes. */
export interface RequestClient {
  /** Serves a request now, or when those before it are through. */
  serve(request: ServedRequest): void
  /** The request has been answered in full or given up. */
  served(request: ServedRequest): void
  /** An answer of the ingress itself is in the client's hands: it is to take it in time. */
  answered(): void
  /** Cuts the request off, and what else hangs on it. */
  destroy(): void
}

/** A request that is being served, as its client sees it. */
export interface ServedRequest {
  start(): void
  /** The client has gone. */
  abandon(): void
}

export const NO_TRAILERS: readonly string[] = []

/** Counts an answer that no application made. */
export function countAnswer(context: WorkerContext, status: number): void {
  const { answered } = context.counters
  answered.set(status, (answered.get(status) ?? 0) + 1)
}
