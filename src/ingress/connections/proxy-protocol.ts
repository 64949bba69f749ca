import { isIP, isIPv4, isIPv6 } from 'node:net'

/** What a PROXY protocol header says, and how long it is. `address` is undefined where it names nobody: then the peer counts. */
export interface ProxyHeader {
  address: string | undefined
  length: number
}

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
/** Version 1: the longest line that there can be (section 2.1 of the specification). */
const MAX_LINE_BYTES = 107
/** Version 2: addresses and what else a load balancer has to say. */
const MAX_BLOCK_BYTES = 4096
const FIXED_BYTES = 16
const PORT = /^(0|[1-9]\d{0,4})$/

/**
 * Reads the header of the PROXY protocol, version 1 or 2, from the first bytes of a connection. `more`: it has not come whole.
 * Undefined: this is none.
 */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | 'more' | undefined {
  const compared = Math.min(bytes.length, SIGNATURE.length)
  if (bytes.subarray(0, compared).equals(SIGNATURE.subarray(0, compared)))
    return bytes.length < FIXED_BYTES ? 'more' : parseBinary(bytes)
  return parseText(bytes)
}

function parseText(bytes: Buffer): ProxyHeader | 'more' | undefined {
  const text = bytes.toString('latin1', 0, MAX_LINE_BYTES)
  if (!'PROXY '.startsWith(text.slice(0, 6))) return undefined
  const end = text.indexOf('\r\n')
  if (end === -1) return bytes.length < MAX_LINE_BYTES ? 'more' : undefined
  const [, family, source = '', target = '', ...ports] = text.slice(0, end).split(' ')
  const length = end + 2
  if (family === 'UNKNOWN') return { address: undefined, length }
  const fits = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : undefined
  if (fits === undefined || !fits(source) || !fits(target)) return undefined
  if (ports.length !== 2 || !ports.every((port) => PORT.test(port) && Number(port) <= 65_535))
    return undefined
  return { address: source, length }
}

function parseBinary(bytes: Buffer): ProxyHeader | 'more' | undefined {
  const version = bytes[12] as number
  const family = bytes[13] as number
  const size = bytes.readUInt16BE(14)
  const length = FIXED_BYTES + size
  if ((version !== 0x20 && version !== 0x21) || size > MAX_BLOCK_BYTES) return undefined
  if (bytes.length < length) return 'more'
  // LOCAL: the load balancer itself, for a check of health.
  if (version === 0x20) return { address: undefined, length }
  if (family === 0x11) return size < 12 ? undefined : { address: ipv4At(bytes, FIXED_BYTES), length }
  if (family === 0x21) return size < 36 ? undefined : { address: ipv6At(bytes, FIXED_BYTES), length }
  return { address: undefined, length }
}

function ipv4At(bytes: Buffer, at: number): string {
  return [...bytes.subarray(at, at + 4)].join('.')
}

function ipv6At(bytes: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(at + 2 * index).toString(16))
  const address = groups.join(':')
  return isIP(address) === 0 ? '' : new URL(`http://[${address}]`).hostname.slice(1, -1)
}
