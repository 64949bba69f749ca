import { createHash } from 'node:crypto'
import type { ContainerSpec } from './runtime.ts'

/**
 * A digest of what a container was asked to be, kept in its `berth.spec` label. It covers the specification only, not how an adapter
 * carries it out: an upgrade of Berth must not make every running container look changed.
 */
export function containerDigest(container: ContainerSpec): string {
  const canonical = {
    ...container,
    env: sorted(container.env),
    labels: sorted(container.labels),
    aliases: container.aliases.toSorted(),
  }
  return createHash('sha256')
    .update(JSON.stringify(sorted(canonical)))
    .digest('hex')
}

function sorted(record: object): [string, unknown][] {
  return Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1))
}
