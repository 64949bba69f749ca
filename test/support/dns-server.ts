import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { Test } from 'tap'

/** What the server says of one name: its records, or how it fails. */
export type Zone = { a?: string[]; aaaa?: string[]; txt?: string[] } | 'nxdomain' | 'servfail' | 'silent'

export interface DnsServer {
  /** `address:port`, as BERTH_DNS_SERVERS takes it. */
  address: string
  /** Names that are not there are NXDOMAIN. */
  zones: Map<string, Zone>
  /** The names that were asked for. */
  asked: string[]
}

const TYPES = { 1: 'a', 16: 'txt', 28: 'aaaa' } as const
const NXDOMAIN = 3
const SERVFAIL = 2

/** A name server for one test, on a port of its own: single questions over UDP (RFC 1035, section 4). */
export async function startDnsServer(t: Test): Promise<DnsServer> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(async () => {
    socket.close()
    await once(socket, 'close')
  })
  const zones = new Map<string, Zone>()
  const asked: string[] = []
  socket.on('message', (query, peer) => {
    const { name, type, end } = readQuestion(query)
    asked.push(name)
    const zone = zones.get(name) ?? 'nxdomain'
    if (zone === 'silent') return
    const failed = zone === 'nxdomain' ? NXDOMAIN : zone === 'servfail' ? SERVFAIL : 0
    const kind = TYPES[type as keyof typeof TYPES] as keyof typeof ENCODERS | undefined
    const values = typeof zone === 'string' || kind === undefined ? [] : (zone[kind] ?? [])
    const answers = values.map((value) =>
      record(type, kind === undefined ? Buffer.alloc(0) : ENCODERS[kind](value)),
    )
    const header = Buffer.from(query.subarray(0, 12))
    header.writeUInt16BE(0x8580 | failed, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(answers.length, 6)
    header.writeUInt32BE(0, 8)
    socket.send(Buffer.concat([header, query.subarray(12, end), ...answers]), peer.port, peer.address)
  })
  return { address: `127.0.0.1:${socket.address().port}`, zones, asked }
}

function readQuestion(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

const ENCODERS = {
  a: (value: string) => Buffer.from(value.split('.').map(Number)),
  aaaa: (value: string) => {
    const [head = '', tail] = value.split('::')
    const left = head.split(':').filter(Boolean)
    const right = (tail ?? '').split(':').filter(Boolean)
    const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right]
    return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex')
  },
  txt: (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value, 'latin1')]),
}

/** One answer: the name as a pointer to the question, one second to live. */
function record(type: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(12)
  fixed.writeUInt16BE(0xc00c, 0)
  fixed.writeUInt16BE(type, 2)
  fixed.writeUInt16BE(1, 4)
  fixed.writeUInt32BE(1, 6)
  fixed.writeUInt16BE(data.length, 10)
  return Buffer.concat([fixed, data])
}
