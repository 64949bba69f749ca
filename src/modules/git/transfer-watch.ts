import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { gitFailed } from './git-failure.ts'

export interface TransferWatch {
  /** Aborts with the reason when too much came, or nothing for too long. */
  signal: AbortSignal
  /** Says that something came. */
  note(): void
  stop(): Promise<void>
}

export interface TransferLimits {
  /** The folder in which the packs grow. */
  folder: string
  max_bytes: number
  /** How long nothing at all may come. */
  stall_ms: number
  host: string
}

const LOOK_MS = 200

/** Looks at a transfer while it goes on: git itself has no limit of what it fetches, nor one of time for ssh. */
export function watchTransfer(system: System, limits: TransferLimits): TransferWatch {
  const verdict = new AbortController()
  const over = new AbortController()
  let bytes = 0
  let lastAt = system.monotonic()
  const note = (): void => {
    lastAt = system.monotonic()
  }
  const look = async (): Promise<void> => {
    const now = await sizeOf(limits.folder)
    if (now !== bytes) note()
    bytes = now
    if (bytes > limits.max_bytes) verdict.abort(gitFailed(tooLarge(limits.max_bytes)))
    else if (system.monotonic() - lastAt > limits.stall_ms)
      verdict.abort(
        gitFailed(
          `${limits.host} has sent nothing for ${Math.round(limits.stall_ms / 1000)} s; the fetch was stopped.`,
        ),
      )
  }
  const loop = async (): Promise<void> => {
    while (!over.signal.aborted && !verdict.signal.aborted) {
      await look().catch((error: unknown) => verdict.abort(error))
      await system.sleep(LOOK_MS, over.signal).catch(() => {})
    }
  }
  const ended = loop()
  return {
    signal: verdict.signal,
    note,
    stop: async () => {
      over.abort()
      await ended
    },
  }
}

/** The sentence for a repository that is larger than allowed. */
export function tooLarge(maxBytes: number): string {
  return `The repository is larger than ${maxBytes} bytes as fetched (setting git_max_bytes).`
}

/** Bytes of the files in a folder; 0 when there is none. */
export async function sizeOf(folder: string): Promise<number> {
  let total = 0
  for (const name of await orNothing(readdir(folder), [])) {
    total += (await orNothing<{ size: number }>(stat(join(folder, name)), { size: 0 })).size
  }
  return total
}

/** Files come and go while git works. */
async function orNothing<T>(found: Promise<T>, nothing: T): Promise<T> {
  try {
    return await found
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return nothing
    throw error
  }
}
