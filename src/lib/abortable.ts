/**
 * Waits for a promise no longer than the signal allows: rejects with the signal's reason as soon as it aborts. What was begun goes on by
 * itself, so it must be something that can be found and done again.
 */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Waits for a promise until the signal aborts, and resolves in either case. What it waited for goes on by itself; what it rejects with meanwhile is thrown. */
export async function untilAborted(
  promise: Promise<unknown> | undefined,
  signal: AbortSignal,
): Promise<void> {
  try {
    if (promise !== undefined) await orAborted(promise, signal)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
