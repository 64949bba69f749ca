import { Resolver } from 'node:dns/promises'
import { systemCodeOf } from '../../lib/errors.ts'

/** What DNS says of a name: what was found, nothing, or that nobody could be asked. */
export type Looked<Found> = { found: Found[] } | { unavailable: string }

/** Questions to DNS itself, past /etc/hosts: what the world sees is what counts. */
export interface NameLookup {
  /** The IPv6 and IPv4 addresses of a name, IPv6 first, as clients on both prefer it. */
  addresses(name: string, signal: AbortSignal): Promise<Looked<string>>
  /** The TXT records of a name, each put together. */
  texts(name: string, signal: AbortSignal): Promise<Looked<string>>
}

/** Says that a name has no such record, which is an answer. */
const NOTHING = new Set(['ENOTFOUND', 'ENODATA'])

/** Asks these servers (`address` or `address:port`), or without any those of the system. */
export function createNameLookup(servers: readonly string[], timeoutMs = 3000): NameLookup {
  const ask = async <Found>(
    signal: AbortSignal,
    question: (resolver: Resolver) => Promise<Found[]>,
  ): Promise<Looked<Found>> => {
    const resolver = new Resolver({ timeout: timeoutMs, tries: 2 })
    if (servers.length > 0) resolver.setServers([...servers])
    const cancel = (): void => resolver.cancel()
    signal.addEventListener('abort', cancel, { once: true })
    try {
      signal.throwIfAborted()
      return { found: await question(resolver) }
    } catch (error) {
      signal.throwIfAborted()
      const code = systemCodeOf(error) ?? 'unknown'
      return NOTHING.has(code) ? { found: [] } : { unavailable: code }
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }

  return {
    addresses: async (name, signal) => {
      const [six, four] = await Promise.all([
        ask(signal, (resolver) => resolver.resolve6(name)),
        ask(signal, (resolver) => resolver.resolve4(name)),
      ])
      const found = [...('found' in six ? six.found : []), ...('found' in four ? four.found : [])]
      // One family that could not be asked does not matter when the other is there.
      if (found.length > 0) return { found }
      if ('unavailable' in four) return four
      return 'unavailable' in six ? six : { found }
    },
    texts: (name, signal) =>
      ask(signal, async (resolver) => (await resolver.resolveTxt(name)).map((parts) => parts.join(''))),
  }
}
