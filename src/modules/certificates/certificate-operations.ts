import { AppError } from '../../lib/errors.ts'
import type { Page, PageRequest } from '../../lib/page.ts'
import { requireUnchanged } from '../../lib/revision.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { Actor } from '../identity/actor.ts'
import { projectNamed, projectsWith, requirePermission, requirePermissionIn } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import type { Permission } from '../identity/permissions.ts'
import { AcmeProblem } from './acme-http.ts'
import type { AcmeServer } from './acme-server.ts'
import { covers } from './certificate-pair.ts'
import { chooseCertificates, type ServedName } from './certificate-plan.ts'
import {
  type CertificateRow,
  certificateStatus,
  type CertificateSummary,
  type CertificateUpload,
  type CertificateView,
  REVOCATION_REASONS,
  type RevocationReason,
  soonestAttempt,
} from './certificate-schema.ts'
import { invalidUpload, readUpload, uploadedRow } from './certificate-upload.ts'
import { type CertificateStore, NO_PAIR } from './certificate-store.ts'
import type { PairFiles, PairKeeper } from './pair-keeper.ts'

export interface CertificateDeps {
  database: Database
  store: CertificateStore
  system: System
  recordAudit: RecordAudit
  files: PairFiles
  pairs: PairKeeper
  projectExists: (id: string) => boolean
  /** Hostnames that are served. */
  listNames: () => ServedName[]
  /** Every name that a project claims, proven or not; of the node itself: the control domain. */
  claimedNames: (projectId: string | null) => string[]
  openServer: () => Promise<AcmeServer>
  enabled: boolean
  /** Makes the self-signed certificates that are needed now; resolves when the ingress serves what the rows say. */
  publish: () => Promise<void>
  /** Called after a commit that made something due. */
  certificatesChanged: () => void
}

export type CertificateOperations = ReturnType<typeof createCertificateOperations>

/** Uploaded certificates that one project may have. */
const MAX_UPLOADS = 200
/** The codes of RFC 5280, section 5.3.1. */
const REASON_CODES: Readonly<Record<RevocationReason, number>> = {
  unspecified: 0,
  key_compromise: 1,
  superseded: 4,
  cessation: 5,
}

const GOES_BY_ITSELF = {
  acme: 'Berth obtained this certificate for a domain. It goes with the domain, or when tls_enabled is false.',
  self_signed:
    'Berth made this certificate for a domain. It goes when the domain has another one, or when its self_signed is false.',
}
const NOT_OURS_TO_REVOKE = {
  upload: 'An uploaded certificate is revoked at whoever issued it; remove it here.',
  self_signed: 'Nobody issued this certificate but Berth. Renew it: that makes another one with another key.',
}

