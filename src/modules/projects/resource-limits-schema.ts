import { Type } from 'typebox'

const MIB = 1024 ** 2

/** Stored limits; what is left out is inherited: from the service's project, then from the node. */
export interface ResourceLimits {
  /** Thousandths of a core. */
  cpu_millis?: number
  memory_bytes?: number
  /** Processes and threads. */
  pids?: number
}

const FIELDS = {
  cpu_millis: { minimum: 10, maximum: 1_024_000, description: 'CPU in thousandths of a core.' },
  memory_bytes: {
    minimum: 16 * MIB,
    maximum: 4096 * 1024 * MIB,
    description: 'Memory. A replica that takes more is killed.',
  },
  pids: { minimum: 8, maximum: 1_000_000, description: 'Processes and threads.' },
} as const
const FIELD_NAMES = ['cpu_millis', 'memory_bytes', 'pids'] as const

const Inherited = (field: (typeof FIELD_NAMES)[number]) =>
  Type.Optional(Type.Unsafe<number | null>({ type: ['integer', 'null'], ...FIELDS[field] }))

/** Limits as they are sent: null or left out means inherited. */
export const ResourceLimitsInput = Type.Unsafe<{ [K in keyof ResourceLimits]?: number | null } | null>({
  type: ['object', 'null'],
  properties: Type.Object({
    cpu_millis: Inherited('cpu_millis'),
    memory_bytes: Inherited('memory_bytes'),
    pids: Inherited('pids'),
  }).properties,
  additionalProperties: false,
  description: 'What is null or left out comes from the project, then from the node.',
})

/** Limits as they are answered: only what is set here. */
export const ResourceLimitsView = Type.Unsafe<ResourceLimits | null>({
  type: ['object', 'null'],
  properties: Object.fromEntries(FIELD_NAMES.map((name) => [name, { type: 'integer', ...FIELDS[name] }])),
  description: 'Only what is set here; null when everything is inherited.',
})

/** Puts sent limits over stored ones; null clears. Null when nothing is left. */
export function mergeLimits(
  stored: ResourceLimits | null,
  sent: { [K in keyof ResourceLimits]?: number | null } | null,
): ResourceLimits | null {
  if (sent === null) return null
  const merged = { ...stored, ...sent }
  const kept = FIELD_NAMES.filter((name) => typeof merged[name] === 'number').map((name) => [
    name,
    merged[name],
  ])
  return kept.length === 0 ? null : (Object.fromEntries(kept) as ResourceLimits)
}

/** What a replica really gets, each field by itself: from the service, else the project, else the node. */
export function resolveLimits(
  service: ResourceLimits | null,
  project: ResourceLimits | null,
  node: Required<ResourceLimits>,
): Required<ResourceLimits> {
  return { ...node, ...project, ...service }
}
