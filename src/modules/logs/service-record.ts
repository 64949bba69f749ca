import { recordRest } from './log-line.ts'
import type { OutputLine, OutputPlace } from './output-place.ts'

/** Where a line comes from. */
export interface OutputOrigin {
  deployment_id: string
  replica: number
}

/** A record of a service's output behind its `seq`; in this order, so that `readServiceRecord` needs only look at its beginning. */
export function serviceRest(
  { deployment_id, replica }: OutputOrigin,
  { ts, stream, line }: OutputLine,
): string {
  return recordRest({ ts, stream, replica, deployment_id, line })
}

const RECORD =
  /^\{"seq":(\d+),"ts":"([^"]+)","stream":"(stdout|stderr)","replica":(\d+),"deployment_id":"([^"]*)","line":"/

export interface ServiceRecordHead extends OutputOrigin {
  seq: number
  ts: string
  stream: OutputLine['stream']
  /** Where the text of the line begins in the record, as JSON. */
  text_at: number
}

/** What stands in front of the text of a stored line; undefined for what is no line. */
export function readServiceRecord(record: string): ServiceRecordHead | undefined {
  const match = RECORD.exec(record)
  if (!match) return undefined
  const [head, seq, ts = '', stream, replica, deployment_id = ''] = match
  return {
    seq: Number(seq),
    ts,
    stream: stream === 'stderr' ? 'stderr' : 'stdout',
    replica: Number(replica),
    deployment_id,
    text_at: head.length,
  }
}

/** How far the output of each container was stored, by `originKey`. */
export type Places = Map<string, OutputPlace>

export function originKey({ deployment_id, replica }: OutputOrigin): string {
  return `${deployment_id}/${replica}`
}

/** More containers than this are not remembered; the longest silent are forgotten. */
const MAX_PLACES = 500

/** The first line of each segment: the places at its beginning, so that the newest segment alone tells them all. */
export function placesNote(places: Places): string {
  const newest = ([, place]: [string, OutputPlace]): string =>
    [place.stdout?.ts ?? '', place.stderr?.ts ?? ''].toSorted()[1] ?? ''
  const kept = [...places].toSorted((a, b) => (newest(a) < newest(b) ? 1 : -1)).slice(0, MAX_PLACES)
  return JSON.stringify({ places: Object.fromEntries(kept) })
}

export function readPlacesNote(line: string): Places | undefined {
  if (!line.startsWith('{"places":')) return undefined
  const { places } = JSON.parse(line) as { places: Record<string, OutputPlace> }
  return new Map(Object.entries(places))
}
