import type { Readable } from 'node:stream'

/** A status message of BuildKit carries at most some hundred KiB of output; this is far above and still harmless. */
const MAX_LINE_BYTES = 16 * 1024 * 1024
const NEWLINE = 0x0a

/** The JSON objects of a stream that has one on each line, as they come. What is not an object is passed over; `onBytes` hears of every piece. */
export async function* readJsonLines(
  stream: Readable,
  onBytes: (count: number) => void = () => {},
): AsyncGenerator<Record<string, unknown>> {
  let pending: Buffer[] = []
  let pendingBytes = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    onBytes(chunk.length)
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const object = parseObject([...pending, chunk.subarray(start, end)])
      pending = []
      pendingBytes = 0
      start = end + 1
      if (object) yield object
    }
    const rest = chunk.subarray(start)
    pendingBytes += rest.length
    if (pendingBytes > MAX_LINE_BYTES)
      throw new Error(`A line of more than ${MAX_LINE_BYTES} bytes from the engine.`)
    if (rest.length > 0) pending.push(rest)
  }
  const last = parseObject(pending)
  if (last) yield last
}

function parseObject(parts: Buffer[]): Record<string, unknown> | undefined {
  const text = Buffer.concat(parts).toString('utf8').trim()
  if (text === '') return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
