import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import type { Test } from 'tap'

export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const Flag = { endStream: 1, ack: 1, endHeaders: 4 } as const

export interface Frame {
  type: number
  flags: number
  stream: number
  payload: Buffer
}

/** One frame (RFC 9113, section 4.1), however wrong. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A field section of literal fields that are never indexed (RFC 7541, section 6.2.3), so that any bytes can be sent. */
export function fields(...pairs: [name: string, value: string][]): Buffer {
  return Buffer.concat(pairs.flatMap(([name, value]) => [Buffer.from([0x10]), text(name), text(value)]))
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  return Buffer.concat([integer(bytes.length), bytes])
}

/** An integer with a prefix of seven bits (RFC 7541, section 5.1). */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value])
  const bytes = [127]
  let rest = value - 127
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Buffer.from([...bytes, rest])
}

/** A client of HTTP/2 that sends what it likes. */
export class FrameClient {
  readonly socket: TLSSocket
  readonly frames: Frame[] = []
  closed = false
  private received: Buffer = Buffer.alloc(0)

  private constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('data', (piece: Buffer) => this.take(piece))
    socket.on('error', () => {})
    socket.on('close', () => (this.closed = true))
    this.send(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(FrameType.settings, 0, 0))
  }

  /** `below`: a connection of one's own making to the port. */
  static async open(t: Test, port: number, servername: string, below?: Socket): Promise<FrameClient> {
    const socket = connect({
      ...(below ? { socket: below, allowHalfOpen: true } : { host: '127.0.0.1', port }),
      servername,
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
    })
    t.teardown(() => socket.destroy())
    await once(socket, 'secureConnect')
    return new FrameClient(socket)
  }

  send(...parts: Buffer[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(parts))
  }

  /** How often a stream (0: the connection) got a frame of a type. */
  count(type: number, stream?: number): number {
    return this.frames.filter((each) => each.type === type && (stream ?? each.stream) === each.stream).length
  }

  private take(piece: Buffer): void {
    const { frames, rest } = splitFrames(Buffer.concat([this.received, piece]))
    this.frames.push(...frames)
    this.received = rest
  }
}

/** The whole frames at the beginning of what was received, and what is left. */
export function splitFrames(received: Buffer): { frames: Frame[]; rest: Buffer } {
  const frames: Frame[] = []
  let rest = received
  while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
    const end = 9 + rest.readUIntBE(0, 3)
    frames.push({
      type: rest.readUInt8(3),
      flags: rest.readUInt8(4),
      stream: rest.readUInt32BE(5),
      payload: rest.subarray(9, end),
    })
    rest = rest.subarray(end)
  }
  return { frames, rest }
}
