import { messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { DnsHook } from './dns-hook.ts'
import { CHALLENGE_LABEL, type CheckOutcome, type DomainRow, isWildcard } from './domain-schema.ts'
import type { Looked, NameLookup } from './name-lookup.ts'

/** How long a record that a hook made may take to be seen. */
export const PROPAGATION_MS = 120_000

export interface DnsCheckDeps {
  lookup: NameLookup
  hook: DnsHook | undefined
  /** `project/service`, which the hook is told. */
  labelOf: (serviceId: string) => string
  system: System
  /** How long a record that the hook made may take to be seen. */
  propagationMs: number
}

/** How often the record is looked for. */
const LOOK_EVERY_MS = 2000

/** The TXT record that proves a hostname; that of a wildcard is at the name below it. */
export function challengeRecord(hostname: string): string {
  return `${CHALLENGE_LABEL}.${isWildcard(hostname) ? hostname.slice(2) : hostname}`
}

/**
 * Checks a hostname by its TXT record: one that is there counts; otherwise the hook, if there is one, is asked to make that of a wildcard, and
 * removes it again afterwards. Who configures the hook decides by it which names may be proven this way; no name is taken from somebody else's
 * wildcard by it.
 */
export function createDnsCheck(deps: DnsCheckDeps) {
  const { lookup } = deps
  return async (
    { hostname, token, service_id }: Pick<DomainRow, 'hostname' | 'token' | 'service_id'>,
    signal: AbortSignal,
  ): Promise<CheckOutcome> => {
    const name = challengeRecord(hostname)
    const hook = isWildcard(hostname) ? deps.hook : undefined
    const first = judge(name, token, await lookup.texts(name, signal))
    if (first.ok || hook === undefined) return first
    const record = { name, value: token, service: deps.labelOf(service_id) }
    try {
      await hook.run('present', record, signal)
      return await waitForRecord(deps, name, token, signal)
    } catch (error) {
      signal.throwIfAborted()
      return { ok: false, code: 'hook_failed', reason: messageOf(error) }
    } finally {
      // What is left over is looked for under the same name and value, and harms nobody.
      await hook.run('cleanup', record, signal).catch(() => {})
    }
  }
}

/** Looks for a TXT record until it is there, or for as long as it may take to be seen. */
export async function waitForRecord(
  { lookup, system, propagationMs }: Pick<DnsCheckDeps, 'lookup' | 'system' | 'propagationMs'>,
  name: string,
  token: string,
  signal: AbortSignal,
): Promise<CheckOutcome> {
  const until = system.monotonic() + propagationMs
  for (;;) {
    const outcome = judge(name, token, await lookup.texts(name, signal))
    if (outcome.ok || system.monotonic() >= until) return outcome
    await system.sleep(LOOK_EVERY_MS, signal)
  }
}

function judge(name: string, token: string, looked: Looked<string>): CheckOutcome {
  if ('unavailable' in looked)
    return {
      ok: false,
      code: 'dns_unavailable',
      reason: `The DNS servers gave no answer for ${name} (${looked.unavailable}). Try again; if it stays, look at the name servers of the zone.`,
    }
  if (looked.found.includes(token)) return { ok: true }
  if (looked.found.length === 0)
    return {
      ok: false,
      code: 'no_txt_record',
      reason: `There is no TXT record ${name}. Add one with the value ${token}.`,
    }
  return {
    ok: false,
    code: 'wrong_txt_record',
    reason: `The TXT record ${name} does not hold ${token}. Add it beside what is there.`,
  }
}
