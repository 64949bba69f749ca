import { BlockList, isIP } from 'node:net'

/** Tells which addresses are on a list. Entries are addresses or CIDR ranges; anything else is an error. */
export function createAddressList(entries: readonly string[]): (address: string) => boolean {
  if (entries.length === 0) return () => false
  const list = new BlockList()
  for (const entry of entries) addEntry(list, entry)
  return (address) => {
    const family = isIP(address)
    return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4')
  }
}

function addEntry(list: BlockList, entry: string): void {
  const [network = '', prefix, ...rest] = entry.split('/')
  const family = isIP(network)
  const bits = family === 6 ? 128 : 32
  const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1
  if (family === 0 || rest.length > 0 || length < 0 || length > bits) {
    throw new Error(`"${entry}" is not an IP address or a CIDR range.`)
  }
  list.addSubnet(network, length, family === 6 ? 'ipv6' : 'ipv4')
}
