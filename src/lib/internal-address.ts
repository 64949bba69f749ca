import { BlockList, isIP } from 'node:net'

/**
 * Ranges that are not addresses of someone on the Internet: the IANA special-purpose registries (RFC 6890), shared address space (RFC
 * 6598), unique local addresses (RFC 4193), and the forms of IPv6 that carry an IPv4 address, which could name any of the former.
 */
const INTERNAL_IPV4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
]
const INTERNAL_IPV6: readonly (readonly [string, number])[] = [
  // Unspecified, loopback, IPv4-compatible and IPv4-mapped.
  ['::', 8],
  ['64:ff9b::', 32],
  ['100::', 64],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
  ['fc00::', 7],
  ['fe80::', 9],
  ['ff00::', 8],
]

// Two lists: a BlockList takes an IPv4 address for its mapped form in IPv6, which is in one of the ranges.
const four = new BlockList()
const six = new BlockList()
for (const [base, bits] of INTERNAL_IPV4) four.addSubnet(base, bits, 'ipv4')
for (const [base, bits] of INTERNAL_IPV6) six.addSubnet(base, bits, 'ipv6')

const MAPPED = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i

/** Whether an IP address is one of this machine or of a private network; what is no address counts as internal. */
export function isInternalAddress(address: string): boolean {
  const bare = MAPPED.exec(address)?.[1] ?? address
  const family = isIP(bare)
  if (family === 0) return true
  return family === 4 ? four.check(bare, 'ipv4') : six.check(bare, 'ipv6')
}
