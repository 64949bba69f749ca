import { parseObject } from './event-follow.ts'
import type { Output } from './output.ts'
import { plain, plainOutput } from './plain-text.ts'
import type { ServerEvent } from './sse.ts'
import type { LogLine } from './wire.ts'

export interface LineStyle {
  timestamps: boolean
  /** Say which replica wrote it. */
  replicas: boolean
  /** Whether colours of the application may be shown. */
  colours: boolean
}

/** The log line in an event. */
export function readLogLine({ data }: ServerEvent): LogLine {
  const body = parseObject(data)
  return typeof body['line'] === 'string' ? (body as unknown as LogLine) : { line: data }
}

/** A line for people. */
export function showLogLine(
  { ts, replica, line }: LogLine,
  { timestamps, replicas, colours }: LineStyle,
): string {
  const prefix = [
    ...(timestamps && typeof ts === 'string' ? [plain(ts)] : []),
    ...(replicas && typeof replica === 'number' ? [`[${replica}]`] : []),
  ].join(' ')
  return `${prefix === '' ? '' : `${prefix} `}${plainOutput(line, colours)}`
}

/** Tells the user that a stream skipped lines because they came faster than they could be sent. */
export function noteLost(output: Output, { data }: ServerEvent): void {
  const { lost } = parseObject(data)
  output.warn(`${typeof lost === 'number' ? lost : 'some'} lines were left out: they came too fast`)
}
