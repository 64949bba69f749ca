import { setTimeout as delay } from 'node:timers/promises'

/** Looks again and again until `look` answers something; fails with `what` after the deadline. */
export async function waitFor<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  deadlineMs = 60_000,
): Promise<T> {
  const deadline = Date.now() + deadlineMs
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (Date.now() > deadline) throw new Error(`waited ${deadlineMs} ms in vain for: ${what}`)
    await delay(50)
  }
}
