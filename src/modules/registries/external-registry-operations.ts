import { AppError, type ErrorDetail } from '../../lib/errors.ts'
import type { Page, PageRequest } from '../../lib/page.ts'
import { requireUnchanged } from '../../lib/revision.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { Actor } from '../identity/actor.ts'
import { requirePermission } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import type { Permission } from '../identity/permissions.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type {
  AuthKind,
  ExternalRegistryCreate,
  ExternalRegistryPatch,
  ExternalRegistryRow,
  ExternalRegistryView,
} from './external-registry-schema.ts'
import type { ExternalRegistryStore } from './external-registry-store.ts'
import { readEndpoint } from './registry-endpoint.ts'

export interface ExternalRegistryDeps {
  database: Database
  system: System
  store: ExternalRegistryStore
  secrets: Pick<Secrets, 'seal'>
  recordAudit: RecordAudit
  projectExists: (id: string) => boolean
  /** The services whose source is in the registry, by name. */
  usersOf: (registryId: string) => string[]
}

export type ExternalRegistryOperations = ReturnType<typeof createExternalRegistryOperations>

type Sent = Partial<ExternalRegistryCreate>

/** What each kind needs to be shown. */
const SECRETS: Readonly<Record<AuthKind, readonly ('username' | 'password' | 'token')[]>> = {
  anonymous: [],
  basic: ['username', 'password'],
  token: ['token'],
  ecr_token: ['token'],
  gar_token: ['token'],
}

/** The verbs on the external registries of projects. */
export function createExternalRegistryOperations(deps: ExternalRegistryDeps) {
  const { database, store, system } = deps

  const requireProject = (actor: Actor, permission: Permission, id: string): void =>
    requirePermission(actor, permission, deps.projectExists(id) ? id : undefined)

  const requireRegistry = (
    actor: Actor,
    permission: Permission,
    projectId: string,
    id: string,
  ): ExternalRegistryRow => {
    requireProject(actor, permission, projectId)
    const row = store.find(projectId, id)
    if (!row) throw new AppError('NOT_FOUND')
    return row
  }

  const requireNameFree = (projectId: string, name: string, except?: string): void => {
    const holder = store.findByName(projectId, name)
    if (holder && holder.id !== except)
      throw new AppError('NAME_TAKEN', { details: [{ field: 'name', message: 'is taken' }] })
  }

  const audit = (context: Context, action: string, row: ExternalRegistryRow): void =>
    deps.recordAudit(context, {
      action,
      resource_kind: 'external_registry',
      resource_id: row.id,
      project_id: row.project_id,
      details: { name: row.name, endpoint: row.endpoint, auth_kind: row.auth_kind },
    })

  const change = async (
    context: Context,
    projectId: string,
    id: string,
    action: string,
    sent: Sent,
  ): Promise<ExternalRegistryView> => {
    const before = requireRegistry(context.actor, 'credentials.write', projectId, id)
    const { endpoint, auth_kind, secrets } = read(sent, before)
    const sealed = secrets && (await seal(deps.secrets, secrets))
    return database.transact(() => {
      const row = requireRegistry(context.actor, 'credentials.write', projectId, id)
      requireUnchanged(context, row)
      const name = sent.name ?? row.name
      requireNameFree(projectId, name, id)
      const credentials_sealed = sealed === undefined ? row.credentials_sealed : sealed
      const changed = { ...row, name, endpoint, auth_kind, credentials_sealed, updated_at: system.nowIso() }
      store.update(changed)
      audit(context, action, changed)
      return view(requireRegistry(context.actor, 'credentials.write', projectId, id))
    })
  }

  return {
    /** Those of a project, newest first; never with what is secret. */
    listExternalRegistries: (
      context: Context,
      projectId: string,
      page: PageRequest,
    ): Page<ExternalRegistryView> => {
      requireProject(context.actor, 'projects.read', projectId)
      const { items, ...rest } = store.list(projectId, page)
      return { ...rest, items: items.map(view) }
    },

    /** Adds one. Throws NAME_TAKEN. */
    createExternalRegistry: async (
      context: Context,
      projectId: string,
      sent: ExternalRegistryCreate,
    ): Promise<ExternalRegistryView> => {
      requireProject(context.actor, 'credentials.write', projectId)
      const { endpoint, auth_kind, secrets = {} } = read(sent, undefined)
      const credentials_sealed = await seal(deps.secrets, secrets)
      return database.transact(() => {
        requireProject(context.actor, 'credentials.write', projectId)
        requireNameFree(projectId, sent.name)
        const now = system.nowIso()
        const row = {
          id: system.newId(),
          project_id: projectId,
          name: sent.name,
          endpoint,
          auth_kind,
          credentials_sealed,
          revision: 1,
          created_at: now,
          updated_at: now,
        }
        store.insert(row)
        audit(context, 'createExternalRegistry', row)
        return view(row)
      })
    },

    /** One of them. */
    getExternalRegistry: (context: Context, projectId: string, id: string): ExternalRegistryView =>
      view(requireRegistry(context.actor, 'projects.read', projectId, id)),

    /** Replaces it, what it is shown too. Throws NAME_TAKEN. */
    replaceExternalRegistry: (
      context: Context,
      projectId: string,
      id: string,
      sent: ExternalRegistryCreate,
    ): Promise<ExternalRegistryView> => change(context, projectId, id, 'replaceExternalRegistry', sent),

    /** Changes what is sent. What it is shown stays unless it is sent anew, which another endpoint or kind asks for. */
    updateExternalRegistry: (
      context: Context,
      projectId: string,
      id: string,
      sent: ExternalRegistryPatch,
    ): Promise<ExternalRegistryView> => change(context, projectId, id, 'updateExternalRegistry', sent),

    /** Removes it. Throws IN_USE while it is the source of a service. */
    deleteExternalRegistry: (context: Context, projectId: string, id: string): void =>
      database.transact(() => {
        const row = requireRegistry(context.actor, 'credentials.write', projectId, id)
        requireUnchanged(context, row)
        const users = deps.usersOf(id)
        if (users.length > 0)
          throw new AppError('IN_USE', { details: users.map((name) => ({ message: `service ${name}` })) })
        store.remove(id)
        audit(context, 'deleteExternalRegistry', row)
      }),
  }
}

