import { request } from 'node:http'
import { connect } from 'node:net'
import { messageOf } from '../../lib/errors.ts'
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

/** A probe that takes longer than this has failed. */
const PROBE_TIMEOUT_MS = 5_000

/** Asks a replica once whether it is well: HTTP when the check names a path, a TCP connection otherwise. Never throws. */
export function probe(target: ProbeTarget, check: HealthCheck, signal: AbortSignal): Promise<ProbeResult> {
  return check.path === null ? probeTcp(target, signal) : probeHttp(target, check.path, check, signal)
}

function probeHttp(
  target: ProbeTarget,
  path: string,
  check: HealthCheck,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const what = `GET ${path}`
  return new Promise((resolve) => {
    const sent = request({
      host: target.address,
      port: target.port,
      path,
      method: 'GET',
      agent: false,
      timeout: PROBE_TIMEOUT_MS,
      signal,
      headers: { host: target.hostname, 'user-agent': 'berth-health-check', accept: '*/*' },
    })
    sent.once('response', (response) => {
      const status = response.statusCode ?? 0
      // The status is all that counts; a body without end must not hold us.
      sent.destroy()
      resolve({ ok: isAccepted(status, check.statuses), seen: `${what}: ${status}` })
    })
    sent.once('timeout', () => sent.destroy(new Error(`no answer within ${PROBE_TIMEOUT_MS / 1000} s`)))
    sent.on('error', (error) => resolve({ ok: false, seen: `${what}: ${messageOf(error)}` }))
    sent.end()
  })
}

function probeTcp(target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  const what = `TCP port ${target.port}`
  return new Promise((resolve) => {
    const socket = connect({ host: target.address, port: target.port, signal })
    socket.setTimeout(PROBE_TIMEOUT_MS, () =>
      socket.destroy(new Error(`no answer within ${PROBE_TIMEOUT_MS / 1000} s`)),
    )
    socket.once('connect', () => {
      socket.destroy()
      resolve({ ok: true, seen: `${what}: open` })
    })
    socket.on('error', (error) => resolve({ ok: false, seen: `${what}: ${messageOf(error)}` }))
  })
}

/** Whether a status is in a list of codes and ranges such as `200-399,404`. */
export function isAccepted(status: number, accepted: string): boolean {
  return accepted.split(',').some((part) => {
    const [from, to = from] = part.trim().split('-').map(Number)
    return from !== undefined && to !== undefined && status >= from && status <= to
  })
}
