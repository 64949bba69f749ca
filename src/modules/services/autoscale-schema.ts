import { type Static, Type } from 'typebox'
import { nullable } from '../../http/schema.ts'

/** Column `autoscale`: between which bounds Berth chooses the number of replicas. */
export interface Autoscale {
  /** 0: it sleeps when it is idle, and a request wakes it. */
  min_replicas: number
  max_replicas: number
  /** Of the limits, on average of all replicas. */
  target_cpu_pct: number
  target_mem_pct: number | null
  scale_down_cooldown_s: number
  idle_timeout_s: number
}

export const AutoscaleView = nullable(
  Type.Object(
    {
      min_replicas: Type.Integer(),
      max_replicas: Type.Integer(),
      target_cpu_pct: Type.Integer(),
      target_mem_pct: nullable(
        Type.Integer({ description: 'Of the memory limit; null: memory does not count.' }),
      ),
      scale_down_cooldown_s: Type.Integer(),
      idle_timeout_s: Type.Integer(),
    },
    { title: 'Autoscale' },
  ),
)

export const AutoscaleInput = Type.Unsafe<(Pick<Autoscale, 'max_replicas'> & Partial<Autoscale>) | null>({
  ...Type.Object(
    {
      min_replicas: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: 100,
          description:
            'Default 1. 0: the service sleeps when it is idle, and a request through the ingress wakes it; calls of its neighbours in the project do not.',
        }),
      ),
      max_replicas: Type.Integer({ minimum: 1, maximum: 100 }),
      target_cpu_pct: Type.Optional(
        Type.Integer({ minimum: 1, maximum: 100, description: 'Of the processor limit. Default 70.' }),
      ),
      target_mem_pct: Type.Optional(
        Type.Unsafe<number | null>({
          type: ['integer', 'null'],
          minimum: 1,
          maximum: 100,
          description: 'Of the memory limit; null (the default): memory does not count.',
        }),
      ),
      scale_down_cooldown_s: Type.Optional(
        Type.Integer({
          minimum: 10,
          maximum: 86_400,
          description: 'How long less must have been enough before replicas go. Default 300.',
        }),
      ),
      idle_timeout_s: Type.Optional(
        Type.Integer({
          minimum: 10,
          maximum: 604_800,
          description: 'With min_replicas 0: how long without request and connection. Default 900.',
        }),
      ),
    },
    { additionalProperties: false, title: 'AutoscaleInput' },
  ),
  type: ['object', 'null'],
  description: 'Null (the default): as many replicas as `replicas` says.',
})
export type AutoscaleInput = Static<typeof AutoscaleInput>
