import { request } from 'node:http'
import { connect } from 'node:net'
import { messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { HealthCheck } from '../services/service-schema.ts'

export interface ProbeTarget {
  address: string
  port: number
  /** Sent as Host, so that an application which checks it answers as it would to a visitor. */
  hostname: string
}

export interface ProbeResult {
  ok: boolean
  /** What was seen, for people: `GET /healthz: 503`. */
  seen: string
}

/** A probe that takes longer than this has failed, however busily it is being answered. */
const PROBE_TIMEOUT_MS = 5_000

/** Asks a replica once whether it is well: HTTP when the check names a path, a TCP connection otherwise. Never throws. */
export async function probe(
  target: ProbeTarget,
  check: Pick<HealthCheck, 'path' | 'statuses'>,
  system: System,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const { path } = check
  const what = path === null ? `TCP port ${target.port}` : `GET ${path}`
  try {
    if (path === null) {
      await connectOnce(target, system, signal)
      return { ok: true, seen: `${what}: open` }
    }
    const status = await requestStatus(target, path, system, signal)
    return { ok: isAccepted(status, check.statuses), seen: `${what}: ${status}` }
  } catch (error) {
    return { ok: false, seen: `${what}: ${messageOf(error)}` }
  }
}

function requestStatus(
  target: ProbeTarget,
  path: string,
  system: System,
  signal: AbortSignal,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({
      host: target.address,
      port: target.port,
      path,
      method: 'GET',
      agent: false,
      signal,
      headers: { host: target.hostname, 'user-agent': 'berth-health-check', accept: '*/*' },
    })
    const cancelTimer = system.later(PROBE_TIMEOUT_MS, () => sent.destroy(tooSlow()))
    const seen = (status: number | undefined): void => {
      // The status is all that counts; a body without end must not hold us.
      sent.destroy()
      resolve(status ?? 0)
    }
    sent.once('response', (response) => seen(response.statusCode))
    sent.once('upgrade', (response) => seen(response.statusCode))
    sent.on('error', reject)
    sent.once('close', () => {
      cancelTimer()
      reject(new Error('closed without an answer'))
    })
    sent.end()
  })
}

function connectOnce(target: ProbeTarget, system: System, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const socket = connect({ host: target.address, port: target.port })
    // Not connect's own option: it leaves its listener on a signal that lives on.
    const abort = (): void => void socket.destroy(signal.reason as Error)
    signal.addEventListener('abort', abort)
    const cancelTimer = system.later(PROBE_TIMEOUT_MS, () => socket.destroy(tooSlow()))
    socket.once('connect', () => {
      resolve()
      socket.destroy()
    })
    socket.on('error', reject)
    socket.once('close', () => {
      cancelTimer()
      signal.removeEventListener('abort', abort)
      reject(new Error('closed'))
    })
  })
}

function tooSlow(): Error {
  return new Error(`no answer within ${PROBE_TIMEOUT_MS / 1000} s`)
}

/** Whether a status is in a list of codes and ranges such as `200-399,404`. */
export function isAccepted(status: number, accepted: string): boolean {
  return accepted.split(',').some((part) => {
    const [from, to = from] = part.trim().split('-').map(Number)
    return from !== undefined && to !== undefined && status >= from && status <= to
  })
}
