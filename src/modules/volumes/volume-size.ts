import { execFile } from 'node:child_process'
import { orAborted } from '../../lib/abortable.ts'
import { createSlots } from '../../lib/slots.ts'
import type { System } from '../../lib/system.ts'

/** A walk through millions of files must not go on for ever, nor begin again with every look. */
const WALK_MS = 10_000
const FRESH_MS = 60_000
const MAX_KNOWN = 1000
/** How long an answer waits for its sizes. Walks that have begun go on, for the next one. */
const PATIENCE_MS = 10_000
/** Each walk is a process that reads the disk. */
const WALKS = {
  slots: 3,
  waiting: 1000,
  waitMs: PATIENCE_MS,
  ofOne: { slots: 2, waiting: 200 },
}

export interface VolumeSizes {
  /** Bytes on the disk below each directory; null when that cannot be told in time. `owner`: on whose behalf. */
  measure(directories: readonly (string | null)[], owner: string): Promise<(number | null)[]>
}

/** Measures in processes of their own, few at a time, and remembers for a minute. Whoever asks for one that is being measured shares that. */
export function createVolumeSizes(system: System, walk = runDu): VolumeSizes {
  const slots = createSlots(system, WALKS)
  const known = new Map<string, { bytes: number | null; at: number }>()
  const underWay = new Map<string, Promise<number | null>>()

  const remember = (directory: string, bytes: number | null): void => {
    known.delete(directory)
    known.set(directory, { bytes, at: system.monotonic() })
    for (const oldest of known.keys()) {
      if (known.size <= MAX_KNOWN) break
      known.delete(oldest)
    }
  }
  const begin = async (directory: string, owner: string, signal: AbortSignal): Promise<number | null> => {
    try {
      const leave = await slots.acquire(signal, owner)
      try {
        const bytes = await walk(directory)
        remember(directory, bytes)
        return bytes
      } finally {
        leave()
      }
    } catch {
      // Its turn did not come in time.
      return null
    } finally {
      underWay.delete(directory)
    }
  }
  const measureOne = async (
    directory: string | null,
    owner: string,
    signal: AbortSignal,
  ): Promise<number | null> => {
    if (directory === null) return null
    const found = known.get(directory)
    if (found && system.monotonic() - found.at < FRESH_MS) return found.bytes
    const shared = underWay.get(directory) ?? begin(directory, owner, signal)
    underWay.set(directory, shared)
    return orAborted(shared, signal).catch(() => null)
  }

  return {
    measure: async (directories, owner) => {
      const late = new AbortController()
      const cancelTimer = system.later(PATIENCE_MS, () => late.abort(new Error('a size took too long')))
      try {
        return await Promise.all(directories.map((each) => measureOne(each, owner, late.signal)))
      } finally {
        cancelTimer()
      }
    },
  }
}

function runDu(directory: string): Promise<number | null> {
  return new Promise((resolve) => {
    execFile(
      'du',
      ['--summarize', '--block-size=1', '--one-file-system', '--', directory],
      {
        timeout: WALK_MS,
        killSignal: 'SIGKILL',
        cwd: '/',
        maxBuffer: 64 * 1024,
        env: { PATH: '/usr/bin:/bin' },
      },
      // What vanishes under its feet makes it fail after it has told the sum.
      (_error, stdout) => {
        const bytes = /^(\d+)\t/.exec(stdout)?.[1]
        resolve(bytes === undefined ? null : Number(bytes))
      },
    )
  })
}
