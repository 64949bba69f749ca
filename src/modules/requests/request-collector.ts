import type { AccessEntry, LostEntries } from '../../ingress/contract/control-protocol.ts'
import { untilAborted } from '../../lib/abortable.ts'
import type { System } from '../../lib/system.ts'

/** One line of a service's log of requests, as a line of output of the release that answered. */
export interface RequestLog {
  append(
    origin: { deployment_id: string; replica: number },
    line: { ts: string; stream: 'stdout'; line: string },
  ): Promise<void> | undefined
  /** Resolves when all of it is in the file. */
  flush(): Promise<void>
}

export interface RequestCollectorDeps {
  system: System
  /** Takes what the ingress workers have noted since the last time. */
  collect: () => Promise<{ entries: AccessEntry[]; lost: LostEntries[] }>
  serviceExists: (serviceId: string) => boolean
  /** Undefined for a service that was removed. */
  openLog: (serviceId: string) => Promise<RequestLog | undefined>
  /** Told how many entries of a service were dropped, because there were too many. */
  onLost: (serviceId: string, requests: number) => void
}

/** The body of a worker: brings the entries of the ingress into the logs of the services. At the end of the daemon it waits for no disk: the logs have the lines, and write them as they close. */
export function createRequestCollector(deps: RequestCollectorDeps) {
  return async (signal: AbortSignal): Promise<void> => {
    const { entries, lost } = await deps.collect()
    for (const { service_id, requests } of lost) deps.onLost(service_id, requests)
    for (const [serviceId, some] of Map.groupBy(entries, (entry) => entry.service_id)) {
      if (!deps.serviceExists(serviceId)) continue
      const log = await deps.openLog(serviceId)
      // Several workers were asked one after the other.
      for (const entry of some.toSorted((one, other) => one.ts - other.ts))
        await untilAborted(log?.append(...toLine(entry)), signal)
      await untilAborted(log?.flush(), signal)
    }
  }
}

function toLine(entry: AccessEntry): Parameters<RequestLog['append']> {
  const { service_id: _, ts, deployment_id: deployment, ...rest } = entry
  return [
    { deployment_id: deployment ?? '', replica: 0 },
    { ts: new Date(ts).toISOString(), stream: 'stdout', line: JSON.stringify(rest) },
  ]
}
