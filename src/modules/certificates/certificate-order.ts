import type { Authorization, Order } from 'acme-client'
import { generateKeyPair } from 'node:crypto'
import { promisify } from 'node:util'
import type { System } from '../../lib/system.ts'
import type { DnsHook } from '../domains/dns-hook.ts'
import { isWildcard } from '../domains/domain-schema.ts'
import { AcmeProblem, shorten } from './acme-http.ts'
import type { AcmeServer, MakeRequest } from './acme-server.ts'
import type { CertificateRow } from './certificate-schema.ts'
import type { CertificateChange } from './certificate-store.ts'

export interface OrderDeps {
  system: System
  makeRequest: MakeRequest
  seal: (values: Record<string, string>) => Promise<string>
  open: (sealed: string) => Promise<Record<string, string>>
  /** Records how far an order is; throws OrderGone when nobody wants the certificate any more. */
  record: (id: string, change: CertificateChange) => void
  /** Resolves when the ingress answers the proofs that the rows hold. */
  publishChallenges: () => Promise<void>
  hook: DnsHook | undefined
  /** Resolves when DNS shows a record that the hook made, or when it does not for long. */
  waitForRecord: (name: string, value: string, signal: AbortSignal) => Promise<unknown>
  /** `project/service`, which the hook is told. */
  labelOf: (hostname: string) => string
}

/** A certificate that was obtained. */
export interface Obtained {
  chain_pem: string
  key_pem: string
}

const makeKeyPair = promisify(generateKeyPair)
/** How often the authority is asked whether it has come further. */
const POLL_MS = 500
const SLOW_POLL_MS = 3000
/** An order that takes longer is tried again later; the authority keeps how far it came. */
const LIMIT_MS = 3 * 60_000
/** What the record of a wildcard may take beside that: a minute for the hook, and two until DNS shows it. */
const RECORD_MS = 3 * 60_000

/**
 * Takes an order from wherever it is to a certificate. Where it is stands at the authority: after a crash the recorded order is looked
 * at, and what is missing is done. Throws AcmeProblem.
 */
export function createOrderRun(deps: OrderDeps) {
  const { system, record } = deps

  const begin = async (server: AcmeServer, row: CertificateRow, replaces: string | undefined) => {
    record(row.id, { step: 'order' })
    const key = await makeKeyPair('ec', {
      namedCurve: 'P-256',
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    })
    const order = await placeOrder(server, row.hostname, replaces)
    record(row.id, {
      order_url: order.url,
      order_key_sealed: await deps.seal({ key: key.privateKey }),
      step: 'authorize',
    })
    return { order, keyPem: key.privateKey }
  }
  const resume = async (server: AcmeServer, row: CertificateRow) => {
    if (row.order_url === null || row.order_key_sealed === null) return undefined
    try {
      const { key: keyPem = '' } = await deps.open(row.order_key_sealed)
      const order = await server.getOrder(row.order_url)
      // One that was refused is not opened again; another one may succeed.
      return order.status === 'invalid' ? undefined : { order, keyPem }
    } catch (error) {
      // The authority forgets orders; it must not be for an outage that we do.
      if (error instanceof AcmeProblem && !error.isOutage) return undefined
      throw error
    }
  }

  return async (
    server: AcmeServer,
    row: CertificateRow,
    replaces: string | undefined,
    signal: AbortSignal,
  ): Promise<Obtained> => {
    const { order: first, keyPem } = (await resume(server, row)) ?? (await begin(server, row, replaces))
    const until = system.monotonic() + LIMIT_MS + (isWildcard(row.hostname) ? RECORD_MS : 0)
    let order = first
    for (let round = 0; ; round += 1) {
      signal.throwIfAborted()
      if (order.status === 'valid') break
      if (order.status === 'invalid') throw await rejection(server, order)
      if (system.monotonic() > until)
        throw new AcmeProblem('slow', 0, `The order is still ${order.status} after some minutes.`)
      if (order.status === 'pending') await authorize(deps, server, row, order, until, signal)
      else if (order.status === 'ready') {
        record(row.id, { step: 'finalize' })
        order = await server.finalize(order, await deps.makeRequest(row.hostname, keyPem))
        if (order.status === 'valid') break
      }
      await system.sleep(round < 10 ? POLL_MS : SLOW_POLL_MS, signal)
      order = await server.getOrder(order.url)
    }
    record(row.id, { step: 'download' })
    return { chain_pem: await server.download(order), key_pem: keyPem }
  }
}

