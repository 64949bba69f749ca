import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { type DeploymentEntry, DeploymentLog } from './deployment-log.ts'
import { type FollowEvent, followLog } from './log-follow.ts'
import { type LineBatch, type LogPage, PAGE_CHARACTERS } from './log-line.ts'
import { readBatchAfter, withFileSource } from './record-search.ts'

export interface DeploymentLogsDeps {
  dataDir: string
  system: System
  /** The state of a deployment and whether it is over; undefined when there is no such deployment. */
  stateOf: (deploymentId: string) => { status: string; is_over: boolean } | undefined
  /** Told of what could not be written; the log goes on. */
  onError: (error: unknown) => void
  /** Most bytes of output of one deployment; 16 MiB when left out. */
  maxBytes?: number
}

export type DeploymentLogs = ReturnType<typeof createDeploymentLogs>

const MAX_BYTES = 16 * 1024 ** 2
/** Kept this long, in case the deployment itself is. */
const MAX_AGE_MS = 90 * 86_400_000
const FILE_NAME = /^([0-9a-zA-Z-]{1,64})\.jsonl$/

/** The logs of deployments: `<data_dir>/logs/deployments/<deployment_id>.jsonl`. */
export function createDeploymentLogs(deps: DeploymentLogsDeps) {
  const { system } = deps
  const directory = join(deps.dataDir, 'logs', 'deployments')
  const open = new Map<string, DeploymentLog>()
  const pathOf = (id: string): string => join(directory, `${id}.jsonl`)

  const logOf = (id: string): DeploymentLog => {
    if (!FILE_NAME.test(`${id}.jsonl`)) throw new Error(`not the id of a deployment: ${id}`)
    let log = open.get(id)
    if (!log) {
      log = new DeploymentLog({
        path: pathOf(id),
        system,
        maxBytes: deps.maxBytes ?? MAX_BYTES,
        onError: deps.onError,
      })
      open.set(id, log)
    }
    return log
  }
  const readAfter = async (id: string, after: number, maxLines?: number): Promise<LineBatch | undefined> => {
    try {
      const { size } = await stat(pathOf(id))
      return await withFileSource(pathOf(id), size, (source) => readBatchAfter(source, after, maxLines))
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  const close = async (id: string, state: string | null): Promise<void> => {
    const log = open.get(id)
    await log?.close(state, () => open.delete(id))
  }

  return {
    /** Adds to the log of a deployment; in order, never throws, never waits. */
    append: (id: string, entry: DeploymentEntry): void => logOf(id).append(entry),

    /** Values that are replaced in every line from now on; to be set again after a restart. */
    setMasks: (id: string, values: readonly string[]): void => logOf(id).setMasks(values),

    /** Further values that are replaced from now on. */
    addMasks: (id: string, values: readonly string[]): void => logOf(id).addMasks(values),

    /** Resolves when what was appended would survive a crash of the daemon. */
    flush: async (id: string): Promise<void> => open.get(id)?.flush(),

    /** The lines behind `after`, oldest first. */
    async read(id: string, { after, limit }: { after: number; limit: number }): Promise<LogPage> {
      await open.get(id)?.flush()
      const lines: string[] = []
      let characters = 0
      for (let at = after; ;) {
        const batch = await readAfter(id, at, limit + 1 - lines.length)
        if (!batch) return { lines, more: false }
        for (const line of batch.lines) {
          if (lines.length === limit || characters > PAGE_CHARACTERS) return { lines, more: true }
          lines.push(line)
          characters += line.length
        }
        at = batch.last
      }
    },

    /** All lines behind `after`, then those that come, then how it ended. None is ever left out. */
    async *follow(
      id: string,
      { after }: { after: number },
      signal: AbortSignal,
    ): AsyncGenerator<FollowEvent, void, undefined> {
      const state = deps.stateOf(id)
      if (state?.is_over !== false) {
        // Its last lines came before it was over.
        await open.get(id)?.flush()
        yield* readToEnd((at) => readAfter(id, at), after, state?.status ?? null, signal)
        return
      }
      const source = { tail: await logOf(id).open(), readAfter: (at: number) => readAfter(id, at) }
      yield* followLog(source, { after, skipWhenBehind: false, tellGone: false }, signal)
    },

    /** Ends the log of a deployment that is over; to be called once nothing more is appended. */
    close,

    /** Removes the log of a deployment. */
    async remove(id: string): Promise<void> {
      await close(id, null)
      await rm(pathOf(id), { force: true })
    },

    /** Removes the logs of deployments that are gone, and those that are very old. */
    async sweep(signal: AbortSignal): Promise<void> {
      for (const name of await readdir(directory).catch(() => [])) {
        const id = FILE_NAME.exec(name)?.[1]
        if (signal.aborted) return
        if (id === undefined) continue
        const state = deps.stateOf(id)
        // Opened again by a line that came late.
        if (state?.is_over === true) await close(id, state.status)
        if (open.has(id)) continue
        const isOld = state?.is_over === true && (await ageOf(join(directory, name), system)) > MAX_AGE_MS
        if (!state || isOld) await rm(join(directory, name), { force: true })
      }
    },

    /** Writes what is left and closes all files, at the end of the daemon; to those who follow nothing has ended. */
    async closeAll(): Promise<void> {
      await Promise.all(
        [...open.keys()].map(async (id) => open.get(id)?.close(undefined, () => open.delete(id))),
      )
    },
  }
}

async function* readToEnd(
  readAfter: (after: number) => Promise<LineBatch | undefined>,
  after: number,
  state: string | null,
  signal: AbortSignal,
): AsyncGenerator<FollowEvent, void, undefined> {
  for (let at = after; !signal.aborted;) {
    const batch = await readAfter(at)
    if (!batch) {
      yield { type: 'end', state }
      return
    }
    yield { type: 'lines', batch }
    at = batch.last
  }
}

async function ageOf(path: string, system: System): Promise<number> {
  try {
    return system.now() - (await stat(path)).mtimeMs
  } catch {
    return 0
  }
}
