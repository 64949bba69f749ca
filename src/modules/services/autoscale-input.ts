import type { ErrorDetail } from '../../lib/errors.ts'
import type { Autoscale, AutoscaleInput } from './autoscale-schema.ts'

/** What holds for bounds that were not sent. */
export const AUTOSCALE_DEFAULTS = {
  min_replicas: 1,
  target_cpu_pct: 70,
  target_mem_pct: null,
  scale_down_cooldown_s: 300,
  idle_timeout_s: 900,
} satisfies Partial<Autoscale>

/** Reads bounds that were sent, which replace the present ones as a whole. What is wrong is added to the problems. */
export function readAutoscale(
  base: Autoscale | null,
  sent: AutoscaleInput | undefined,
  internalPort: number | null,
  problems: ErrorDetail[],
): Autoscale | null {
  const autoscale = sent === undefined ? base : sent && { ...AUTOSCALE_DEFAULTS, ...sent }
  if (autoscale === null) return null
  if (autoscale.max_replicas < autoscale.min_replicas)
    problems.push({ field: 'autoscale.max_replicas', message: 'is less than min_replicas' })
  if (autoscale.min_replicas === 0 && internalPort === null)
    problems.push({
      field: 'autoscale.min_replicas',
      message: 'must be at least 1 without an internal_port: no request could wake it',
    })
  return autoscale
}
