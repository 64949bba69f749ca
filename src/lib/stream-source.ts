import type { Readable } from 'node:stream'
import type { BodySink, BodySource } from './body-source.ts'
import type { System } from './system.ts'
import { letGoOf } from './young-garbage.ts'

/** How long a refused client may go on sending: closing at once would reset the connection before it reads the answer. */
const LINGER_MS = 30_000

/** A body that comes through Node's server. */
export function streamSource(body: Readable, system: System): BodySource {
  let isDiscarded = false
  const start = (sink: BodySink): void => {
    if (body.readableEnded || body.destroyed) {
      sink.end(body.readableEnded ? undefined : new Error('the connection is closed'))
      return
    }
    body.on('data', (piece: Buffer) => {
      if (isDiscarded) return
      sink.take(piece)
      letGoOf(piece.length)
    })
    body.on('end', () => sink.end())
    body.on('error', (error) => sink.end(error))
    body.on('close', () => sink.end(new Error('the connection was closed')))
  }
  return {
    length: undefined,
    start,
    pause: () => void body.pause(),
    resume: () => void body.resume(),
    destroy: () => void body.destroy(),
    discard: () => {
      if (isDiscarded || body.readableEnded || body.destroyed) return
      isDiscarded = true
      body.on('error', () => {})
      body.resume()
      const cancel = system.later(LINGER_MS, () => body.destroy())
      body.once('close', cancel)
      body.once('end', cancel)
    },
  }
}