async function authorize(
  deps: OrderDeps,
  server: AcmeServer,
  row: CertificateRow,
  order: Order,
  until: number,
  signal: AbortSignal,
): Promise<void> {
  deps.record(row.id, { step: 'authorize' })
  for (const authorization of await server.authorizations(order)) {
    if (authorization.status !== 'pending') continue
    const type = isWildcard(row.hostname) ? 'dns-01' : 'http-01'
    const challenge = authorization.challenges.find((each) => each.type === type)
    if (!challenge)
      throw new AcmeProblem(
        'refused',
        0,
        `The certificate authority offers no ${type} check for ${row.hostname}.`,
      )
    const proof = await server.proofOf(challenge)
    const withdraw = await present(deps, row, challenge.token, proof, signal)
    try {
      if (challenge.status === 'pending') await server.answer(challenge)
      await untilChecked(deps.system, server, order, authorization, until, signal)
    } finally {
      await withdraw()
    }
  }
}

/** Puts a proof in place; the result takes it away again. */
async function present(
  deps: OrderDeps,
  row: CertificateRow,
  token: string,
  proof: string,
  signal: AbortSignal,
): Promise<() => Promise<void>> {
  if (!isWildcard(row.hostname)) {
    deps.record(row.id, { challenge: { token, body: proof } })
    await deps.publishChallenges()
    return async () => {
      deps.record(row.id, { challenge: null })
      await deps.publishChallenges()
    }
  }
  const { hook } = deps
  if (!hook)
    throw new AcmeProblem(
      'refused',
      0,
      'A certificate for a wildcard needs DNS records that Berth sets itself: configure dns_hook, or upload a certificate.',
    )
  const entry = {
    name: `_acme-challenge.${row.hostname.slice(2)}`,
    value: proof,
    service: deps.labelOf(row.hostname),
  }
  // A record that stays proves nothing later: each order has its own value.
  const withdraw = (): Promise<void> => hook.run('cleanup', entry, signal).catch(() => {})
  try {
    await hook.run('present', entry, signal)
    // The authority looks once. If we do not see the record it may nevertheless: our servers may remember that there was none.
    await deps.waitForRecord(entry.name, entry.value, signal)
  } catch (error) {
    // Half done, it may have made the record.
    await withdraw()
    throw error
  }
  return withdraw
}

async function untilChecked(
  system: System,
  server: AcmeServer,
  order: Order,
  { identifier }: Authorization,
  until: number,
  signal: AbortSignal,
): Promise<void> {
  for (let round = 0; ; round += 1) {
    await system.sleep(round < 10 ? POLL_MS : SLOW_POLL_MS, signal)
    const all = await server.authorizations(order)
    const mine = all.find((each) => each.identifier.value === identifier.value)
    if (mine?.status === 'valid') return
    if (mine?.status !== 'pending') throw await rejection(server, order)
    if (system.monotonic() > until) throw new AcmeProblem('slow', 0, 'The check takes too long.')
  }
}

/** Why the authority refused, in its own words. */
async function rejection(server: AcmeServer, order: Order): Promise<AcmeProblem> {
  const reasons = (await server.authorizations(order))
    .flatMap((each) => each.challenges)
    .flatMap((each) => {
      const { error } = each as { error?: { detail?: unknown } }
      return typeof error?.detail === 'string' ? [error.detail] : []
    })
  const said = reasons.length > 0 ? reasons.join(' ') : 'It gave no reason.'
  return new AcmeProblem('rejected', 0, shorten(`The certificate authority refused the order: ${said}`))
}

/**
 * An authority that refuses to have a certificate replaced, because it has been already or is of another authority, gets an order that replaces
 * nothing (RFC 9773, section 5): that must not stand between a name and its next certificate.
 */
async function placeOrder(
  server: AcmeServer,
  hostname: string,
  replaces: string | undefined,
): Promise<Order> {
  try {
    return await server.newOrder(hostname, replaces)
  } catch (error) {
    const refused = error instanceof AcmeProblem && error.status >= 400 && error.status < 500
    if (replaces === undefined || !refused || error.type === 'rateLimited') throw error
    return server.newOrder(hostname, undefined)
  }
}
