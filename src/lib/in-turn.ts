/**
 * Makes of `run` one that never runs twice at once. A call while one is under way waits for one that begins afterwards, and shares it with everyone
 * who asks until then: when it resolves, what the caller did before has been seen.
 */
export function inTurn(run: () => Promise<void>): () => Promise<void> {
  let last: Promise<void> = Promise.resolve()
  let next: Promise<void> | undefined

  const runAfter = async (before: Promise<void>): Promise<void> => {
    await before.catch(() => {})
    next = undefined
    await run()
  }
  return () => {
    if (next === undefined) {
      next = runAfter(last)
      last = next
    }
    return next
  }
}
