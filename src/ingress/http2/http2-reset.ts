import type { ClientHttp2Stream, ServerHttp2Stream } from 'node:http2'
import { addAbortSignal } from 'node:stream'

const GONE = AbortSignal.abort()
const TRUNCATED = new Error('The answer broke off.')

/**
 * Gives a call or a tunnel up: RST_STREAM with CANCEL (RFC 9113, section 7), without END_STREAM before it. Node's `close` first ends what is
 * being written, so that a broken-off body reaches the other side as a whole one and the reset comes too late.
 */
export function cancelStream(stream: ClientHttp2Stream | ServerHttp2Stream): void {
  // Over on both sides, and perhaps not read to its end.
  if (stream.closed) stream.destroy()
  else addAbortSignal(GONE, stream)
}

/**
 * Tells whether the other side has ended its answer. Node says `end` of one that was reset without an error just the same (RFC 9113, section 8.1,
 * allows that reset behind a whole answer only), and nothing else tells them apart: it pushes the end when END_STREAM comes, and for a reset
 * when the stream is closed already.
 */
export function watchWholeAnswer(stream: ClientHttp2Stream): () => boolean {
  const push = stream.push.bind(stream)
  let whole = false
  stream.push = (piece: unknown, encoding?: BufferEncoding): boolean => {
    if (piece === null && !stream.closed) whole = true
    return push(piece, encoding)
  }
  return () => whole
}

/** Breaks an answer off: RST_STREAM with INTERNAL_ERROR, without END_STREAM before it. */
export function truncateStream(stream: ServerHttp2Stream): void {
  stream.destroy(TRUNCATED)
}