/** The verbs on certificates. */
export function createCertificateOperations(deps: CertificateDeps) {
  const { database, store, system } = deps

  const requireIn = (actor: Actor, permission: Permission, projectId: string | null): void => {
    if (projectId !== null) requirePermission(actor, permission, projectId)
    else if (!actor.is_super_admin) throw new AppError('NOT_FOUND')
  }
  const requireNamed = (actor: Actor, permission: Permission, projectId: string | null): void => {
    if (projectId === null) return requireIn(actor, permission, projectId)
    const found = deps.projectExists(projectId) ? projectId : undefined
    requirePermissionIn(actor, permission, found, projectNamed(projectId))
  }
  const requireCertificate = (actor: Actor, permission: Permission, id: string): CertificateRow => {
    const row = store.find(id)
    if (!row) throw new AppError('NOT_FOUND')
    requireIn(actor, permission, row.project_id)
    return row
  }
  const chosen = (): Map<string, string[]> => {
    const serves = new Map<string, string[]>()
    for (const [hostname, { id }] of chooseCertificates(deps.listNames(), store.listAll(), system.nowIso()))
      serves.set(id, [...(serves.get(id) ?? []), hostname])
    return serves
  }
  const view = (row: CertificateRow, serves: ReadonlyMap<string, string[]>): CertificateView => {
    const {
      hostname: _h,
      file_id: _f,
      order_url: _u,
      order_key_sealed: _k,
      challenge: _c,
      next_info_at: _i,
      retry_after: _r,
      ...rest
    } = row
    return { ...rest, status: certificateStatus(row, system.nowIso()), serves: serves.get(row.id) ?? [] }
  }
  const record = (context: Context, action: string, row: CertificateRow, details = {}): void =>
    deps.recordAudit(context, {
      action,
      resource_kind: 'certificate',
      resource_id: row.id,
      ...(row.project_id !== null && { project_id: row.project_id }),
      details: { hostnames: row.hostnames.slice(0, 20), ...details },
    })
  const again = (id: string): CertificateView => {
    const row = store.find(id)
    if (!row) throw new AppError('NOT_FOUND')
    return view(row, chosen())
  }

  return {
    /** The certificates that the caller may see, newest first; those of the node for super-admins. */
    listCertificates: (
      context: Context,
      projectId: string | undefined,
      page: PageRequest,
    ): Page<CertificateView> => {
      if (projectId !== undefined) requireNamed(context.actor, 'domains.read', projectId)
      const { actor } = context
      const all = { projects: projectsWith(actor, 'domains.read'), node: actor.is_super_admin }
      const filter = projectId === undefined ? all : { projects: [projectId], node: false }
      const { items, ...rest } = store.list(filter, page)
      const serves = chosen()
      return { ...rest, items: items.map((row) => view(row, serves)) }
    },

    /** One certificate. */
    getCertificate: (context: Context, id: string): CertificateView => {
      const row = requireCertificate(context.actor, 'domains.read', id)
      return view(row, chosen())
    },

    /** Keeps a certificate of the caller's and serves it at once. Throws VALIDATION_ERROR, which says what is wrong with it. */
    uploadCertificate: async (context: Context, input: CertificateUpload): Promise<CertificateView> => {
      const { project_id: projectId } = input
      requireNamed(context.actor, 'certificates.write', projectId)
      const { facts, ...pair } = readUpload(input, system.now())
      if (!deps.claimedNames(projectId).some((name) => covers(facts.hostnames, name)))
        throw invalidUpload(
          'certificate',
          `is for ${facts.hostnames.join(', ')}, none of which is a domain here`,
        )
      return await deps.pairs.keep(pair, async (fileId) => {
        const row = database.transact(() => {
          requireNamed(context.actor, 'certificates.write', projectId)
          if (store.countUploads(projectId) >= MAX_UPLOADS)
            throw new AppError('POLICY_REFUSED', {
              details: [{ message: `a project has at most ${MAX_UPLOADS} uploaded certificates` }],
            })
          const added = uploadedRow(system, projectId, fileId, facts)
          store.insert(added)
          record(context, 'uploadCertificate', added)
          database.afterCommit(deps.certificatesChanged)
          return added
        })
        await deps.publish()
        return again(row.id)
      })
    },

    /** Removes an uploaded certificate; when it resolves nobody is shown it any more. Throws CONFLICT for one that Berth obtained. */
    deleteCertificate: async (context: Context, id: string): Promise<void> => {
      database.transact(() => {
        const row = requireCertificate(context.actor, 'certificates.write', id)
        requireUnchanged(context, row)
        if (row.source !== 'upload') throw new AppError('CONFLICT', { message: GOES_BY_ITSELF[row.source] })
        store.remove(id)
        record(context, 'deleteCertificate', row)
        database.afterCommit(deps.certificatesChanged)
      })
      await deps.publish()
    },

    /**
     * Has a certificate obtained or made anew as soon as possible. Throws CONFLICT for an uploaded one, and while the authority does not want to be
     * asked.
     */
    renewCertificate: (context: Context, id: string): CertificateView => {
      database.transact(() => {
        const row = requireCertificate(context.actor, 'certificates.write', id)
        if (row.source === 'upload')
          throw new AppError('CONFLICT', {
            message: 'An uploaded certificate is renewed by uploading the next one.',
          })
        if (row.source === 'acme') requireEnabled(deps.enabled)
        const now = system.nowIso()
        const next = soonestAttempt(row, now)
        if (next > now)
          throw new AppError('CONFLICT', {
            message: `The certificate authority wants no further order before ${next}; it is tried again then.`,
          })
        store.change(id, { next_attempt_at: now, updated_at: now })
        record(context, 'renewCertificate', row)
        database.afterCommit(deps.certificatesChanged)
      })
      return again(id)
    },

    /** Revokes a certificate at its authority, serves it no longer, and has another one obtained. */
    revokeCertificate: async (
      context: Context,
      id: string,
      reason: RevocationReason = REVOCATION_REASONS[0],
    ): Promise<CertificateView> => {
      const row = requireCertificate(context.actor, 'certificates.write', id)
      if (row.source !== 'acme') throw new AppError('CONFLICT', { message: NOT_OURS_TO_REVOKE[row.source] })
      requireEnabled(deps.enabled)
      // One that cannot be opened is found and replaced by the worker.
      const pair =
        row.file_id === null ? undefined : await deps.files.read(row.file_id).catch(() => undefined)
      if (!pair) throw new AppError('CONFLICT', { message: 'There is no certificate to revoke yet.' })
      await revokeAt(await deps.openServer(), pair.chain_pem, REASON_CODES[reason])
      database.transact(() => {
        const now = system.nowIso()
        const present = requireCertificate(context.actor, 'certificates.write', id)
        if (present.file_id === row.file_id)
          store.change(id, {
            ...NO_PAIR,
            next_attempt_at: soonestAttempt(present, now),
            updated_at: now,
          })
        record(context, 'revokeCertificate', row, { reason, serial: row.serial })
        database.afterCommit(deps.certificatesChanged)
      })
      await deps.publish()
      return again(id)
    },

    /** What proves an order that is being checked, for a request whose Host is its hostname; undefined for every other. */
    findKeyAuthorization: (host: string, token: string): string | undefined =>
      store.listChallenges().find(({ hostname, challenge }) => hostname === host && challenge.token === token)
        ?.challenge.body,

    /** For each of these hostnames the certificate that answers to it, or the one that is being obtained. */
    summaries: (hostnames: readonly string[]): Map<string, CertificateSummary> => {
      const rows = store.listAll()
      const now = system.nowIso()
      const serving = chooseCertificates(deps.listNames(), rows, now)
      const obtaining = new Map(rows.flatMap((row) => (row.source === 'acme' ? [[row.hostname, row]] : [])))
      return new Map(
        hostnames.flatMap((hostname) => {
          const awaited = obtaining.get(hostname)
          const row = serving.get(hostname) ?? awaited
          return row ? [[hostname, summaryOf(row, awaited, now)]] : []
        }),
      )
    },
  }
}

function summaryOf(
  row: CertificateRow,
  awaited: CertificateRow | undefined,
  now: string,
): CertificateSummary {
  const state = (of: CertificateRow) => ({
    id: of.id,
    status: certificateStatus(of, now),
    last_error: of.last_error,
    next_attempt_at: of.next_attempt_at,
  })
  return {
    ...state(row),
    source: row.source,
    not_after: row.not_after,
    obtaining: row.source === 'self_signed' && awaited ? state(awaited) : null,
  }
}

function requireEnabled(enabled: boolean): void {
  if (enabled) return
  throw new AppError('CONFLICT', {
    message: 'No certificates are obtained on this node: acme_email is not set.',
  })
}

async function revokeAt(server: AcmeServer, pem: string, reason: number): Promise<void> {
  try {
    await server.revoke(pem, reason)
  } catch (error) {
    // What is revoked already is what was asked for.
    if (error instanceof AcmeProblem && error.type === 'alreadyRevoked') return
    if (error instanceof AcmeProblem)
      throw new AppError('POLICY_REFUSED', { details: [{ message: error.message }] })
    throw error
  }
}
