import { type ChallengeSet, NO_CHALLENGES } from '../contract/challenge-table.ts'

const PREFIX = '/.well-known/'

/** The proofs that one worker gives: for ACME orders and for claims of domains. */
export class ChallengeIndex {
  version = NO_CHALLENGES.version
  /** By hostname and path. */
  private bodies = new Map<string, string>()

  /** Takes a set that is newer than the present one. */
  replace(set: ChallengeSet): void {
    if (set.version <= this.version) return
    this.bodies = new Map(
      set.challenges.map(({ kind, hostname, token, body }) => [
        keyOf(hostname, `${PREFIX}${kind}-challenge/${token}`),
        body,
      ]),
    )
    this.version = set.version
  }

  /** The answer to a request for `path`, if it asks for a proof that there is. */
  find(hostname: string, path: string): string | undefined {
    if (this.bodies.size === 0 || !path.startsWith(PREFIX)) return undefined
    return this.bodies.get(keyOf(hostname, path))
  }
}

/** Neither a hostname nor a path holds a blank. */
function keyOf(hostname: string, path: string): string {
  return `${hostname} ${path}`
}
