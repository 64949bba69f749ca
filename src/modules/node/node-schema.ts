import { type Static, Type } from 'typebox'
import { nullable } from '../../http/schema.ts'

export const Health = Type.Object({ status: Type.Literal('ok'), ok: Type.Boolean() }, { title: 'Health' })

/** Says which part is not ready, not why: anybody may ask. The reason is in the log. */
export const Readiness = Type.Object(
  {
    status: Type.Enum(['ready', 'not_ready']),
    checks: Type.Record(Type.String(), Type.Enum(['ok', 'failed'])),
  },
  { title: 'Readiness' },
)
export type Readiness = Static<typeof Readiness>

export const NodeInfo = Type.Object(
  {
    name: Type.String(),
    version: Type.String({ description: "Berth's version" }),
    control_domain: nullable(Type.String()),
    os: Type.String(),
    kernel: Type.String(),
    engine: nullable(
      Type.Object(
        { version: Type.String(), api_version: Type.String(), cgroup: Type.String() },
        { description: 'Null while the container engine cannot be reached' },
      ),
    ),
    cpu: Type.Object({
      cores: Type.Integer(),
      used_percent: nullable(
        Type.Number({ description: 'Since the last time someone asked; null the first time' }),
      ),
    }),
    memory: Type.Object({ total_bytes: Type.Integer(), available_bytes: Type.Integer() }),
    load: Type.Array(Type.Number(), {
      minItems: 3,
      maxItems: 3,
      examples: [[0.42, 0.31, 0.27]],
      description: 'Over 1, 5 and 15 minutes',
    }),
    disk: Type.Object({ total_bytes: Type.Integer(), free_bytes: Type.Integer() }),
  },
  { title: 'Node' },
)
export type NodeInfo = Static<typeof NodeInfo>

export const WorkerStatusSchema = Type.Object(
  {
    name: Type.String(),
    runs: Type.Integer(),
    failures: Type.Integer(),
    running: Type.Boolean(),
    last_run_at: nullable(Type.String({ format: 'date-time' })),
    last_duration_ms: nullable(Type.Integer()),
    last_error: nullable(Type.String()),
  },
  { title: 'WorkerStatus' },
)
