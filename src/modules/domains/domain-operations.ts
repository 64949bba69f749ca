import { AppError } from '../../lib/errors.ts'
import type { Page, PageRequest } from '../../lib/page.ts'
import { requireUnchanged } from '../../lib/revision.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { AuditContext, RecordAudit } from '../audit/audit.ts'
import type { Actor } from '../identity/actor.ts'
import { requirePermission } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import type { Permission } from '../identity/permissions.ts'
import { challengeRecord } from './dns-check.ts'
import { findCover } from './domain-cover.ts'
import type { CertificateSummary } from '../certificates/certificate-schema.ts'
import type { DomainCheck } from './domain-check.ts'
import {
  CHALLENGE_PREFIX,
  type DomainCreate,
  type DomainPatch,
  type DomainRow,
  type DomainView,
  isWildcard,
} from './domain-schema.ts'
import type { DomainStore } from './domain-store.ts'
import { readHostname } from './hostname.ts'

export interface DomainDeps {
  database: Database
  store: DomainStore
  system: System
  recordAudit: RecordAudit
  projectOfService: (serviceId: string) => string | undefined
  /** `project/service`, for an actor who may see it. */
  labelOf: (serviceId: string) => string
  check: DomainCheck
  /** Resolves when the ingress routes what the rows say. */
  publishRoutes: () => Promise<void>
  /** Resolves when the ingress answers the proofs of all claims. */
  publishChallenges: () => Promise<void>
  /** The certificate of each of these hostnames, or the one that is being obtained. */
  certificatesOf: (hostnames: readonly string[]) => ReadonlyMap<string, CertificateSummary>
  /** Makes the self-signed certificates that are asked for; resolves when the ingress serves what there is for every name. */
  publishCertificates: () => Promise<void>
  /** Called after a commit that changed which challenges are answered, or which hostnames are routed. */
  claimsChanged: () => void
  claimMs: number
  controlDomain: string | undefined
  /** Where the world reaches the ingress. */
  challengePort: () => number
}

/** A service as far as its domains go. */
interface Owner {
  id: string
  project_id: string
}

export type DomainOperations = ReturnType<typeof createDomainOperations>

/** Claims that one service may have. */
const MAX_DOMAINS = 100
/** Before the first check by itself: time to make the DNS record. */
const FIRST_CHECK_MS = 60_000

