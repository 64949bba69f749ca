import { isIPv6 } from 'node:net'
import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { RefusedLogin } from './authorize.ts'

/** Counts failed logins by address and by account; see `attempt`. */
export interface LoginThrottle {
  /**
   * Begins an attempt; it counts as failed until `succeeded` or `abandoned` says otherwise, so that parallel guesses are counted before
   * their answers are known. Throws RATE_LIMITED after five failures within 15 minutes from the address or for the account.
   */
  attempt(clientAddress: string, account: string, cause?: RefusedLogin): Attempt
}

export interface Attempt {
  /** Also forgives the account's earlier failures: whoever failed knows the password now. */
  succeeded(): void
  /** Nothing was learned: the server was busy. */
  abandoned(): void
}

const MAX_FAILURES = 5
const WINDOW_MS = 15 * 60_000
const MAX_KEYS = 20_000

export function createLoginThrottle(system: System): LoginThrottle {
  /** Instants of failures, oldest first, by key; the least recently failed key first. */
  const failures = new Map<string, number[]>()

  const recent = (key: string): number[] => {
    const since = system.now() - WINDOW_MS
    return (failures.get(key) ?? []).filter((at) => at > since)
  }
  const refuseIfFull = (key: string, cause: RefusedLogin | undefined): void => {
    const times = recent(key)
    if (times.length < MAX_FAILURES) return
    throw new AppError('RATE_LIMITED', {
      message: 'Too many failed logins; try again later.',
      retryAfterSeconds: ((times[0] ?? 0) + WINDOW_MS - system.now()) / 1000,
      cause,
    })
  }
  const add = (key: string, at: number): void => {
    const times = [...recent(key), at]
    failures.delete(key)
    failures.set(key, times)
    const oldest = failures.keys().next().value
    if (failures.size > MAX_KEYS && oldest !== undefined) failures.delete(oldest)
  }
  const remove = (key: string, at: number): void => {
    const times = failures.get(key) ?? []
    const index = times.indexOf(at)
    if (index >= 0) times.splice(index, 1)
    if (times.length === 0) failures.delete(key)
  }

  return {
    attempt: (clientAddress, account, cause) => {
      const byAddress = `address ${networkOf(clientAddress)}`
      const byAccount = `account ${account.toLowerCase()}`
      refuseIfFull(byAddress, cause)
      refuseIfFull(byAccount, cause)
      const at = system.now()
      add(byAddress, at)
      add(byAccount, at)
      return {
        succeeded: () => {
          remove(byAddress, at)
          failures.delete(byAccount)
        },
        abandoned: () => {
          remove(byAddress, at)
          remove(byAccount, at)
        },
      }
    },
  }
}

/** One customer commonly holds a /64 of IPv6: it counts as one address. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped?.[1] !== undefined) return mapped[1]
  if (!isIPv6(address)) return address
  const [head = '', tail] = (address.split('%')[0] ?? '').toLowerCase().split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  const groups = [...left, ...Array<string>(zeros).fill('0'), ...right]
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}
