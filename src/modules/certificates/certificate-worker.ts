import { messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { BERTH_ITSELF } from '../identity/context.ts'
import { AcmeProblem } from './acme-http.ts'
import type { AcmeServer } from './acme-server.ts'
import type { Obtained } from './certificate-order.ts'
import { covers, readChain, readPair, renewalId } from './certificate-pair.ts'
import { chooseCertificates, planCertificates, type ServedName } from './certificate-plan.ts'
import { emptyRow } from './certificate-row.ts'
import type { CertificateRow, OrderStage } from './certificate-schema.ts'
import type { CertificateChange, CertificateStore } from './certificate-store.ts'
import type { PairFiles, PairKeeper } from './pair-keeper.ts'
import { infoPause, renewalTime, retryPause, suggestedTime } from './renewal.ts'

export interface CertificateWorkerDeps {
  database: Database
  store: CertificateStore
  system: System
  recordAudit: RecordAudit
  files: PairFiles
  pairs: PairKeeper
  /** The hostnames that are served at this moment. */
  listNames: () => ServedName[]
  /** Certificates are obtained at all. */
  enabled: boolean
  stagingFirst: boolean
  /** The account's server at a stage; makes the account when there is none. */
  openServer: (stage: OrderStage) => Promise<AcmeServer>
  /** The authority does not know the account any more. */
  forgetAccount: (stage: OrderStage) => void
  obtain: (
    server: AcmeServer,
    row: CertificateRow,
    replaces: string | undefined,
    signal: AbortSignal,
  ) => Promise<Obtained>
  /** Resolves when the ingress serves these; the routes are told which hostnames have one. */
  publish: (entries: PublishedCertificate[]) => Promise<void>
}

/** What the ingress is told of a hostname. */
export interface PublishedCertificate {
  hostname: string
  certificate_id: string
  /** The node made it itself: nobody is sent to TLS by it. */
  self_signed: boolean
}

/** Somebody took the wish for a certificate back while it was being obtained. */
export class OrderGone extends Error {
  constructor() {
    super('The certificate is not wanted any more.')
    this.name = 'OrderGone'
  }
}

/** Orders at once; each waits on the authority for some seconds. */
const CONCURRENCY = 4
const BATCH = 64

/** The body of a worker: makes the certificates that there are those that the hostnames need. */
export function createCertificateWorker(deps: CertificateWorkerDeps) {
  const { database, store, system, files } = deps

  /** Brings rows in line with the hostnames. */
  const settle = (): void => {
    database.transact(() => {
      const now = system.nowIso()
      const plan = planCertificates(deps.listNames(), store.listAll(), now)
      for (const row of plan.remove) {
        store.remove(row.id)
        record(deps.recordAudit, 'removeCertificate', row)
      }
      for (const { id, project_id } of plan.assign) store.change(id, { project_id, updated_at: now })
      if (deps.enabled)
        for (const name of plan.create) store.insert(newOrder(system, name, deps.stagingFirst))
    })
  }

  const publish = async (): Promise<void> => {
    const chosen = chooseCertificates(deps.listNames(), store.listAll(), system.nowIso())
    await deps.publish(
      [...chosen].flatMap(([hostname, { file_id: id, source }]) =>
        id === null ? [] : [{ hostname, certificate_id: id, self_signed: source === 'self_signed' }],
      ),
    )
  }

  const attempt = async (row: CertificateRow, signal: AbortSignal): Promise<void> => {
    try {
      const server = await deps.openServer(row.stage)
      const replaces = row.next_info_at === null ? undefined : await renewalIdOf(row)
      await keep(row, await deps.obtain(server, row, replaces, signal))
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof OrderGone)) fail(row, error)
    }
  }

  const keep = async (row: CertificateRow, obtained: Obtained): Promise<void> => {
    const now = system.nowIso()
    const done = {
      step: null,
      order_url: null,
      order_key_sealed: null,
      challenge: null,
      failures: 0,
      last_error: null,
      last_error_at: null,
      updated_at: now,
    } as const
    const { facts, ...pair } = readPair(obtained.chain_pem, obtained.key_pem, system.now())
    if (!covers(facts.hostnames, row.hostname))
      throw new AcmeProblem('refused', 0, `The certificate that came is for ${facts.hostnames.join(', ')}.`)
    if (row.stage === 'staging') {
      store.change(row.id, { ...done, stage: 'production', next_attempt_at: now })
      return
    }
    const renewMs = renewalTime(Date.parse(facts.not_before), Date.parse(facts.not_after), jitter(system))
    await deps.pairs.keep(pair, (id) =>
      database.transact(() => {
        const kept = store.change(row.id, {
          ...done,
          ...facts,
          file_id: id,
          next_attempt_at: new Date(renewMs).toISOString(),
          next_info_at: now,
        })
        if (kept)
          record(deps.recordAudit, row.file_id === null ? 'obtainCertificate' : 'renewCertificate', row)
      }),
    )
  }

  const fail = (row: CertificateRow, error: unknown): void => {
    const problem = error instanceof AcmeProblem ? error : undefined
    const failures = row.failures + 1
    const pause = retryPause(failures, {
      outage: problem?.isOutage ?? false,
      retryAfterMs: problem?.retry_after_ms,
      jitter: jitter(system),
    })
    const lostAccount = problem?.type === 'accountDoesNotExist'
    if (lostAccount) deps.forgetAccount(row.stage)
    const over = lostAccount || problem?.type === 'rejected'
    store.change(row.id, {
      failures,
      last_error: messageOf(error).slice(0, 1000),
      last_error_at: system.nowIso(),
      next_attempt_at: new Date(system.now() + pause).toISOString(),
      step: null,
      challenge: null,
      ...(over && { order_url: null, order_key_sealed: null }),
      updated_at: system.nowIso(),
    })
  }

  const renewalIdOf = async (row: CertificateRow): Promise<string | undefined> => {
    const pair = row.file_id === null ? undefined : await files.read(row.file_id)
    const [leaf] = pair === undefined ? [] : readChain(pair.chain_pem)
    return leaf && renewalId(leaf)
  }

  /** Asks the authority when a certificate is best renewed. */
  const inquire = async (row: CertificateRow): Promise<void> => {
    const id = await renewalIdOf(row)
    const server = id === undefined ? undefined : await deps.openServer('production')
    const again = (ms: number): CertificateChange => ({
      next_info_at: new Date(system.now() + ms).toISOString(),
    })
    try {
      const info = id === undefined ? undefined : await server?.renewalInfo(id)
      if (info === undefined) store.change(row.id, { next_info_at: null })
      else {
        const suggested = suggestedTime(info, lifeOf(row), system.now(), jitter(system))
        store.change(row.id, {
          ...again(infoPause(info)),
          // An attempt that failed has its pause, however urgent the next one is.
          ...(row.failures === 0 && { next_attempt_at: new Date(suggested).toISOString() }),
        })
      }
    } catch {
      // The date of the certificate itself is kept as the time of its renewal.
      store.change(row.id, again(infoPause({ start_ms: 0, end_ms: 0, retry_after_ms: undefined })))
    }
  }

  const each = async (
    ids: string[],
    signal: AbortSignal,
    act: (row: CertificateRow) => Promise<void>,
  ): Promise<void> => {
    const loop = async (): Promise<void> => {
      for (let id = ids.shift(); id !== undefined && !signal.aborted; id = ids.shift()) {
        const row = store.find(id)
        if (row) await act(row)
      }
    }
    await Promise.all(Array.from({ length: Math.min(CONCURRENCY, ids.length) }, loop))
  }

  return {
    /** Publishes what there is, obtains what is due, publishes each as it comes, and clears away what is left over. */
    run: async (signal: AbortSignal): Promise<void> => {
      settle()
      await publish()
      if (deps.enabled) {
        const now = system.nowIso()
        await each(
          store.listDue(now, BATCH).map(({ id }) => id),
          signal,
          async (row) => {
            await attempt(row, signal)
            // At once: others that are on their way may take minutes.
            await publish()
          },
        )
        await each(
          store.listInfoDue(now, BATCH).map(({ id }) => id),
          signal,
          inquire,
        )
      }
      await deps.pairs.sweep()
    },
    /** Publishes the choice of this moment; resolves when the ingress serves it. */
    publish,
  }
}

function newOrder(system: System, name: ServedName, stagingFirst: boolean): CertificateRow {
  return {
    ...emptyRow(system, 'acme', name),
    stage: stagingFirst ? 'staging' : 'production',
    next_attempt_at: system.nowIso(),
  }
}

function record(recordAudit: RecordAudit, action: string, row: CertificateRow): void {
  recordAudit(BERTH_ITSELF, {
    action,
    resource_kind: 'certificate',
    resource_id: row.id,
    ...(row.project_id !== null && { project_id: row.project_id }),
    details: { hostname: row.hostname },
  })
}

function lifeOf(row: CertificateRow): { notBeforeMs: number; notAfterMs: number } {
  return { notBeforeMs: Date.parse(row.not_before ?? ''), notAfterMs: Date.parse(row.not_after ?? '') }
}

function jitter(system: System): number {
  return system.randomBytes(2).readUInt16BE(0) / 0xffff
}
