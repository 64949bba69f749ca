import { execFile } from 'node:child_process'
import { createKeyedTurns } from '../../lib/keyed-turns.ts'
import type { System } from '../../lib/system.ts'

/** A walk through millions of files must not go on for ever, nor begin again with every look. */
const WALK_MS = 10_000
const FRESH_MS = 60_000
const MAX_KNOWN = 1000

export interface VolumeSizes {
  /** Bytes on the disk below a directory; null when that cannot be told in time. */
  measure(directory: string): Promise<number | null>
}

/** Measures in a process of its own, one directory at a time, and remembers for a minute. */
export function createVolumeSizes(system: System, walk = runDu): VolumeSizes {
  const turns = createKeyedTurns()
  const known = new Map<string, { bytes: number | null; at: number }>()
  return {
    measure: (directory) =>
      turns.take('walk', async () => {
        const found = known.get(directory)
        if (found && system.monotonic() - found.at < FRESH_MS) return found.bytes
        const bytes = await walk(directory)
        known.delete(directory)
        known.set(directory, { bytes, at: system.monotonic() })
        for (const oldest of known.keys()) {
          if (known.size <= MAX_KNOWN) break
          known.delete(oldest)
        }
        return bytes
      }),
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
