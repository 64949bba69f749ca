import type { Authorization, Order } from 'acme-client'
import type { System } from '../../lib/system.ts'
import { AcmeProblem, readRetryAfter, sendAcme } from './acme-http.ts'

/** The part of RFC 8555 and RFC 9773 that Berth speaks, with one account at one directory. */
export interface AcmeServer {
  /** Makes the account, or finds the one of this key; answers its URL. */
  ensureAccount(): Promise<string>
  newOrder(hostname: string, replaces: string | undefined): Promise<Order>
  getOrder(url: string): Promise<Order>
  authorizations(order: Order): Promise<Authorization[]>
  /** What proves a challenge: the body of HTTP-01, or the value of the record of DNS-01. */
  proofOf(challenge: Authorization['challenges'][number]): Promise<string>
  /** Tells the server that the proof is in place. */
  answer(challenge: Authorization['challenges'][number]): Promise<void>
  finalize(order: Order, csr: Buffer): Promise<Order>
  download(order: Order): Promise<string>
  revoke(certificatePem: string, reason: number): Promise<void>
  /** When a certificate is best renewed; undefined when the server does not say. */
  renewalInfo(id: string): Promise<RenewalInfo | undefined>
}

export interface RenewalInfo {
  start_ms: number
  end_ms: number
  /** When to ask again. */
  retry_after_ms: number | undefined
}

export interface AcmeAccount {
  directory_url: string
  key_pem: string
  account_url: string | undefined
  email: string
  external_binding: { kid: string; hmacKey: string } | undefined
}

/** A certificate request for one name, signed with its key. */
export type MakeRequest = (hostname: string, keyPem: string) => Promise<Buffer>

/** Loaded when the first certificate is wanted: it brings 10 MiB of code along. */
async function loadClient(ca: string | undefined, system: System) {
  const { default: acme } = await import('acme-client')
  // Our own transport: a time limit, our trusted certificates, and what the server said when it refuses; no retries behind our back.
  acme.axios.defaults.adapter = async (config) => {
    const answer = await sendAcme(
      {
        url: String(config.url),
        method: String(config.method),
        body: typeof config.data === 'string' ? config.data : undefined,
        headers: { 'content-type': 'application/jose+json' },
      },
      ca,
      system.now,
    )
    return {
      status: answer.status,
      statusText: '',
      headers: answer.headers as Record<string, string>,
      config,
      data: answer.text,
    }
  }
  return acme
}

/** Speaks to the server of an account. */
export async function openAcmeServer(
  account: AcmeAccount,
  ca: string | undefined,
  system: System,
): Promise<AcmeServer> {
  const acme = await loadClient(ca, system)
  const client = new acme.Client({
    directoryUrl: account.directory_url,
    accountKey: account.key_pem,
    ...(account.account_url !== undefined && { accountUrl: account.account_url }),
    ...(account.external_binding && { externalAccountBinding: account.external_binding }),
  })
  return {
    ensureAccount: async () => {
      await client.createAccount({ termsOfServiceAgreed: true, contact: [`mailto:${account.email}`] })
      return client.getAccountUrl()
    },
    newOrder: (hostname, replaces) =>
      client.createOrder({
        identifiers: [{ type: 'dns', value: hostname }],
        ...(replaces !== undefined && { replaces }),
      }),
    getOrder: (url) => client.getOrder({ url } as Order),
    authorizations: (order) => client.getAuthorizations(order),
    proofOf: (challenge) => client.getChallengeKeyAuthorization(challenge),
    answer: async (challenge) => void (await client.completeChallenge(challenge)),
    finalize: (order, csr) => client.finalizeOrder(order, csr),
    download: (order) => client.getCertificate(order),
    revoke: (pem, reason) => client.revokeCertificate(pem, { reason }),
    renewalInfo: (id) => askRenewalInfo(account.directory_url, id, ca, system),
  }
}

/** A request for one name in DER (RFC 2986). */
export const makeRequest: MakeRequest = async (hostname, keyPem) => {
  const { default: acme } = await import('acme-client')
  const [, csr] = await acme.crypto.createCsr({ commonName: '', altNames: [hostname] }, keyPem)
  return csr
}

async function askRenewalInfo(
  directoryUrl: string,
  id: string,
  ca: string | undefined,
  system: System,
): Promise<RenewalInfo | undefined> {
  const get = (url: string) => sendAcme({ url, method: 'GET', body: undefined, headers: {} }, ca, system.now)
  const { renewalInfo: base } = JSON.parse((await get(directoryUrl)).text) as { renewalInfo?: unknown }
  if (typeof base !== 'string') return undefined
  const answer = await get(`${base.replace(/\/$/, '')}/${id}`)
  const { suggestedWindow } = JSON.parse(answer.text) as {
    suggestedWindow?: { start?: unknown; end?: unknown }
  }
  const start = Date.parse(String(suggestedWindow?.start))
  const end = Date.parse(String(suggestedWindow?.end))
  if (!Number.isFinite(start) || !Number.isFinite(end) || end < start)
    throw new AcmeProblem('refused', answer.status, 'The renewal information makes no sense.')
  return {
    start_ms: start,
    end_ms: end,
    retry_after_ms: readRetryAfter(answer.headers['retry-after'], system.now()),
  }
}
