import { type DueWork, workOff } from '../../lib/due-work.ts'
import { messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { AcmeProblem } from './acme-http.ts'
import type { AcmeServer } from './acme-server.ts'
import type { Obtained } from './certificate-order.ts'
import { covers, readChain, readPair, renewalId } from './certificate-pair.ts'
import { chooseCertificates, planCertificates, type ServedName } from './certificate-plan.ts'
import { emptyRow, NO_ORDER, recordOwn } from './certificate-row.ts'
import type { CertificateRow, OrderStage } from './certificate-schema.ts'
import { createOrderHolds } from './order-holds.ts'
import type { CertificateChange, CertificateStore } from './certificate-store.ts'
import { createPairInspection } from './pair-inspection.ts'
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

const BATCH = 64

/** The body of a worker: makes the certificates that there are those that the hostnames need. */
export function createCertificateWorker(deps: CertificateWorkerDeps) {
  const { database, store, system, files } = deps
  const inspect = createPairInspection(deps)
  const holds = createOrderHolds({ store, system })
  const newOrder = (name: ServedName): CertificateRow => {
    const stage = deps.stagingFirst ? 'staging' : 'production'
    return { ...emptyRow(system, 'acme', name), stage, ...holds.soonest(stage) }
  }

  /** Brings rows in line with the hostnames. */
  const settle = (): void => {
    database.transact(() => {
      const now = system.nowIso()
      const plan = planCertificates(deps.listNames(), store.listAll(), now)
      for (const row of plan.remove) {
        store.remove(row.id)
        recordOwn(deps.recordAudit, 'removeCertificate', row)
      }
      for (const { id, project_id } of plan.assign) store.change(id, { project_id, updated_at: now })
      if (deps.enabled) for (const name of plan.create) store.insert(newOrder(name))
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
    let hasAccount = false
    try {
      const server = await deps.openServer(row.stage)
      hasAccount = true
      // The next one must not wait for a present one that cannot be opened.
      const replaces = row.next_info_at === null ? undefined : await renewalIdOf(row).catch(() => undefined)
      await keep(row, await deps.obtain(server, row, replaces, signal))
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof OrderGone)) fail(row, error, hasAccount)
    }
  }

  const keep = async (row: CertificateRow, obtained: Obtained): Promise<void> => {
    const now = system.nowIso()
    const done = { ...NO_ORDER, updated_at: now } as const
    const { facts, ...pair } = readPair(obtained.chain_pem, obtained.key_pem, system.now())
    if (!covers(facts.hostnames, row.hostname))
      throw new AcmeProblem('refused', 0, `The certificate that came is for ${facts.hostnames.join(', ')}.`)
    if (row.stage === 'staging') {
      // What another server asked for does not hold for the real one.
      store.change(row.id, { ...done, stage: 'production', ...holds.soonest('production') })
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
          recordOwn(deps.recordAudit, row.file_id === null ? 'obtainCertificate' : 'renewCertificate', row)
      }),
    )
  }

  const fail = (row: CertificateRow, error: unknown, hasAccount: boolean): void => {
    const problem = error instanceof AcmeProblem ? error : undefined
    const failures = row.failures + 1
    const now = system.now()
    const last = { last_error: messageOf(error).slice(0, 1000), last_error_at: system.nowIso() }
    const asked = problem?.retry_after_ms
    const why = { outage: problem?.isOutage ?? false, retryAfterMs: asked, jitter: jitter(system) }
    const pause = retryPause(failures, why)
    const lostAccount = problem?.type === 'accountDoesNotExist'
    if (lostAccount) deps.forgetAccount(row.stage)
    const over = lostAccount || problem?.type === 'rejected'
    store.change(row.id, {
      failures,
      ...last,
      next_attempt_at: new Date(now + pause).toISOString(),
      retry_after: asked === undefined ? null : new Date(now + asked).toISOString(),
      step: null,
      challenge: null,
      ...(over && { order_url: null, order_key_sealed: null }),
      updated_at: system.nowIso(),
    })
    const isLimit = asked !== undefined || problem?.type === 'rateLimited'
    if (isLimit && (!hasAccount || problem?.isForAll === true))
      // How often this name has failed is nothing to the others.
      database.transact(() =>
        holds.begin(row.stage, new Date(now + (asked ?? retryPause(1, why))).toISOString(), last),
      )
  }

  /** Throws when the present certificate cannot be opened. */
  const renewalIdOf = async (row: CertificateRow): Promise<string | undefined> => {
    const pair = row.file_id === null ? undefined : await files.read(row.file_id)
    const [leaf] = pair === undefined ? [] : readChain(pair.chain_pem)
    return leaf && renewalId(leaf)
  }

  /** Asks the authority when a certificate is best renewed. */
  const inquire = async (row: CertificateRow): Promise<void> => {
    const again = (ms: number): CertificateChange => ({
      next_info_at: new Date(system.now() + ms).toISOString(),
    })
    try {
      const id = await renewalIdOf(row)
      const info = id === undefined ? undefined : await (await deps.openServer('production')).renewalInfo(id)
      if (info === undefined) store.change(row.id, { next_info_at: null })
      else {
        const at = suggestedTime(info, lifeOf(row), system.now(), jitter(system))
        // One that was tried and did not work, or that somebody asked for meanwhile, keeps its time.
        const isPlanned = row.failures === 0 && store.find(row.id)?.next_attempt_at === row.next_attempt_at
        store.change(row.id, {
          ...again(infoPause(info)),
          ...(isPlanned && { next_attempt_at: new Date(at).toISOString() }),
        })
      }
    } catch {
      // The date of the certificate itself is kept as the time of its renewal.
      store.change(row.id, again(infoPause({ start_ms: 0, end_ms: 0, retry_after_ms: undefined })))
    }
  }

  const listDue = (signal: AbortSignal): DueWork[] => {
    const now = system.nowIso()
    return [
      ...store.listDue(now, BATCH).map((row) => workOn(row, () => attempt(row, signal))),
      ...store.listInfoDue(now, BATCH).map((row) => workOn(row, () => inquire(row))),
    ]
  }
  /** What was obtained is served at once, and what is wanted meanwhile does not wait for what is under way. */
  const look = async (signal: AbortSignal): Promise<void> => {
    do {
      settle()
      await publish()
    } while (await inspect(signal))
    await deps.pairs.sweep()
  }

  return {
    /** Publishes what there is, obtains what is due and publishes each, and clears away what is left over. */
    run: async (signal: AbortSignal): Promise<void> => {
      await look(signal)
      if (!deps.enabled) return
      await workOff({ system, due: () => listDue(signal), look: () => look(signal) }, signal)
    },
    /** Publishes the choice of this moment; resolves when the ingress serves it. */
    publish,
  }
}

function workOn({ id, project_id: owner }: CertificateRow, act: () => Promise<void>): DueWork {
  return { id, owner, act }
}

function lifeOf(row: CertificateRow): { notBeforeMs: number; notAfterMs: number } {
  return { notBeforeMs: Date.parse(row.not_before ?? ''), notAfterMs: Date.parse(row.not_after ?? '') }
}

function jitter(system: System): number {
  return system.randomBytes(2).readUInt16BE(0) / 0xffff
}
