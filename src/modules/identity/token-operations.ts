import { AppError } from '../../lib/errors.ts'
import { type Page, pageOf, type PageRequest } from '../../lib/page.ts'
import type { System } from '../../lib/system.ts'
import { readInstant } from '../../lib/instant.ts'
import type { Database } from '../../store/database.ts'
import type { AuditContext, RecordAudit } from '../audit/audit.ts'
import type { Context } from './context.ts'
import { newToken } from './credential.ts'
import type { ApiToken, MintTokenBody } from './identity-schema.ts'
import type { MemberStore } from './member-store.ts'
import type { Permission } from './permissions.ts'
import type { TokenEntity, TokenStore } from './token-store.ts'

export interface TokenDeps {
  database: Database
  system: System
  record: RecordAudit
  tokens: TokenStore
  members: MemberStore
}

export interface TokenOperations {
  /** Those of the caller, or of everyone for a super-admin who asks for it. */
  listTokens(context: Context, everyone: boolean, page: PageRequest): Page<ApiToken>
  /**
   * Makes a token that may at most what its maker may. Throws FORBIDDEN for a permission that the maker lacks, SESSION_REQUIRED for a
   * token that lacks `tokens.mint`.
   */
  mintToken(context: Context, body: MintTokenBody): ApiToken & { token: string }
  /** Ends the token and what it minted. Throws NOT_FOUND for what is not the caller's, super-admins aside. */
  revokeToken(context: Context, id: string): void
  /** For the transaction that deletes a project: no token names it any more, and those that were for nothing else end. */
  forgetProject(context: AuditContext, projectId: string): void
}

/** Of those that have not expired. */
const MAX_TOKENS_PER_USER = 200
/** Kept for a while, so that their owner sees why something stopped working. */
const MAX_EXPIRED_PER_USER = 50

export function createTokenOperations(deps: TokenDeps): TokenOperations {
  const { database, system, tokens, record } = deps

  const mint = (context: Context, userId: string, body: MintTokenBody): ApiToken & { token: string } => {
    const parent = context.actor.token_id === null ? undefined : tokens.find(context.actor.token_id)
    refuseForeignProjects(context, body, deps.members)
    refuseMissingPermissions(context, body)
    const now = system.nowIso()
    tokens.trimExpired(userId, now, MAX_EXPIRED_PER_USER)
    if (tokens.countLive(userId, now) >= MAX_TOKENS_PER_USER) {
      const message = `A user has at most ${MAX_TOKENS_PER_USER} tokens; revoke one first.`
      throw new AppError('POLICY_REFUSED', { message })
    }
    const { plaintext, hash, shown } = newToken('api', system)
    const token: TokenEntity = {
      id: system.newId(),
      user_id: userId,
      parent_id: parent?.id ?? null,
      name: body.name,
      token_hash: hash,
      prefix: shown,
      permissions: body.permissions ?? parent?.permissions ?? null,
      project_ids: body.project_ids ?? parent?.project_ids ?? null,
      created_at: now,
      last_used_at: null,
      expires_at: earlier(readExpiry(body.expires_at, system.now()), parent?.expires_at ?? null),
    }
    tokens.insert(token)
    const details = { name: token.name, permissions: token.permissions, project_ids: token.project_ids }
    record(context, { action: 'mintToken', resource_kind: 'api_token', resource_id: token.id, details })
    return { ...toApiToken(token), token: plaintext }
  }

  const revoke = (context: AuditContext, { id, name, user_id }: TokenEntity): void => {
    tokens.remove(id)
    const details = { name, user_id }
    record(context, { action: 'revokeToken', resource_kind: 'api_token', resource_id: id, details })
  }

  return {
    listTokens: (context, everyone, { limit, after }) => {
      const { actor } = context
      if (everyone && !actor.is_super_admin) throw new AppError('FORBIDDEN', { permission: 'super_admin' })
      if (actor.user_id === null) return { items: [] }
      const rows = tokens.list(everyone ? undefined : actor.user_id, limit + 1, after)
      const page = pageOf(rows, limit, (row) => row.id)
      return { ...page, items: page.items.map(toApiToken) }
    },
    mintToken: (context, body) => {
      const { actor } = context
      if (actor.user_id === null)
        throw new AppError('FORBIDDEN', { message: 'The install admin token has no tokens.' })
      if (actor.via === 'api_token' && !actor.can('tokens.mint')) throw new AppError('SESSION_REQUIRED')
      const userId = actor.user_id
      return database.transact(() => mint(context, userId, body))
    },
    revokeToken: (context, id) => {
      database.transact(() => {
        const { actor } = context
        const token = tokens.find(id)
        if (!token || (token.user_id !== actor.user_id && !actor.is_super_admin))
          throw new AppError('NOT_FOUND')
        // A leaked token must not end those of others that the same user made.
        if (actor.via === 'api_token' && id !== actor.token_id && token.parent_id !== actor.token_id) {
          if (!actor.can('tokens.mint')) throw new AppError('SESSION_REQUIRED')
        }
        revoke(context, token)
      })
    },
    forgetProject: (context, projectId) => {
      database.transact(() => {
        for (const token of tokens.forgetProject(projectId)) revoke(context, token)
      })
    },
  }
}

function refuseForeignProjects({ actor }: Context, body: MintTokenBody, members: MemberStore): void {
  for (const [index, id] of (body.project_ids ?? []).entries()) {
    if (actor.sees(id) && members.projectExists(id)) continue
    const details = [{ field: `project_ids.${index}`, message: `${id} is no project that you may see` }]
    throw new AppError('VALIDATION_ERROR', { details })
  }
}

function refuseMissingPermissions({ actor }: Context, body: MintTokenBody): void {
  const projects: readonly (string | undefined)[] = body.project_ids ?? [undefined]
  const missing = (body.permissions ?? []).find(
    (each: Permission) => !projects.every((id) => actor.can(each, id)),
  )
  if (missing !== undefined) throw new AppError('FORBIDDEN', { permission: missing })
}

function readExpiry(text: string | null | undefined, now: number): string | null {
  if (text === null || text === undefined) return null
  const at = readInstant(text)
  if (at === undefined || at <= now) {
    throw new AppError('VALIDATION_ERROR', {
      details: [{ field: 'expires_at', message: 'must be in the future' }],
    })
  }
  return new Date(at).toISOString()
}

function earlier(one: string | null, other: string | null): string | null {
  if (one === null || other === null) return one ?? other
  return Date.parse(one) < Date.parse(other) ? one : other
}

function toApiToken(token: TokenEntity): ApiToken {
  const { token_hash: _, parent_id: __, ...rest } = token
  return rest
}
