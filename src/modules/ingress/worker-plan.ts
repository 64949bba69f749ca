import type { IngressWorkerStatus } from '../../ingress/contract/control-protocol.ts'

/** What is known of one worker. */
export interface ObservedWorker {
  pid: number
  retiring: boolean
  status: Pick<IngressWorkerStatus, 'fingerprint' | 'listening' | 'draining' | 'uptime_seconds'>
}

export interface WorkerPlan {
  start: number
  /** Pids. */
  retire: number[]
}

/**
 * What is to be done so that `wanted` workers with this fingerprint serve. Workers of another kind leave only when enough of the
 * right kind listen: the port is never without a listener.
 */
export function planWorkers(
  wanted: number,
  fingerprint: string,
  observed: readonly ObservedWorker[],
): WorkerPlan {
  const staying = observed.filter(({ retiring, status }) => !retiring && !status.draining)
  const right = staying.filter(({ status }) => status.fingerprint === fingerprint)
  const listening = right.filter(({ status }) => status.listening)
  if (listening.length < wanted) return { start: Math.max(0, wanted - right.length), retire: [] }
  const outdated = staying.filter(({ status }) => status.fingerprint !== fingerprint)
  const youngestFirst = listening.toSorted((a, b) => a.status.uptime_seconds - b.status.uptime_seconds)
  const surplus = youngestFirst.slice(0, listening.length - wanted)
  return { start: 0, retire: [...outdated, ...surplus].map(({ pid }) => pid) }
}
