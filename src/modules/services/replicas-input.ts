import type { ServicePatch } from './service-input-schema.ts'
import { replicasOf, type ServiceRow } from './service-schema.ts'

type Wanted = Pick<ServiceRow, 'config' | 'replicas' | 'autoscale'>

/**
 * How many replicas a service wants when nobody says a number: as many as `before`, put right for what holds from now on. A number that Berth chose is
 * never at fault, and what somebody said is left for others to refuse only where `sent` has what it goes against.
 */
export function keepReplicas(
  before: Pick<Wanted, 'replicas' | 'autoscale'>,
  { config, autoscale }: Pick<Wanted, 'config' | 'autoscale'>,
  sent: Pick<ServicePatch, 'volumes'>,
): number {
  const { replicas } = before
  if (autoscale !== null)
    return replicasOf(config, Math.min(autoscale.max_replicas, Math.max(autoscale.min_replicas, replicas)))
  // It slept, and without bounds nothing would ever wake it.
  if (replicas === 0 && before.autoscale?.min_replicas === 0) return 1
  return before.autoscale !== null || sent.volumes === undefined ? replicasOf(config, replicas) : replicas
}
