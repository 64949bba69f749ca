import { lookup } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'
import { orAborted } from './abortable.ts'
import { isInternalAddress } from './internal-address.ts'

/** Where a program may connect to. */
export interface AddressRule {
  /** The addresses of a host, each of which may be connected to. Throws AddressRefused when there are none, or when one may not. */
  resolve(host: string, signal: AbortSignal): Promise<string[]>
}

/** A host that has no address, or one where nothing of a user's choice may connect to. */
export class AddressRefused extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'AddressRefused'
  }
}

/**
 * Makes the rule: public addresses, and those of the allowed ranges (`10.0.0.0/8`, `fd00::/8` or single addresses). Whoever connects must use
 * the addresses that were answered: asked again, the name may lead elsewhere.
 */
export function createAddressRule(allowedRanges: readonly string[]): AddressRule {
  const allowed = rangesOf(allowedRanges.map(readRange))
  const isAllowed = (address: string): boolean => contains(allowed, address) || !isInternalAddress(address)
  return {
    resolve: async (host, signal) => {
      const addresses = isIP(host) === 0 ? await lookUp(host, signal) : [host]
      const refused = addresses.find((address) => !isAllowed(address))
      if (refused !== undefined)
        throw new AddressRefused(
          `${host}${refused === host ? '' : ` (${refused})`} is a private address of this node or its network`,
        )
      return addresses
    },
  }
}

/** Reads `address/prefix` or an address. Throws an Error that says what it must be. */
export function readRange(text: string): [network: string, prefix: number] {
  const [network = '', prefix] = text.split('/')
  const family = isIP(network)
  const longest = family === 4 ? 32 : 128
  const length = prefix === undefined ? longest : Number(prefix)
  if (family === 0 || !/^\d{1,3}$/.test(prefix ?? '0') || length > longest)
    throw new Error(`must be an address or a range such as 10.0.0.0/8, not "${text}"`)
  return [network, length]
}

async function lookUp(host: string, signal: AbortSignal): Promise<string[]> {
  try {
    const found = await orAborted(lookup(host, { all: true, order: 'verbatim' }), signal)
    if (found.length > 0) return found.map(({ address }) => address)
  } catch (error) {
    signal.throwIfAborted()
    throw Object.assign(new AddressRefused(`${host} cannot be found: its name has no address`), {
      cause: error,
    })
  }
  throw new AddressRefused(`${host} cannot be found: its name has no address`)
}

function rangesOf(ranges: readonly (readonly [network: string, prefix: number])[]): BlockList {
  const list = new BlockList()
  for (const [network, prefix] of ranges)
    list.addSubnet(network, prefix, isIP(network) === 4 ? 'ipv4' : 'ipv6')
  return list
}

function contains(list: BlockList, address: string): boolean {
  // An IPv4 address that is written as an IPv6 one (::ffff:127.0.0.1) meets the ranges of IPv4.
  return list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6')
}
