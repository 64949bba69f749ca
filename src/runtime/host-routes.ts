import { readFile } from 'node:fs/promises'
import { systemCodeOf } from '../lib/errors.ts'
import type { AddressRange } from './subnet-pool.ts'

/** What the host's IPv4 routing says that a new bridge must respect. */
export interface HostRoutes {
  /** Ranges that the host reaches by a route of its own. */
  ranges: AddressRange[]
  /** MTU of the interface behind the default route, when it has one. */
  mtu: number | undefined
}

const MAX_RANGE = 2 ** 32

/** Reads the main routing table of the kernel (proc(5), /proc/net/route). An unreadable one counts as empty. */
export async function readHostRoutes(): Promise<HostRoutes> {
  const routes = parseRoutes(await readOrEmpty('/proc/net/route'))
  const uplink = routes.find((route) => route.mask === 0)?.device
  const mtu =
    uplink === undefined ? NaN : Number.parseInt(await readOrEmpty(`/sys/class/net/${uplink}/mtu`), 10)
  return {
    ranges: routes.filter((route) => route.mask !== 0).map(toRange),
    mtu: Number.isNaN(mtu) ? undefined : mtu,
  }
}

interface Route {
  device: string
  destination: number
  mask: number
}

/** Lines of /proc/net/route; addresses are hexadecimal in the byte order of the machine (little-endian on all that Node.js 24 runs on). */
export function parseRoutes(table: string): Route[] {
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields.length >= 8)
    .map((fields) => ({
      device: fields[0] ?? '',
      destination: fromLittleEndianHex(fields[1] ?? ''),
      mask: fromLittleEndianHex(fields[7] ?? ''),
    }))
    .filter((route) => /^[\w.@:-]+$/.test(route.device) && !Number.isNaN(route.destination + route.mask))
}

function fromLittleEndianHex(text: string): number {
  return /^[0-9a-f]{8}$/i.test(text) ? Buffer.from(text, 'hex').readUInt32LE(0) : NaN
}

function toRange({ destination, mask }: Route): AddressRange {
  return { first: destination, last: destination + (MAX_RANGE - mask) - 1 }
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (systemCodeOf(error) === undefined) throw error
    return ''
  }
}
