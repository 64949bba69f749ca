import { AppError } from '../../lib/errors.ts'
import type { Page, PageRequest } from '../../lib/page.ts'
import { requireUnchanged, type Revised } from '../../lib/revision.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { type Actor, recordActor } from '../identity/actor.ts'
import { requirePermission } from '../identity/authorize.ts'
import { BERTH_ITSELF, type Context } from '../identity/context.ts'
import type { Permission } from '../identity/permissions.ts'
import type { Secrets } from '../secrets/secrets.ts'
import { chooseCredential } from './credential-choice.ts'
import { readCredential } from './git-credential-input.ts'
import type {
  GitCredentialCreate,
  GitCredentialRow,
  GitCredentialView,
  GitHostKeyRow,
  GitHostKeyView,
} from './git-credential-schema.ts'
import type { GitCredentialStore } from './git-credential-store.ts'
import type { ProjectTrust } from './remote.ts'
import { fingerprintOf, readPublicKey } from './ssh-key.ts'

export interface GitCredentialDeps {
  database: Database
  system: System
  store: GitCredentialStore
  secrets: Pick<Secrets, 'seal' | 'open'>
  recordAudit: RecordAudit
  projectExists: (id: string) => boolean
}

export type GitCredentialOperations = ReturnType<typeof createGitCredentialOperations>

const MOST = 100

/** The verbs on what a project shows to hosts of repositories and on the host keys that it has pinned. */
export function createGitCredentialOperations(deps: GitCredentialDeps) {
  const { database, store, system, secrets } = deps

  const requireProject = (actor: Actor, permission: Permission, id: string): void =>
    requirePermission(actor, permission, deps.projectExists(id) ? id : undefined)

  const audit = (
    context: Context,
    action: string,
    projectId: string,
    id: string,
    details: Record<string, string | null>,
  ) =>
    deps.recordAudit(context, {
      action,
      resource_kind: 'git_credential',
      resource_id: id,
      project_id: projectId,
      details,
    })

  const removeOne = (context: Context, row: GitCredentialRow): void => {
    if (!store.remove(row.project_id, row.id)) return
    audit(context, 'deleteGitCredential', row.project_id, row.id, describe(row))
  }

  return {
    /** Adds a credential; a private key that was made here is never answered. Throws VALIDATION_ERROR and CONFLICT. */
    createGitCredential: async (
      context: Context,
      projectId: string,
      input: GitCredentialCreate,
    ): Promise<GitCredentialView & Revised> => {
      requireProject(context.actor, 'credentials.write', projectId)
      const { secret, ...fields } = await readCredential(system, input)
      const secret_sealed = await secrets.seal({ secret })
      const row: GitCredentialRow = {
        id: system.newId(),
        project_id: projectId,
        ...fields,
        secret_sealed,
        created_by: recordActor(context.actor),
        created_at: system.nowIso(),
        last_used_at: null,
      }
      database.transact(() => {
        // It may have gone while the key was read.
        requireProject(context.actor, 'credentials.write', projectId)
        if (store.count(projectId) >= MOST)
          throw new AppError('CONFLICT', { message: `A project has at most ${MOST} credentials for Git.` })
        store.insert(row)
        audit(context, 'createGitCredential', projectId, row.id, describe(row))
      })
      return viewCredential(row)
    },

    /** Credentials of a project, newest first; never with what is secret. */
    listGitCredentials: (context: Context, projectId: string, page: PageRequest): Page<GitCredentialView> => {
      requireProject(context.actor, 'credentials.read', projectId)
      const { items, ...rest } = store.list(projectId, page)
      return { ...rest, items: items.map(viewCredential) }
    },

    /** One credential. */
    getGitCredential: (context: Context, projectId: string, id: string): GitCredentialView & Revised => {
      requireProject(context.actor, 'credentials.read', projectId)
      const row = store.find(projectId, id)
      if (!row) throw new AppError('NOT_FOUND')
      return viewCredential(row)
    },

    /** Removes a credential; deployments that need it fail from now on. */
    deleteGitCredential: (context: Context, projectId: string, id: string): void =>
      database.transact(() => {
        requireProject(context.actor, 'credentials.write', projectId)
        const row = store.find(projectId, id)
        if (!row) throw new AppError('NOT_FOUND')
        requireUnchanged(context, viewCredential(row))
        removeOne(context, row)
      }),

    /** Removes all credentials of a project. */
    deleteGitCredentials: (context: Context, projectId: string): void =>
      database.transact(() => {
        requireProject(context.actor, 'credentials.write', projectId)
        for (const row of store.list(projectId, { limit: MOST }).items) removeOne(context, row)
      }),

    /** The pinned host keys of a project, newest first. */
    listGitHostKeys: (context: Context, projectId: string, page: PageRequest): Page<GitHostKeyView> => {
      requireProject(context.actor, 'credentials.read', projectId)
      const { items, ...rest } = store.listHostKeys(projectId, page)
      return { ...rest, items: items.map(viewHostKey) }
    },

    /** Forgets a pinned host key: the next connection pins whatever key the host shows then. */
    deleteGitHostKey: (context: Context, projectId: string, id: string): void =>
      database.transact(() => {
        requireProject(context.actor, 'credentials.write', projectId)
        const row = store.findHostKeyById(projectId, id)
        if (!row) throw new AppError('NOT_FOUND')
        store.removeHostKey(projectId, id)
        deps.recordAudit(context, {
          action: 'deleteGitHostKey',
          resource_kind: 'git_host_key',
          resource_id: id,
          project_id: projectId,
          details: { host: row.host, fingerprint: fingerprintOf(row.key) },
        })
      }),

    /** What a fetch asks for. */
    trust: createTrust(deps),
  }
}

function createTrust({ database, store, system, secrets, recordAudit }: GitCredentialDeps): ProjectTrust {
  return {
    credentialFor: async (projectId, url) => {
      const row = chooseCredential(store.list(projectId, { limit: MOST }).items, url)
      if (!row) return undefined
      const { secret = '' } = await secrets.open(row.secret_sealed)
      store.noteUse(row.id, system.nowIso())
      return row.kind === 'ssh_key'
        ? { kind: 'ssh_key', name: row.name, private_key: secret }
        : { kind: 'https_token', name: row.name, username: row.username ?? '', token: secret }
    },
    findHostKey: (projectId, host) => store.findHostKey(projectId, host),
    pinHostKey: (projectId, host, key) =>
      database.transact(() => {
        const id = system.newId()
        const row = { id, project_id: projectId, host, ...key, created_at: system.nowIso() }
        if (store.insertHostKey(row))
          recordAudit(BERTH_ITSELF, {
            action: 'pinGitHostKey',
            resource_kind: 'git_host_key',
            resource_id: id,
            project_id: projectId,
            details: { host, fingerprint: fingerprintOf(key.key) },
          })
        return store.findHostKey(projectId, host) ?? key
      }),
  }
}

function describe({ kind, name, host, path }: GitCredentialRow): Record<string, string | null> {
  return { kind, name, host, path }
}

/** Nobody changes a credential, so there is one revision of it. */
function viewCredential(credential: GitCredentialRow): GitCredentialView & Revised {
  const { secret_sealed: _, ...row } = credential
  const key = row.public_key === null ? undefined : readPublicKey(row.public_key)
  return { ...row, revision: 1, fingerprint: key ? fingerprintOf(key.key) : null }
}

function viewHostKey({ key, ...row }: GitHostKeyRow): GitHostKeyView {
  return { ...row, fingerprint: fingerprintOf(key), public_key: `${row.type} ${key}` }
}
