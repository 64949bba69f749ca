import type { IncomingMessage } from 'node:http'
import { messageOf } from '../../lib/errors.ts'
import { UpstreamFailed } from '../../lib/upstream-failed.ts'

/** Reads a body that must be small. Throws UpstreamFailed when it is not, or breaks off. */
export async function readSmall(answer: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  let size = 0
  try {
    for await (const piece of answer as AsyncIterable<Buffer>) {
      size += piece.length
      if (size > maxBytes) throw new UpstreamFailed('the registry sends more than it should')
      pieces.push(piece)
    }
  } catch (error) {
    if (error instanceof UpstreamFailed) throw error
    throw new UpstreamFailed(`the answer breaks off: ${messageOf(error)}`, { cause: error, isPassing: true })
  }
  return Buffer.concat(pieces)
}
