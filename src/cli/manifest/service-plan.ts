import type { Service } from '../wire.ts'
import type { FieldSchema, Manifest, ManifestService } from './manifest.ts'

/** One difference between manifest and server. */
export interface Change {
  kind: 'add' | 'change' | 'remove'
  /** `replicas`, `health_check.path`, `env.GREETING`. */
  field: string
  /** What the server has; left out for variables, which may be secrets. */
  from?: unknown
  /** What the manifest wants: for `remove`, the default that comes back. Left out for a variable that goes. */
  to?: unknown
}

/** What makes a service as the manifest has it. */
export interface ServicePlan {
  name: string
  action: 'create' | 'change' | 'none'
  changes: readonly Change[]
  /** All fields, also those that take their defaults again: the body of a PUT or POST but for the name. */
  fields: Readonly<Record<string, unknown>>
  env: { set: Readonly<Record<string, string>>; unset: readonly string[] }
  /** Variables that are to be set by hand: the manifest names them, and the server has none. */
  missing_secrets: readonly string[]
}

/** Compares a service of the manifest with the one that the server has. */
export function planService(
  wanted: ManifestService,
  existing: Service | undefined,
  whole: Manifest['schema'],
): ServicePlan {
  const schema = withoutChosen(wanted, existing, whole)
  const present = (existing ?? {}) as Readonly<Record<string, unknown>>
  const changes = Object.entries(schema).flatMap(([field, each]) =>
    compareField(field, each, wanted.fields[field], existing ? present[field] : each.default),
  )
  const env = planEnv(wanted, existing?.env ?? {})
  const all = [...changes, ...env.changes]
  return {
    name: wanted.name,
    action: existing ? (all.length > 0 ? 'change' : 'none') : 'create',
    changes: all,
    fields: completed(wanted.fields, schema),
    env: { set: env.set, unset: env.unset },
    missing_secrets: wanted.secrets.filter((name) => !Object.hasOwn(existing?.env ?? {}, name)),
  }
}

/** With `autoscale` Berth chooses the number of replicas: what the manifest says of it is what a new service begins with. */
function withoutChosen(
  { fields }: ManifestService,
  existing: Service | undefined,
  schema: Manifest['schema'],
): Manifest['schema'] {
  const isSaid = !existing && Object.hasOwn(fields, 'replicas')
  if (!isObject(fields['autoscale']) || isSaid) return schema
  const { replicas: _, ...others } = schema
  return others
}

function compareField(field: string, schema: FieldSchema, wanted: unknown, present: unknown): Change[] {
  // What has no default stays as it is when nothing is said of it.
  if (wanted === undefined && !Object.hasOwn(schema, 'default')) return []
  const inner = schema.properties
  if (inner && !isObject(schema.default) && isObject(wanted) !== isObject(present))
    return isObject(wanted)
      ? addWhole(field, inner, wanted)
      : [{ kind: 'remove', field, from: present, to: schema.default ?? null }]
  if (inner && (isObject(wanted) || isObject(present) || isObject(schema.default))) {
    const defaults = isObject(schema.default) ? schema.default : {}
    return Object.entries(inner).flatMap(([name, each]) =>
      compareField(
        `${field}.${name}`,
        { default: defaults[name] ?? null, ...each },
        isObject(wanted) ? wanted[name] : undefined,
        isObject(present) ? present[name] : (defaults[name] ?? each.default),
      ),
    )
  }
  if (isMap(schema, wanted, present))
    return compareMap(field, (wanted ?? {}) as Values, (present ?? {}) as Values)
  const to = wanted === undefined ? (schema.default ?? null) : wanted
  const from = present ?? null
  if (isSame(comparable(field, schema, from), comparable(field, schema, to))) return []
  const unset = schema.default ?? null
  if (wanted === undefined) return isBlank(from) ? [] : [{ kind: 'remove', field, from, to }]
  return [{ kind: isSame(from, unset) ? 'add' : 'change', field, from, to }]
}

/** What is not there by default, such as `ingress.maintenance`: that it comes says something, also with nothing but defaults in it. */
function addWhole(field: string, inner: Manifest['schema'], wanted: Values): Change[] {
  const said = Object.entries(inner).flatMap(([name, each]) =>
    Object.hasOwn(wanted, name)
      ? compareField(`${field}.${name}`, { ...each, default: null }, wanted[name], null)
      : [],
  )
  return said.length > 0 ? said : [{ kind: 'add', field, from: null, to: wanted }]
}

type Values = Readonly<Record<string, unknown>>

/** Text by name, such as build_args. */
function isMap(schema: FieldSchema, wanted: unknown, present: unknown): boolean {
  return !schema.properties && (isObject(wanted) || isObject(present) || isObject(schema.default))
}

function compareMap(field: string, wanted: Values, present: Values): Change[] {
  const names = [...new Set([...Object.keys(present), ...Object.keys(wanted)])]
  return names.flatMap((name): Change[] => {
    const at = { field: `${field}.${name}` }
    if (!Object.hasOwn(wanted, name)) return [{ kind: 'remove', ...at, from: present[name] }]
    if (!Object.hasOwn(present, name)) return [{ kind: 'add', ...at, to: wanted[name] }]
    if (isSame(wanted[name], present[name])) return []
    return [{ kind: 'change', ...at, from: present[name], to: wanted[name] }]
  })
}

function planEnv({ env, secrets }: ManifestService, present: Readonly<Record<string, string>>) {
  if (env === undefined) return { changes: [], set: {}, unset: [] }
  const unset = Object.keys(present).filter((name) => !Object.hasOwn(env, name) && !secrets.includes(name))
  const set = Object.fromEntries(Object.entries(env).filter(([name, value]) => present[name] !== value))
  const changes: Change[] = [
    ...Object.entries(set).map(([name, to]): Change => {
      const kind = Object.hasOwn(present, name) ? 'change' : 'add'
      return { kind, field: `env.${name}`, to }
    }),
    ...unset.map((name): Change => ({ kind: 'remove', field: `env.${name}` })),
  ]
  return { changes, set, unset }
}

/** What a replacement is sent: every field, so that what the manifest leaves out takes its default. */
function completed(wanted: Values, schema: Manifest['schema']): Record<string, unknown> {
  const given = Object.entries(schema).map(([field, { default: usual }]) => [
    field,
    Object.hasOwn(wanted, field) ? wanted[field] : usual,
  ])
  return Object.fromEntries(given.filter(([, value]) => value !== undefined))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What an answer holds where nothing was said, for fields whose default the schema does not tell. */
function isBlank(value: unknown): boolean {
  return value === null || value === false || value === '' || (Array.isArray(value) && value.length === 0)
}

/** Lists that mean the same in any order, and are answered in one of the server's own. */
const SETS = new Set(['domains', 'volumes'])

function comparable(field: string, { items }: FieldSchema, value: unknown): unknown {
  if (!Array.isArray(value)) return value
  const entries = value.map((each) => JSON.stringify(isObject(each) ? withoutDefaults(each, items) : each))
  return SETS.has(field) ? entries.toSorted() : entries
}

/** An answer spells out what may be left out of a request. */
function withoutDefaults(value: Values, schema: FieldSchema = {}): [string, unknown][] {
  return Object.entries(value)
    .filter(([name, each]) => !isBlank(each) && !isSame(each, schema.properties?.[name]?.default))
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