/** Settles endpoint, kind and what is shown; `secrets` is undefined when that stays as it is. Throws VALIDATION_ERROR. */
function read(
  sent: Sent,
  before: ExternalRegistryRow | undefined,
): { endpoint: string; auth_kind: AuthKind; secrets: Record<string, string> | undefined } {
  const problems: ErrorDetail[] = []
  const endpoint = sent.endpoint === undefined ? before?.endpoint : readEndpoint(sent.endpoint)
  if (endpoint === undefined)
    problems.push({ field: 'endpoint', message: 'must be a host, or https:// and a host, without a path' })
  const auth_kind = sent.auth_kind ?? before?.auth_kind ?? 'anonymous'
  const isSent = (['username', 'password', 'token'] as const).some((field) => sent[field] !== undefined)
  // A password must not follow to where somebody else points the registry at.
  const isElsewhere = before !== undefined && (endpoint !== before.endpoint || auth_kind !== before.auth_kind)
  const isWhole = before === undefined || sent.auth_kind !== undefined || isSent || isElsewhere
  const secrets = isWhole ? readSecrets(sent, auth_kind, problems) : undefined
  if (problems.length > 0) throw new AppError('VALIDATION_ERROR', { details: problems })
  return { endpoint: endpoint ?? '', auth_kind, secrets }
}

function readSecrets(sent: Sent, kind: AuthKind, problems: ErrorDetail[]): Record<string, string> {
  const needed = SECRETS[kind]
  const secrets: Record<string, string> = {}
  for (const field of ['username', 'password', 'token'] as const) {
    const value = sent[field]
    if (needed.includes(field) && value === undefined)
      problems.push({ field, message: `is needed for auth_kind ${kind}` })
    if (!needed.includes(field) && value !== undefined)
      problems.push({ field, message: `does not belong to auth_kind ${kind}` })
    if (value !== undefined) secrets[field] = value
  }
  return secrets
}

async function seal(secrets: Pick<Secrets, 'seal'>, values: Record<string, string>): Promise<string | null> {
  return Object.keys(values).length === 0 ? null : secrets.seal(values)
}

/** Field by field, so that nothing sealed can come along. */
function view(row: ExternalRegistryRow): ExternalRegistryView {
  const { id, project_id, name, endpoint, auth_kind, revision, created_at, updated_at } = row
  return { id, project_id, name, endpoint, auth_kind, revision, created_at, updated_at }
}
