import { type Static, Type } from 'typebox'
import { IdInPath, Instant, nullable, strictObject } from '../../http/schema.ts'

export const OUTPUT_STREAMS = ['stdout', 'stderr'] as const
/** `status` is Berth's own word; the others are output. */
export const LOG_STREAMS = ['status', ...OUTPUT_STREAMS] as const
export type LogStream = (typeof LOG_STREAMS)[number]

const Seq = Type.Integer({ description: 'Rises by one with each line; the id to resume from.' })
const Line = Type.String({ description: 'Secrets that Berth knows are masked.' })

/** A line of a deployment's log. */
export const DeploymentLine = Type.Object(
  {
    seq: Seq,
    ts: Instant,
    stream: Type.Enum(LOG_STREAMS),
    step: nullable(Type.String({ description: 'The step that wrote it' })),
    line: Line,
  },
  { title: 'DeploymentLogLine' },
)
export type DeploymentLine = Static<typeof DeploymentLine>

/** A line of a service's output. */
export const ServiceLine = Type.Object(
  {
    seq: Seq,
    ts: Type.String({
      format: 'date-time',
      description: 'As the container engine stamped it, with nanoseconds',
    }),
    stream: Type.Enum(OUTPUT_STREAMS),
    replica: Type.Integer(),
    deployment_id: Type.String(),
    line: Line,
  },
  { title: 'ServiceLogLine' },
)
export type ServiceLine = Static<typeof ServiceLine>

const SINCE = 'An instant (RFC 3339), or the id of a line: what comes behind it.'
const Point = Type.String({ minLength: 1, maxLength: 40 })
const Tail = Type.Integer({ minimum: 0, maximum: 10_000 })
const Replica = Type.Integer({ minimum: 0, maximum: 100_000 })

/** `?tail=&since=&until=&replica=&deployment_id=&grep=` and the paging of every list. */
export const ServiceLogQuery = strictObject({
  tail: Type.Optional({ ...Tail, description: 'Most lines, the newest ones; 200 when left out.' }),
  limit: Type.Optional({ ...Tail, minimum: 1, description: 'The same as tail.' }),
  since: Type.Optional({ ...Point, description: SINCE }),
  until: Type.Optional({ ...Point, description: 'An instant (RFC 3339): nothing behind it.' }),
  replica: Type.Optional(Replica),
  deployment_id: Type.Optional(IdInPath),
  grep: Type.Optional(
    Type.String({ minLength: 1, maxLength: 256, description: 'Only lines that contain this text.' }),
  ),
  cursor: Type.Optional(
    Type.String({ minLength: 1, maxLength: 512, description: 'From the Link header: older lines.' }),
  ),
})
export type ServiceLogQuery = Static<typeof ServiceLogQuery>

export const STREAM_FORMATS = ['json', 'text'] as const

export const ServiceStreamQuery = strictObject({
  tail: Type.Optional({
    ...Tail,
    description: 'Lines of the past to begin with; 100 when neither it nor since is given.',
  }),
  since: Type.Optional({ ...Point, description: SINCE }),
  replica: Type.Optional(Replica),
  deployment_id: Type.Optional(IdInPath),
  format: Type.Optional(Type.Enum(STREAM_FORMATS)),
})
export type ServiceStreamQuery = Static<typeof ServiceStreamQuery>

export const DeploymentLogQuery = strictObject({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description: '5000 when left out.' })),
  since: Type.Optional({
    ...Point,
    pattern: '^[0-9]{1,15}$',
    description: 'The id of a line: what comes behind it.',
  }),
  cursor: Type.Optional(
    Type.String({ minLength: 1, maxLength: 512, description: 'From the Link header: later lines.' }),
  ),
})
export type DeploymentLogQuery = Static<typeof DeploymentLogQuery>

export const DeploymentStreamQuery = strictObject({
  since: Type.Optional({ ...Point, description: 'The id of a line: what comes behind it.' }),
  format: Type.Optional(Type.Enum(STREAM_FORMATS)),
})
