import { statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { System } from '../../lib/system.ts'

/**
 * Watches what a worker lives for: its own socket and the routing table. A worker whose data directory was removed is unreachable
 * for ever, so it ends itself once they have been gone for `orphanMs`.
 */
export function watchLifeline(
  system: System,
  socketPath: string,
  routesPath: string,
  orphanMs: number,
  orphaned: () => void,
): void {
  const inode = statSync(socketPath).ino
  const everyMs = Math.min(2000, orphanMs / 4)
  let lostAt: number | undefined

  const look = async (): Promise<void> => {
    const [socket, routes] = await Promise.allSettled([stat(socketPath), stat(routesPath)])
    const there = socket.status === 'fulfilled' && socket.value.ino === inode && routes.status === 'fulfilled'
    if (there) lostAt = undefined
    else lostAt ??= system.monotonic()
    if (lostAt !== undefined && system.monotonic() - lostAt >= orphanMs) orphaned()
    else system.later(everyMs, () => void look())
  }

  system.later(everyMs, () => void look())
}
