import type { LogChunk } from './runtime.ts'

/** Stream type, three zero bytes, length as big-endian 32 bits (Engine API, "Attach to a container", stream format). */
const HEADER_BYTES = 8
/** The engine writes a frame for each line and splits lines at 16 KiB; more means that we have lost the frame boundaries. */
const MAX_FRAME_BYTES = 1024 * 1024
const STDERR = 2

export interface LogFrameReader {
  /** The chunks that became complete with these bytes. Throws when they are no frames. */
  push(bytes: Buffer): LogChunk[]
}

/** Takes the engine's multiplexed output with timestamps apart, wherever its pieces were cut. */
export function createLogFrameReader(): LogFrameReader {
  let pending: Buffer[] = []
  let pendingBytes = 0
  let wanted = HEADER_BYTES

  return {
    push: (bytes) => {
      pending.push(bytes)
      pendingBytes += bytes.length
      if (pendingBytes < wanted) return []
      const chunks: LogChunk[] = []
      let rest = Buffer.concat(pending)
      for (;;) {
        if (rest.length < HEADER_BYTES) break
        const length = rest.readUInt32BE(4)
        if (length > MAX_FRAME_BYTES || rest.readUInt8(0) > STDERR)
          throw new Error('docker: logs: not a log frame')
        if (rest.length < HEADER_BYTES + length) break
        const chunk = toChunk(rest.readUInt8(0), rest.subarray(HEADER_BYTES, HEADER_BYTES + length))
        if (chunk) chunks.push(chunk)
        rest = rest.subarray(HEADER_BYTES + length)
      }
      wanted = rest.length < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + rest.readUInt32BE(4)
      pending = rest.length > 0 ? [rest] : []
      pendingBytes = rest.length
      return chunks
    },
  }
}

/** `timestamp, space, line`; a line that does not end in a newline goes on in the next frame of its stream. */
function toChunk(type: number, payload: Buffer): LogChunk | undefined {
  const space = payload.indexOf(0x20)
  if (space === -1) return undefined
  const text = payload.toString('utf8', space + 1)
  const partial = !text.endsWith('\n')
  return {
    stream: type === STDERR ? 'stderr' : 'stdout',
    ts: payload.toString('latin1', 0, space),
    line: text.replace(/\r?\n$/, ''),
    partial,
  }
}