/** The verbs on domains. */
export function createDomainOperations(deps: DomainDeps) {
  const { database, store, system } = deps

  const requireOwner = (actor: Actor, permission: Permission, serviceId: string): Owner => {
    const projectId = deps.projectOfService(serviceId)
    requirePermission(actor, permission, projectId)
    if (projectId === undefined) throw new AppError('NOT_FOUND')
    return { id: serviceId, project_id: projectId }
  }
  const requireDomain = (
    actor: Actor,
    permission: Permission,
    serviceId: string,
    domainId: string,
  ): DomainRow => {
    requireOwner(actor, permission, serviceId)
    const domain = store.find(domainId)
    if (!domain || domain.service_id !== serviceId) throw new AppError('NOT_FOUND')
    return domain
  }
  const record = (context: AuditContext, action: string, domain: DomainRow, details = {}): void =>
    deps.recordAudit(context, {
      action,
      resource_kind: 'domain',
      resource_id: domain.id,
      project_id: domain.project_id,
      details: { hostname: domain.hostname, ...details },
    })

  const requireFree = (actor: Actor, serviceId: string, hostname: string): void => {
    if (store.findOfService(serviceId, hostname))
      throw taken(`${hostname} is attached to this service already`)
    const holder = store.findVerified(hostname)
    if (!holder) return
    const where = actor.can('domains.read', holder.project_id)
      ? deps.labelOf(holder.service_id)
      : 'another service'
    throw taken(`${hostname} is attached to ${where}`)
  }

  /** Inside a transaction. */
  const insert = (context: Context, owner: Owner, hostname: string, selfSigned = false): DomainRow => {
    requireFree(context.actor, owner.id, hostname)
    if (store.countOfService(owner.id) >= MAX_DOMAINS)
      throw new AppError('POLICY_REFUSED', {
        details: [{ field: 'hostname', message: `a service has at most ${MAX_DOMAINS} domains` }],
      })
    const now = system.now()
    const domain: DomainRow = {
      id: system.newId(),
      project_id: owner.project_id,
      service_id: owner.id,
      hostname,
      status: 'pending',
      token: system.randomBytes(24).toString('base64url'),
      reason_code: null,
      reason: null,
      checked_at: null,
      next_check_at: new Date(now + FIRST_CHECK_MS).toISOString(),
      failures: 0,
      verified_at: null,
      failing_since: null,
      expires_at: new Date(now + deps.claimMs).toISOString(),
      self_signed: selfSigned,
      revision: 1,
      created_at: system.nowIso(),
      updated_at: system.nowIso(),
    }
    store.insert(domain)
    record(context, 'addDomain', domain)
    database.afterCommit(deps.claimsChanged)
    return domain
  }
  /** Inside a transaction. */
  const remove = (context: AuditContext, domain: DomainRow): void => {
    store.remove(domain.id)
    record(context, 'deleteDomain', domain)
    database.afterCommit(deps.claimsChanged)
  }

  const viewAll = (rows: readonly DomainRow[]): DomainView[] => {
    const certificates = deps.certificatesOf(rows.map(({ hostname }) => hostname))
    return rows.map((row) =>
      form(row, row.status === 'verified' ? certificates.get(row.hostname) : undefined),
    )
  }
  const view = (domain: DomainRow): DomainView => viewAll([domain])[0] ?? form(domain, undefined)
  const form = (domain: DomainRow, certificate: CertificateSummary | undefined): DomainView => {
    const { token, failures: _, ...rest } = domain
    const byDns = isWildcard(domain.hostname) || findCover(store, domain) !== undefined
    return {
      ...rest,
      challenge: byDns
        ? { type: 'dns', token, path: null, url: null, dns_name: challengeRecord(domain.hostname) }
        : {
            type: 'http',
            token,
            ...fetchedFor(domain.hostname, token, deps.challengePort()),
            dns_name: null,
          },
      certificate: certificate ?? null,
    }
  }

  return {
    /** The domains of a service, newest first. */
    listDomains: (context: Context, serviceId: string, page: PageRequest): Page<DomainView> => {
      requireOwner(context.actor, 'domains.read', serviceId)
      const { items, ...rest } = store.list(serviceId, page)
      return { ...rest, items: viewAll(items) }
    },

    /**
     * Claims a hostname for a service. It is routed once it is proven. Throws DOMAIN_TAKEN, POLICY_REFUSED for reserved names, and
     * VALIDATION_ERROR.
     */
    addDomain: (context: Context, serviceId: string, input: DomainCreate): DomainView => {
      const hostname = readHostname(input.hostname, deps)
      return view(
        database.transact(() =>
          insert(
            context,
            requireOwner(context.actor, 'domains.write', serviceId),
            hostname,
            input.self_signed,
          ),
        ),
      )
    },

    /** One domain. */
    getDomain: (context: Context, serviceId: string, domainId: string): DomainView =>
      view(requireDomain(context.actor, 'domains.read', serviceId, domainId)),

    /** Changes how a domain is served; when it resolves the ingress does so. */
    updateDomain: async (
      context: Context,
      serviceId: string,
      domainId: string,
      patch: DomainPatch,
    ): Promise<DomainView> => {
      database.transact(() => {
        const domain = requireDomain(context.actor, 'domains.write', serviceId, domainId)
        requireUnchanged(context, domain)
        const changed = { ...domain, ...patch, updated_at: system.nowIso() }
        store.update(changed)
        record(context, 'updateDomain', changed, { self_signed: changed.self_signed })
      })
      await deps.publishCertificates()
      return view(requireDomain(context.actor, 'domains.read', serviceId, domainId))
    },

    /** Takes a hostname away from a service; when it resolves no request reaches the service by it. */
    deleteDomain: async (context: Context, serviceId: string, domainId: string): Promise<void> => {
      const routed = database.transact(() => {
        const domain = requireDomain(context.actor, 'domains.write', serviceId, domainId)
        requireUnchanged(context, domain)
        remove(context, domain)
        return domain.status === 'verified'
      })
      if (routed) await deps.publishRoutes()
    },

    /** Checks the proof now. A hostname that is proven is routed when this resolves. */
    verifyDomain: async (context: Context, serviceId: string, domainId: string): Promise<DomainView> => {
      const domain = requireDomain(context.actor, 'domains.write', serviceId, domainId)
      await deps.publishChallenges()
      const checked = await deps.check(context, domain, { audit: 'always' })
      if ((checked.status === 'verified') !== (domain.status === 'verified')) {
        await deps.publishRoutes()
        if (checked.self_signed) await deps.publishCertificates()
      }
      return view(checked)
    },

    /** The proof of a claim, for a request whose Host is the claimed name; undefined for every other. */
    findProof: (host: string, token: string): string | undefined => {
      const domain = store.findByToken(token)
      return domain?.hostname === host ? domain.token : undefined
    },

    /** Makes the claims of a service those that are named, inside the caller's transaction. Throws as `addDomain` does. */
    setHostnames: (context: Context, owner: Owner, given: readonly string[]): void => {
      const wanted = new Set(
        given.map((each, index) => readHostname(each, { ...deps, field: `domains.${index}` })),
      )
      const present = store.hostnamesOf(owner.id, 'all')
      if (present.length === wanted.size && present.every((each) => wanted.has(each))) return
      requirePermission(context.actor, 'domains.write', owner.project_id)
      for (const hostname of present) {
        const domain = wanted.has(hostname) ? undefined : store.findOfService(owner.id, hostname)
        if (domain) remove(context, domain)
      }
      for (const hostname of wanted) if (!present.includes(hostname)) insert(context, owner, hostname)
    },

    /** Removes what a service claims, inside the caller's transaction: its names are free from the commit on. */
    removeOfService: (context: AuditContext, serviceId: string): void => {
      for (const domain of store.removeOfService(serviceId)) record(context, 'deleteDomain', domain)
      database.afterCommit(deps.claimsChanged)
    },
  }
}

/** Where the proof of a hostname is fetched. */
function fetchedFor(hostname: string, token: string, port: number): { path: string; url: string } {
  const path = CHALLENGE_PREFIX + token
  return { path, url: `http://${hostname}${port === 80 ? '' : `:${port}`}${path}` }
}

function taken(message: string): AppError {
  return new AppError('DOMAIN_TAKEN', { details: [{ field: 'hostname', message }] })
}
