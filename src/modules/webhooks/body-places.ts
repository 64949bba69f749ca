import { AppError } from '../../lib/errors.ts'

/** Lets bodies in while there is a place for them: nobody knows yet whether their sender has the secret. */
export interface BodyPlaces {
  /** Takes a place for a body of so many bytes (infinite: not known); the result gives it back, once. Throws BUSY. */
  take(webhookId: string, bytes: number): () => void
}

/** Both kinds of all webhooks have at most 48 MiB at a time. One webhook whose places are all taken leaves some to the others. */
const SMALL = { bytes: 256 * 1024, places: 64, of_one: 16 } as const
const LARGE = { places: 4, of_one: 2 } as const
const RETRY_AFTER_SECONDS = 10

/** Counts the bodies that are on their way. */
export function createBodyPlaces(): BodyPlaces {
  const small = countOf(SMALL)
  const large = countOf(LARGE)
  return { take: (webhookId, bytes) => (bytes <= SMALL.bytes ? small : large)(webhookId) }
}

function countOf(limits: { places: number; of_one: number }): (webhookId: string) => () => void {
  const taken = new Map<string, number>()
  let all = 0
  return (webhookId) => {
    const ofOne = taken.get(webhookId) ?? 0
    if (all >= limits.places || ofOne >= limits.of_one)
      throw new AppError('BUSY', { retryAfterSeconds: RETRY_AFTER_SECONDS })
    all += 1
    taken.set(webhookId, ofOne + 1)
    let isTaken = true
    return () => {
      if (!isTaken) return
      isTaken = false
      all -= 1
      const left = (taken.get(webhookId) ?? 1) - 1
      if (left === 0) taken.delete(webhookId)
      else taken.set(webhookId, left)
    }
  }
}
