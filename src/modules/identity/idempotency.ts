import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'
import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import { createIdempotencyStore, type IdempotencyRow } from './idempotency-store.ts'

/** An answer as it was sent. */
export interface SentAnswer {
  status: number
  /** Only the headers that belong to the answer's meaning. */
  headers: Record<string, string>
  body: string
}

/** One request with an Idempotency-Key. */
export interface KeyedRequest {
  principal: string
  key: string
  /** Method, URL and body: a key stands for one request only. */
  content: string
}

export interface Idempotency {
  /**
   * Begins the request, or gives the answer that it had. Throws IDEMPOTENCY_MISMATCH when the key was used with another request and
   * IDEMPOTENCY_IN_PROGRESS while the first one runs, or when a restart interrupted it so that nobody knows what it did.
   */
  begin(request: KeyedRequest): SentAnswer | undefined
  /** Keeps the answer for 24 hours. */
  complete(request: KeyedRequest, answer: SentAnswer): void
  /** The request did nothing: it may be made again. */
  forget(request: KeyedRequest): void
  /** Drops what is older than 24 hours; answers how many. */
  removeExpired(): number
}

const KEPT_MS = 24 * 3600_000
const MAX_KEYS_PER_PRINCIPAL = 2000

/** Remembers answers by Idempotency-Key; what is stored can be read with the install admin token only. */
export function createIdempotency(deps: {
  database: Database
  system: System
  adminToken: string
}): Idempotency {
  const { database, system } = deps
  const store = createIdempotencyStore(database)
  const derive = (info: string) =>
    Buffer.from(hkdfSync('sha256', deps.adminToken, 'berth idempotency', info, 32))
  const keys = { mac: derive('mac'), seal: derive('seal') }
  const mac = (text: string): Buffer => createHmac('sha256', keys.mac).update(text).digest()
  const running = new Set<string>()

  const idOf = ({ principal, key }: KeyedRequest) => ({
    principal,
    key_hash: mac(`key\0${principal}\0${key}`),
  })
  const nameOf = ({ principal, key }: KeyedRequest): string => `${principal} ${key}`
  const oldest = (): string => new Date(system.now() - KEPT_MS).toISOString()

  const replay = (row: IdempotencyRow, request: KeyedRequest): SentAnswer => {
    if (!row.fingerprint.equals(mac(`request\0${request.content}`)))
      throw new AppError('IDEMPOTENCY_MISMATCH')
    if (row.answer_sealed !== null) {
      const answer = openAnswer(row.answer_sealed, keys.seal)
      if (answer) return answer
    } else if (running.has(nameOf(request))) {
      throw new AppError('IDEMPOTENCY_IN_PROGRESS', { retryAfterSeconds: 1 })
    }
    const message =
      'A request with that Idempotency-Key was interrupted. See whether it took effect, then use a new key.'
    throw new AppError('IDEMPOTENCY_IN_PROGRESS', { message })
  }

  return {
    begin: (request) =>
      database.transact(() => {
        const row = store.find(idOf(request), oldest())
        if (row) return replay(row, request)
        store.trim(request.principal, MAX_KEYS_PER_PRINCIPAL)
        store.put({
          ...idOf(request),
          fingerprint: mac(`request\0${request.content}`),
          status: null,
          answer_sealed: null,
          created_at: system.nowIso(),
        })
        running.add(nameOf(request))
        return undefined
      }),
    complete: (request, answer) => {
      store.complete(
        idOf(request),
        answer.status,
        sealAnswer(answer, keys.seal, system.randomBytes(NONCE_BYTES)),
      )
      running.delete(nameOf(request))
    },
    forget: (request) => {
      store.remove(idOf(request))
      running.delete(nameOf(request))
    },
    removeExpired: () => store.removeBefore(oldest()),
  }
}

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

function sealAnswer(answer: SentAnswer, key: Buffer, nonce: Buffer): Buffer {
  const cipher = createCipheriv(CIPHER, key, nonce)
  const sealed = [cipher.update(JSON.stringify(answer)), cipher.final()]
  return Buffer.concat([nonce, cipher.getAuthTag(), ...sealed])
}

/** Undefined when it was sealed under another install admin token. */
function openAnswer(sealed: Buffer, key: Buffer): SentAnswer | undefined {
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  })
  decipher.setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
  const first = decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES))
  try {
    return JSON.parse(Buffer.concat([first, decipher.final()]).toString()) as SentAnswer
  } catch {
    return undefined
  }
}
