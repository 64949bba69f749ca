import { argon2, timingSafeEqual } from 'node:crypto'
import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'

/** Makes and checks argon2id hashes (RFC 9106) in the thread pool, few at a time. */
export interface Passwords {
  /** Throws BUSY when too many wait already. */
  hash(password: string): Promise<string>
  /**
   * Whether the password fits. Without a hash the answer is false and takes as long, so that an unknown user cannot be told from a wrong
   * password. Throws BUSY when too many wait already.
   */
  verify(password: string, hash: string | undefined): Promise<boolean>
}

export interface PasswordOptions {
  system: System
  /** How many are worked on at once; the rest of the cores stays for other calls. */
  concurrency?: number
  maxWaiting?: number
}

// OWASP's second choice for argon2id: 19 MiB and two passes, about 35 ms of one core.
const COST = { memory: 19_456, passes: 2, parallelism: 1 } as const
const SALT_BYTES = 16
const TAG_BYTES = 32

export function createPasswords({ system, concurrency = 1, maxWaiting = 32 }: PasswordOptions): Passwords {
  const inTurn = createTurns(concurrency, maxWaiting)
  const dummySalt = system.randomBytes(SALT_BYTES)

  return {
    hash: async (password) => {
      const salt = system.randomBytes(SALT_BYTES)
      const tag = await inTurn(() => derive(password, salt, COST, TAG_BYTES))
      return `$argon2id$v=19$m=${COST.memory},t=${COST.passes},p=${COST.parallelism}$${unpadded(salt)}$${unpadded(tag)}`
    },
    verify: async (password, hash) => {
      const known = hash === undefined ? undefined : parseHash(hash)
      const { salt, tag, cost } = known ?? { salt: dummySalt, tag: Buffer.alloc(TAG_BYTES), cost: COST }
      const derived = await inTurn(() => derive(password, salt, cost, tag.length))
      return timingSafeEqual(derived, tag) && known !== undefined
    },
  }
}

interface Cost {
  readonly memory: number
  readonly passes: number
  readonly parallelism: number
}

function derive(password: string, salt: Buffer, cost: Cost, tagLength: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  // The same password typed on two systems may arrive in two Unicode forms.
  const message = password.normalize('NFC')
  argon2('argon2id', { message, nonce: salt, tagLength, ...cost }, (error, tag) =>
    error ? reject(error) : resolve(tag),
  )
  return promise
}

function parseHash(text: string): { salt: Buffer; tag: Buffer; cost: Cost } {
  const match = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(text)
  if (!match) throw new Error('a stored password hash is not argon2id in PHC form')
  return {
    cost: { memory: Number(match[1]), passes: Number(match[2]), parallelism: Number(match[3]) },
    salt: Buffer.from(match[4] ?? '', 'base64'),
    tag: Buffer.from(match[5] ?? '', 'base64'),
  }
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}

const RETRY_AFTER_SECONDS = 2

/** Lets `concurrency` works run at once and `maxWaiting` wait; refuses the rest. */
function createTurns(concurrency: number, maxWaiting: number) {
  const waiting: (() => void)[] = []
  let running = 0
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= concurrency) {
      if (waiting.length >= maxWaiting) throw new AppError('BUSY', { retryAfterSeconds: RETRY_AFTER_SECONDS })
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else {
      running += 1
    }
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      // The next one takes over this one's place, so `running` stays.
      if (next) next()
      else running -= 1
    }
  }
}
