/** Lets a bounded number of builds run at once; the others wait in the order in which they came. */
export interface BuildQueue {
  /** Waits for a place; the result gives it back. `onWait` hears how many are ahead, if any. Throws the signal's reason when it aborts. */
  enter(onWait: (ahead: number) => void, signal: AbortSignal): Promise<() => void>
}

/** Deployments wait as long as it takes: unlike requests, nobody holds a connection for them, and each can be cancelled. */
export function createBuildQueue(width: number): BuildQueue {
  let running = 0
  const waiting = new Set<() => void>()

  const leave = (): void => {
    const [next] = waiting
    if (next) next()
    else running -= 1
  }

  const once = (run: () => void): (() => void) => {
    let isDone = false
    return () => {
      if (isDone) return
      isDone = true
      run()
    }
  }

  const wait = (signal: AbortSignal): Promise<() => void> =>
    new Promise((resolve, reject) => {
      const settle = (): void => {
        waiting.delete(proceed)
        signal.removeEventListener('abort', abort)
      }
      const proceed = (): void => {
        settle()
        resolve(once(leave))
      }
      const abort = (): void => {
        settle()
        reject(signal.reason as Error)
      }
      waiting.add(proceed)
      signal.addEventListener('abort', abort, { once: true })
    })

  return {
    enter: async (onWait, signal) => {
      signal.throwIfAborted()
      if (running < width) {
        running += 1
        return once(leave)
      }
      onWait(waiting.size + 1)
      return wait(signal)
    },
  }
}
