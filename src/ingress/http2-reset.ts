import type { ClientHttp2Stream, ServerHttp2Stream } from 'node:http2'
import { addAbortSignal } from 'node:stream'

const GONE = AbortSignal.abort()
const TRUNCATED = new Error('The answer broke off.')

/**
 * Gives a call up: RST_STREAM with CANCEL (RFC 9113, section 7), without END_STREAM before it. Node's `close` first ends what is
 * being written, so that a broken-off body reaches the other side as a whole one and the reset comes too late.
 */
export function cancelStream(stream: ClientHttp2Stream): void {
  // Over on both sides, and perhaps not read to its end.
  if (stream.closed) stream.destroy()
  else addAbortSignal(GONE, stream)
}

/** Breaks an answer off: RST_STREAM with INTERNAL_ERROR, without END_STREAM before it. */
export function truncateStream(stream: ServerHttp2Stream): void {
  stream.destroy(TRUNCATED)
}
