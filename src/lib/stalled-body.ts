import type { Readable } from 'node:stream'
import { AppError } from './errors.ts'
import type { System } from './system.ts'

/** How long a client may be waited for until it has sent so much: less is as good as nothing. */
const PATIENCE_MS = 60_000
const LEAST_BYTES = 64 * 1024

/**
 * The pieces of a body, which is destroyed with REQUEST_TIMEOUT when its client stalls. Only the time counts in which the next piece is
 * waited for, not that in which the one before is worked on.
 */
export async function* endStalled(body: Readable, system: System): AsyncGenerator<Buffer, void, undefined> {
  let waited = 0
  let bytes = 0
  let since = system.monotonic()
  let cancel = (): void => {}
  const wait = (): void => {
    since = system.monotonic()
    cancel = system.later(PATIENCE_MS - waited, () => body.destroy(new AppError('REQUEST_TIMEOUT')))
  }
  wait()
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      cancel()
      waited += system.monotonic() - since
      bytes += piece.length
      if (bytes >= LEAST_BYTES) waited = bytes = 0
      yield piece
      wait()
    }
  } finally {
    cancel()
  }
}
