import type { Permission } from './permissions.ts'

export type CredentialKind = 'admin_token' | 'session' | 'cookie' | 'api_token'
/** How someone acts: with credentials, or as Berth itself. */
export type ActorKind = CredentialKind | 'system'

/**
 * Who makes a request, with all that is needed to decide what they may do; made anew for each request from rows, so that a
 * revoked role acts at once.
 */
export interface Actor {
  readonly via: ActorKind
  /** Null for the install admin token, which belongs to no user. */
  readonly user_id: string | null
  /** For records and messages: the user's name, or `install-admin`. */
  readonly name: string
  readonly session_id: string | null
  readonly token_id: string | null
  readonly is_super_admin: boolean
  /** Whether they have the permission in this project; without a project, in any. */
  can(permission: Permission, projectId?: string): boolean
  /** Whether they may know that the project exists. */
  sees(projectId: string): boolean
  /** The projects they may know of; `all` for a super-admin without a narrowed token. */
  visibleProjects(): readonly string[] | 'all'
}

/** What a client shows to say who it is. */
export interface Credentials {
  readonly token: string
  /** Where it stood: in the Authorization header or in the session cookie. */
  readonly from: 'header' | 'cookie'
  readonly client_address: string
}

export interface Authentication {
  readonly actor: Actor
  /** When to ask again, in milliseconds since the epoch; Infinity for credentials that end by revocation only. */
  readonly expires_at_ms: number
}

/** Answers who the credentials belong to; undefined when they are worth nothing. */
export type Authenticate = (credentials: Credentials) => Authentication | undefined

/** Who made something, as stored beside it. */
export interface ActorRecord {
  kind: ActorKind
  user_id: string | null
  token_id: string | null
  name: string
}

export function recordActor(actor: Actor): ActorRecord {
  return { kind: actor.via, user_id: actor.user_id, token_id: actor.token_id, name: actor.name }
}

/** The name of the install admin token in records. */
export const INSTALL_ADMIN_NAME = 'install-admin'

/** What `Berth itself` does: the reconciler, time-outs. */
export const SYSTEM_ACTOR_NAME = 'berth'
