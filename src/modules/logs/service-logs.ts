import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { System } from '../../lib/system.ts'
import { isCompressed, readSegment, type Segment } from './segment.ts'
import { ServiceLog } from './service-log.ts'

export interface ServiceLogsDeps {
  dataDir: string
  /** Below `<data_dir>/logs`; default `services`. */
  folder?: string
  system: System
  /** Kept of each service, on the disk. */
  maxBytes: number
  /** Told of what could not be written, and of closed segments that could not be compressed. */
  onError: (error: unknown) => void
}

export type ServiceLogs = ReturnType<typeof createServiceLogs>

/** Decompressed segments that are kept for the next reader. */
const CACHED_SEGMENTS = 4
const DIRECTORY_NAME = /^[0-9a-zA-Z-]{1,64}$/

/** Lines of services, such as their output: `<data_dir>/logs/<folder>/<service_id>/`. */
export function createServiceLogs(deps: ServiceLogsDeps) {
  const root = join(deps.dataDir, 'logs', deps.folder ?? 'services')
  const open = new Map<string, Promise<ServiceLog>>()
  const removed = new Set<string>()
  const readClosed = createSegmentCache()
  const inTurn = createTurn()

  const openLog = (serviceId: string): Promise<ServiceLog> => {
    let log = open.get(serviceId)
    if (!log) {
      if (!DIRECTORY_NAME.test(serviceId)) throw new Error(`not the id of a service: ${serviceId}`)
      log = ServiceLog.open({ ...deps, directory: join(root, serviceId), readClosed, inTurn })
      open.set(serviceId, log)
      log.catch(() => open.delete(serviceId))
    }
    return log
  }

  const remove = async (serviceId: string): Promise<void> => {
    removed.add(serviceId)
    await (await openLog(serviceId)).remove()
    open.delete(serviceId)
  }

  return {
    /** The log of a service. Undefined for one that was removed, so that a line that comes late does not bring it back. */
    open: async (serviceId: string): Promise<ServiceLog | undefined> =>
      removed.has(serviceId) ? undefined : openLog(serviceId),

    /** Removes everything of a service that is deleted; it may be repeated. */
    remove,

    /** Removes what is older than an instant, and the logs of services that are gone. */
    async sweep(
      beforeMs: number,
      exists: (serviceId: string) => boolean,
      signal: AbortSignal,
    ): Promise<void> {
      for (const serviceId of await readdir(root).catch(() => [])) {
        if (signal.aborted) return
        if (!DIRECTORY_NAME.test(serviceId)) continue
        if (exists(serviceId)) await (await openLog(serviceId)).expire(beforeMs, signal)
        else await remove(serviceId)
      }
    },

    /** Writes what is left and closes all files, at the end of the daemon. */
    async closeAll(): Promise<void> {
      await Promise.all([...open.values()].map(async (log) => (await log).close()))
      open.clear()
      // A compression that is under way replaces files that the next daemon may have listed.
      await inTurn(async () => {})
    },
  }
}

/** Remembers the last decompressed segments: many readers of one past cost one decompression. */
function createSegmentCache(): (directory: string, segment: Segment) => Promise<Buffer> {
  const cache = new Map<string, Promise<Buffer>>()
  return (directory, segment) => {
    if (!isCompressed(segment)) return readSegment(directory, segment)
    const key = join(directory, segment.name)
    const found = cache.get(key) ?? readSegment(directory, segment)
    // The one that was asked for last goes last.
    cache.delete(key)
    cache.set(key, found)
    found.catch(() => cache.delete(key))
    const [oldest] = cache.keys()
    if (cache.size > CACHED_SEGMENTS && oldest !== undefined) cache.delete(oldest)
    return found
  }
}

/** Runs works one after the other. */
function createTurn(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return async (work) => {
    const result = last.then(work)
    last = result.catch(() => {})
    return result
  }
}
