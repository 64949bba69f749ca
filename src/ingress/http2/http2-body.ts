import { constants, type ServerHttp2Stream } from 'node:http2'
import type { BodySink, BodySource } from '../exchange/request-body.ts'

/** A request body by HTTP/2, also in the form of its stream. */
export interface StreamSource extends BodySource {
  readonly stream: ServerHttp2Stream
}

/** What comes behind a body, once it has come: that may be in the same turn as the header section. */
export type Trailers = () => readonly string[]

const NONE: Trailers = () => []

/** To be called in the turn of the header section. */
export function watchTrailers(stream: ServerHttp2Stream): Trailers {
  if (stream.endAfterHeaders) return NONE
  let trailers: readonly string[] = []
  stream.on('trailers', (_headers, _flags, rawTrailers: string[]) => (trailers = rawTrailers))
  return () => trailers
}

/** The body of one stream. `answered` is told when nobody wants the rest, of which `maxDiscarded` bytes are read for the client's sake. */
export function createStreamSource(
  stream: ServerHttp2Stream,
  maxDiscarded: number,
  answered: () => void,
  trailers: Trailers = NONE,
): StreamSource {
  return {
    stream,
    start: (sink: BodySink) => {
      stream.on('data', (bytes: Buffer) => sink.piece({ bytes, release: undefined }))
      onWholeBody(stream, () => sink.end())
    },
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    trailers,
    discard: () => {
      if (stream.destroyed || stream.readableEnded) return
      answered()
      discardBody(stream, maxDiscarded)
    },
  }
}

/**
 * Calls once the client has ended its body. One that breaks off with its stream or its connection never ends, though Node says
 * `end` of it too: that the client has gone is told by `close`.
 */
export function onWholeBody(stream: ServerHttp2Stream, run: () => void): void {
  stream.on('end', () => {
    if (!stream.closed) run()
  })
}

/** Takes the rest of a body that nobody wants within bounds, then tells the client to stop (RFC 9113, section 8.1). */
function discardBody(stream: ServerHttp2Stream, maxBytes: number): void {
  let room = maxBytes
  stream.on('data', (piece: Buffer) => {
    room -= piece.length
    if (room < 0 && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR)
  })
  stream.resume()
}
