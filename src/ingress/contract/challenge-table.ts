/** Proofs that the ingress gives to whoever checks that a hostname leads here. */
export interface ChallengeSet {
  /** Rises by one with every change. */
  version: number
  challenges: Challenge[]
}

export interface Challenge {
  /** `acme`: RFC 8555, section 8.3. `denia`: our own check of a domain. */
  kind: ChallengeKind
  /** Lower case. The proof is given only to requests for this name. */
  hostname: string
  token: string
  /** The answer, as text. */
  body: string
}

export type ChallengeKind = 'acme' | 'denia'

export const NO_CHALLENGES: ChallengeSet = { version: 0, challenges: [] }

const TOKEN = /^[A-Za-z0-9_-]{1,256}$/
const MAX_BODY_LENGTH = 1024

/** Reads a set that came from a file or a socket; undefined when it is not one. */
export function parseChallengeSet(value: unknown): ChallengeSet | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { version, challenges }: Partial<ChallengeSet> = value
  if (!Number.isSafeInteger(version) || (version as number) < 0 || !Array.isArray(challenges))
    return undefined
  return challenges.every(isChallenge) ? { version: version as number, challenges } : undefined
}

function isChallenge(value: unknown): value is Challenge {
  if (typeof value !== 'object' || value === null) return false
  const { kind, hostname, token, body }: Partial<Challenge> = value
  return (
    (kind === 'acme' || kind === 'denia') &&
    typeof hostname === 'string' &&
    typeof token === 'string' &&
    TOKEN.test(token) &&
    typeof body === 'string' &&
    body.length <= MAX_BODY_LENGTH
  )
}
