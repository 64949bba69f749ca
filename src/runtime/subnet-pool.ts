/** An IPv4 range as numbers: first and last address. */
export interface AddressRange {
  first: number
  last: number
}

const SUBNET_SIZE = 256

/** Reads `a.b.c.d/n` (or a bare address); undefined when it is not IPv4. */
export function parseRange(cidr: string): AddressRange | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\/(\d{1,2}))?$/.exec(cidr.trim())
  if (!match) return undefined
  const octets = match.slice(1, 5).map(Number)
  const bits = match[5] === undefined ? 32 : Number(match[5])
  if (octets.some((octet) => octet > 255) || bits > 32) return undefined
  const address = octets.reduce((sum, octet) => sum * 256 + octet, 0)
  const size = 2 ** (32 - bits)
  const first = Math.floor(address / size) * size
  return { first, last: first + size - 1 }
}

/** The lowest /24 of `pool` that touches none of the taken ranges, or undefined when there is none left. */
export function planSubnet(pool: string, taken: readonly AddressRange[]): string | undefined {
  const range = parseRange(pool)
  if (!range) return undefined
  let first = Math.ceil(range.first / SUBNET_SIZE) * SUBNET_SIZE
  while (first + SUBNET_SIZE - 1 <= range.last) {
    const last = first + SUBNET_SIZE - 1
    const start = first
    const hit = taken.find((other) => other.first <= last && other.last >= start)
    if (!hit) return `${formatAddress(first)}/24`
    first = Math.ceil((hit.last + 1) / SUBNET_SIZE) * SUBNET_SIZE
  }
  return undefined
}

function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.')
}
