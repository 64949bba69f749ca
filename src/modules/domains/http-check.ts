import { isInternalAddress } from '../../lib/internal-address.ts'
import { type Fetched, fetchChallenge, type FetchRequest } from './challenge-fetch.ts'
import { CHALLENGE_PREFIX, type CheckFailure, type CheckOutcome } from './domain-schema.ts'
import type { NameLookup } from './name-lookup.ts'

export interface HttpCheckDeps {
  lookup: NameLookup
  /** Where the world reaches the ingress; 80 unless something in front maps ports. */
  port: () => number
  /** A name may point to a private or loopback address. */
  allowInternal: boolean
  /** Addresses of this node, as far as it knows them, for the reason of a failure. */
  ownAddresses: () => readonly string[]
  timeoutMs: number
  fetch?: (asked: FetchRequest, signal: AbortSignal) => Promise<Fetched>
}

export type HttpCheck = (
  claim: { hostname: string; token: string },
  signal: AbortSignal,
) => Promise<CheckOutcome>

/** Addresses of one name that are asked; more would let a name make us ask half the world. */
const MAX_ADDRESSES = 4

/** Checks that a hostname leads here: looks it up once, and asks the very addresses that it found. */
export function createHttpCheck(deps: HttpCheckDeps): HttpCheck {
  const fetch = deps.fetch ?? fetchChallenge
  return async ({ hostname, token }, signal) => {
    const looked = await deps.lookup.addresses(hostname, signal)
    if ('unavailable' in looked)
      return no(
        'dns_unavailable',
        `The DNS servers gave no answer for ${hostname} (${looked.unavailable}). Try again; if it stays, look at the name servers of the zone.`,
      )
    const addresses = looked.found.slice(0, MAX_ADDRESSES)
    if (addresses.length === 0)
      return no(
        'no_dns_record',
        `${hostname} has no A or AAAA record. Point it to ${publicOf(deps.ownAddresses()) ?? 'the public address of this node'}.`,
      )
    const inside = deps.allowInternal ? undefined : addresses.find(isInternalAddress)
    if (inside !== undefined)
      return no(
        'internal_address',
        `${hostname} points to ${inside}, which is an internal address and is not asked. If this node serves such names, set domain_internal_addresses.`,
      )
    const failures: CheckOutcome[] = []
    for (const address of addresses) {
      const asked = {
        address,
        port: deps.port(),
        hostname,
        path: CHALLENGE_PREFIX + token,
        timeoutMs: deps.timeoutMs,
      }
      const outcome = judge(asked, token, await fetch(asked, signal), deps.ownAddresses())
      if (outcome.ok) return outcome
      failures.push(outcome)
    }
    // The last one is that of IPv4, if there is any: what most people look at.
    return failures.at(-1) ?? { ok: true }
  }
}

function judge(
  asked: FetchRequest,
  token: string,
  fetched: Fetched,
  ownAddresses: readonly string[],
): CheckOutcome {
  const { hostname, address, port } = asked
  const elsewhere = ownAddresses.includes(address)
    ? ''
    : ` ${hostname} points to ${address}; ${describeOwn(ownAddresses)}.`
  if (fetched.kind === 'failed') {
    const what = {
      connection_refused: `${address} refuses connections on port ${port}. Is the port open, and does it lead to this node?`,
      timed_out: `${address} did not answer on port ${port} in time. A firewall may drop the connection.`,
      unreachable: `${address} could not be asked on port ${port} (${fetched.error}).`,
    }[fetched.why]
    return no(fetched.why, what + elsewhere)
  }
  const { status } = fetched
  if (status >= 300 && status <= 399)
    return no(
      'redirected',
      `${address} answers with a redirect (${status}${fetched.location === undefined ? '' : ` to ${shorten(fetched.location)}`}), and none is followed. Let ${CHALLENGE_PREFIX} through as it is.${elsewhere}`,
    )
  if (status !== 200)
    return no('wrong_status', `${address} answers ${status} instead of the token.${elsewhere}`)
  if (fetched.body.trim() === token) return { ok: true }
  return no('wrong_body', `${address} answers something else than the token.${elsewhere}`)
}

function no(code: CheckFailure, reason: string): CheckOutcome {
  return { ok: false, code, reason }
}

/** What a name should point to; undefined when this node knows none but internal addresses of its own. */
function publicOf(addresses: readonly string[]): string | undefined {
  const named = addresses.filter((each) => !isInternalAddress(each))
  return named.length === 0 ? undefined : named.slice(0, 4).join(' or ')
}

function describeOwn(addresses: readonly string[]): string {
  const named = publicOf(addresses)
  return named === undefined
    ? 'whether that leads to this node is not known, which has internal addresses only: public_addresses in its configuration tells'
    : `this node is ${named}`
}

/** What a stranger's server says is shown short and plain. */
function shorten(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 200)
}
