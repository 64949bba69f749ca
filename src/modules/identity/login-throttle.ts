import { isIPv6 } from 'node:net'
import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { RefusedLogin } from './authorize.ts'

/** Counts failed logins by address and by account; see `attempt`. */
export interface LoginThrottle {
  /**
   * Begins an attempt. Throws RATE_LIMITED after five failures within 15 minutes from the address or for the account. While attempts under
   * way could make up the five by failing, it waits for their ends, so that parallel guesses are no more than five and parallel logins
   * with the right password all go through; throws BUSY when it waits too long or with too many.
   */
  attempt(clientAddress: string, account: string, cause?: RefusedLogin): Promise<Attempt>
}

export interface Attempt {
  /** To be called once. */
  end(outcome: AttemptOutcome): void
}

/**
 * `succeeded` also forgives the account's earlier failures: whoever failed knows the password now. `abandoned`: nothing was learned, because
 * the server was busy.
 */
export type AttemptOutcome = 'succeeded' | 'failed' | 'abandoned'

interface Waiting {
  readonly keys: Keys
  readonly cause: RefusedLogin | undefined
  readonly begun: (attempt: Attempt) => void
  readonly refused: (error: AppError) => void
}

interface Keys {
  readonly address: string
  readonly account: string
}

const MAX_FAILURES = 5
const WINDOW_MS = 15 * 60_000
const MAX_KEYS = 20_000
const MAX_WAITING = 256
const MAX_WAIT_MS = 5000
const RETRY_AFTER_SECONDS = 2

export function createLoginThrottle(system: System): LoginThrottle {
  /** Instants of failures, oldest first, by key; the least recently failed key first. */
  const failures = new Map<string, number[]>()
  const underWay = new Map<string, number>()
  /** In the order in which they came. */
  const waiting = new Set<Waiting>()

  const recent = (key: string): number[] => {
    const since = system.monotonic() - WINDOW_MS
    return (failures.get(key) ?? []).filter((at) => at > since)
  }
  const refusalOf = ({ address, account }: Keys, cause: RefusedLogin | undefined): AppError | undefined => {
    const full = [recent(address), recent(account)].find((times) => times.length >= MAX_FAILURES)
    return (
      full &&
      new AppError('RATE_LIMITED', {
        message: 'Too many failed logins; try again later.',
        retryAfterSeconds: ((full[0] ?? 0) + WINDOW_MS - system.monotonic()) / 1000,
        cause,
      })
    )
  }
  const hasRoom = ({ address, account }: Keys): boolean =>
    [address, account].every((key) => recent(key).length + (underWay.get(key) ?? 0) < MAX_FAILURES)

  const addFailure = (key: string): void => {
    const times = [...recent(key), system.monotonic()]
    failures.delete(key)
    failures.set(key, times)
    const oldest = failures.keys().next().value
    if (failures.size > MAX_KEYS && oldest !== undefined) failures.delete(oldest)
  }
  const countUnderWay = (key: string, change: 1 | -1): void => {
    const count = (underWay.get(key) ?? 0) + change
    if (count === 0) underWay.delete(key)
    else underWay.set(key, count)
  }

  const begin = (keys: Keys): Attempt => {
    const { address, account } = keys
    for (const key of [address, account]) countUnderWay(key, 1)
    return {
      end: (outcome) => {
        for (const key of [address, account]) {
          countUnderWay(key, -1)
          if (outcome === 'failed') addFailure(key)
        }
        if (outcome === 'succeeded') failures.delete(account)
        wake()
      },
    }
  }
  const wake = (): void => {
    for (const each of waiting) {
      const refusal = refusalOf(each.keys, each.cause)
      if (!refusal && !hasRoom(each.keys)) continue
      waiting.delete(each)
      if (refusal) each.refused(refusal)
      else each.begun(begin(each.keys))
    }
  }
  const waitForRoom = async (keys: Keys, cause: RefusedLogin | undefined): Promise<Attempt> => {
    if (waiting.size >= MAX_WAITING) throw busy()
    const { promise, resolve, reject } = Promise.withResolvers<Attempt>()
    const own: Waiting = { keys, cause, begun: resolve, refused: reject }
    waiting.add(own)
    const cancel = system.later(MAX_WAIT_MS, () => {
      if (waiting.delete(own)) reject(busy())
    })
    return promise.finally(cancel)
  }

  return {
    attempt: async (clientAddress, account, cause) => {
      const keys: Keys = {
        address: `address ${networkOf(clientAddress)}`,
        account: `account ${account.toLowerCase()}`,
      }
      const refusal = refusalOf(keys, cause)
      if (refusal) throw refusal
      return hasRoom(keys) ? begin(keys) : waitForRoom(keys, cause)
    },
  }
}

function busy(): AppError {
  return new AppError('BUSY', { retryAfterSeconds: RETRY_AFTER_SECONDS })
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
