import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

type Collect = (options: { type: 'minor' }) => void

let collect: Collect | undefined
let bytesSince = 0

/** A collection of what is young takes less than a millisecond. */
const EVERY_BYTES = 8 * 1024 ** 2

/**
 * Counts network buffers that have been let go, and collects them now and then. The heap does not see how large they are: by itself it would
 * keep a hundred megabytes of them, and then look through everything that it holds, again and again.
 */
export function letGoOf(bytes: number): void {
  bytesSince += bytes
  if (bytesSince < EVERY_BYTES) return
  bytesSince = 0
  collect ??= exposeCollect()
  collect({ type: 'minor' })
}

function exposeCollect(): Collect {
  setFlagsFromString('--expose-gc')
  const found = runInNewContext('gc') as Collect
  setFlagsFromString('--no-expose-gc')
  return found
}
