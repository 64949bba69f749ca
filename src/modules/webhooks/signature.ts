import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { hashInTurns } from '../../lib/hash-in-turns.ts'
import type { System } from '../../lib/system.ts'
import type { Provider } from './webhook-schema.ts'

/** Header fields by lower-case name. */
export type Fields = Readonly<Record<string, string | string[] | undefined>>

/** Who sent something, and how that is known. */
export interface Sender {
  provider: Provider
  event: string
  /** What the forge calls this delivery, also when it sends it again; undefined when it does not say. */
  delivery: string | undefined
}

const TOLERANCE_SECONDS = 300

/** Who a request claims to be from. Forgejo and Gitea send the fields of GitHub too, so theirs are looked for first. */
export function readSender(fields: Fields): Sender | undefined {
  const field = (name: string): string | undefined => {
    const value = fields[name]
    return typeof value === 'string' && value !== '' && value.length <= 200 ? value : undefined
  }
  for (const name of ['x-forgejo', 'x-gitea']) {
    const event = field(`${name}-event`)
    if (event !== undefined) return { provider: 'gitea', event, delivery: field(`${name}-delivery`) }
  }
  const hook = field('x-gitlab-event')
  if (hook !== undefined)
    return {
      provider: 'gitlab',
      event: hook,
      delivery: field('webhook-id') ?? field('idempotency-key') ?? field('x-gitlab-event-uuid'),
    }
  const event = field('x-github-event')
  return event === undefined ? undefined : { provider: 'github', event, delivery: field('x-github-delivery') }
}

/** Whether whoever sent this body knows the secret. Takes the same time whatever is wrong, and gives the event loop its turns. */
export async function isSigned(
  system: System,
  provider: Provider,
  fields: Fields,
  body: Buffer,
  secret: string,
): Promise<boolean> {
  const field = (name: string): string => {
    const value = fields[name]
    return typeof value === 'string' ? value : ''
  }
  if (provider === 'gitlab') {
    const signature = field('webhook-signature')
    if (signature === '') return isSame(field('x-gitlab-token'), secret)
    return isStandard(system, field('webhook-id'), field('webhook-timestamp'), signature, body, secret)
  }
  const digest = (await hashInTurns(system, createHmac('sha256', secret), body)).digest('hex')
  if (provider === 'github') return isSame(field('x-hub-signature-256'), `sha256=${digest}`)
  // A wrong signature of Forgejo is not made good by another field.
  return isSame(field('x-forgejo-signature') || field('x-gitea-signature'), digest)
}

/** The scheme of Standard Webhooks (standardwebhooks.com, "Signature scheme"), which GitLab uses when a signing token is set. */
async function isStandard(
  system: System,
  id: string,
  timestamp: string,
  signatures: string,
  body: Buffer,
  secret: string,
): Promise<boolean> {
  const key = secret.startsWith('whsec_')
    ? Buffer.from(secret.slice('whsec_'.length), 'base64')
    : Buffer.from(secret)
  const nowMs = system.now()
  const hmac = createHmac('sha256', key).update(`${id}.${timestamp}.`)
  const digest = (await hashInTurns(system, hmac, body)).digest('base64')
  const age = Math.abs(nowMs / 1000 - Number(timestamp))
  const isFresh = /^\d{1,12}$/.test(timestamp) && age <= TOLERANCE_SECONDS
  const fits = signatures
    .split(' ')
    .slice(0, 10)
    .map((each) => isSame(each, `v1,${digest}`))
  return isFresh && fits.includes(true)
}

/** Compares digests of the texts, so that neither their length nor where they differ shows in the time. */
function isSame(given: string, expected: string): boolean {
  const [one, other] = [given, expected].map((text) => createHash('sha256').update(text).digest())
  return timingSafeEqual(one ?? Buffer.alloc(32), other ?? Buffer.alloc(32).fill(1))
}
