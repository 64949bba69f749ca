import type { FastifyReply, FastifyRequest } from 'fastify'
import { type EventStream, formatEvent, openEventStream } from '../../http/sse.ts'
import type { FollowEvent } from './log-follow.ts'
import type { LineBatch } from './log-line.ts'
import type { Follow } from './log-operations.ts'

export type StreamFormat = 'json' | 'text' | undefined

/** Reads the id of a line; undefined for what is none, which an EventSource may send after a change of servers. */
export function readLineId(text: string | string[] | undefined): number | undefined {
  return typeof text === 'string' && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** Answers a log as an event stream, at the reader's pace. */
export async function sendLog(
  request: FastifyRequest,
  reply: FastifyReply,
  follow: Follow,
  format: StreamFormat,
): Promise<void> {
  const stream = openEventStream(request, reply)
  try {
    for await (const event of follow(stream.signal)) {
      if (!sendEvent(stream, event, format)) await stream.ready()
    }
  } finally {
    // After an error the reader comes back and goes on from its last line.
    stream.end()
  }
}

function sendEvent(stream: EventStream, event: FollowEvent, format: StreamFormat): boolean {
  switch (event.type) {
    case 'lines':
      return stream.sendFormatted(
        format === 'text' ? toText(event.batch) : toEvents(event.batch),
        event.batch.lines.length,
      )
    case 'lost':
      return stream.send({ event: 'lost', data: { lost: event.count } })
    case 'end':
      stream.end(format === 'text' ? (event.state ?? '') : { status: event.state })
      return true
  }
}

/** What was made of a batch once is sent to all who follow. */
const eventsOf = new WeakMap<LineBatch, Buffer>()

function toEvents(batch: LineBatch): Buffer {
  const known = eventsOf.get(batch)
  if (known) return known
  const events = Buffer.from(batch.lines.map((line) => `id: ${idOf(line)}\ndata: ${line}\n\n`).join(''))
  eventsOf.set(batch, events)
  return events
}

function toText(batch: LineBatch): string {
  return batch.lines
    .map((record) => formatEvent({ id: idOf(record), data: (JSON.parse(record) as { line: string }).line }))
    .join('')
}

function idOf(record: string): string {
  return record.slice('{"seq":'.length, record.indexOf(','))
}
