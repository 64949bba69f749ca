import { readFields } from './protobuf-fields.ts'

/** A step of a build. Instants are in milliseconds since the epoch. */
export interface Vertex {
  digest: string
  name: string
  cached: boolean
  started: number | undefined
  completed: number | undefined
  error: string
}

/** A part of a step that counts: a layer that is pulled, an image that is written. */
export interface VertexStatus {
  id: string
  vertex: string
  name: string
  current: number
  total: number
  completed: boolean
}

/** A piece of a step's output, cut anywhere. */
export interface VertexLog {
  vertex: string
  stream: number
  bytes: Buffer
}

export interface BuildkitStatus {
  vertexes: Vertex[]
  statuses: VertexStatus[]
  logs: VertexLog[]
  warnings: string[]
}

/** Decodes a status message (BuildKit, api/services/control/control.proto, StatusResponse). Throws RangeError when it is none. */
export function decodeStatus(message: Buffer): BuildkitStatus {
  const status: BuildkitStatus = { vertexes: [], statuses: [], logs: [], warnings: [] }
  for (const { field, value } of readFields(message)) {
    if (!Buffer.isBuffer(value)) continue
    if (field === 1) status.vertexes.push(decodeVertex(value))
    else if (field === 2) status.statuses.push(decodeVertexStatus(value))
    else if (field === 3) status.logs.push(decodeLog(value))
    else if (field === 4) status.warnings.push(decodeWarning(value))
  }
  return status
}

function decodeVertex(message: Buffer): Vertex {
  const fields = collect(message)
  return {
    digest: textOf(fields[1]),
    name: textOf(fields[3]),
    cached: fields[4] === 1n,
    started: instantOf(fields[5]),
    completed: instantOf(fields[6]),
    error: textOf(fields[7]),
  }
}

function decodeVertexStatus(message: Buffer): VertexStatus {
  const fields = collect(message)
  return {
    id: textOf(fields[1]),
    vertex: textOf(fields[2]),
    name: textOf(fields[3]),
    current: countOf(fields[4]),
    total: countOf(fields[5]),
    completed: fields[8] !== undefined,
  }
}

function decodeLog(message: Buffer): VertexLog {
  const fields = collect(message)
  return {
    vertex: textOf(fields[1]),
    stream: countOf(fields[3]),
    bytes: Buffer.isBuffer(fields[4]) ? fields[4] : Buffer.alloc(0),
  }
}

function decodeWarning(message: Buffer): string {
  return textOf(collect(message)[3])
}

/** The last value of each field, which is what counts for fields that are not repeated. */
function collect(message: Buffer): Record<number, bigint | Buffer> {
  return Object.fromEntries([...readFields(message)].map(({ field, value }) => [field, value]))
}

function textOf(value: bigint | Buffer | undefined): string {
  return Buffer.isBuffer(value) ? value.toString('utf8') : ''
}

function countOf(value: bigint | Buffer | undefined): number {
  return typeof value === 'bigint' ? Number(BigInt.asIntN(64, value)) : 0
}

/** google.protobuf.Timestamp: seconds and nanoseconds. */
function instantOf(value: bigint | Buffer | undefined): number | undefined {
  if (!Buffer.isBuffer(value)) return undefined
  const fields = collect(value)
  return countOf(fields[1]) * 1000 + countOf(fields[2]) / 1e6
}
