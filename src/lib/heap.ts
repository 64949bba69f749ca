import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Collects garbage once, now; blocks for some tens of milliseconds. For the end of a start: what loading leaves behind (some 30 MiB) would
 * stay for as long as the process is idle, because V8 collects only when something is allocated.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
}
