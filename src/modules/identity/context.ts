import { type Actor, createSystemActor, SYSTEM_ACTOR_NAME } from './actor.ts'
import type { Permission } from './permissions.ts'

/**
 * What every operation gets first: who asks, and what of the request belongs into records. `http/` makes it (`request.context`); an
 * operation passes it on unchanged.
 */
export interface Context {
  readonly actor: Actor
  /** Null for what no request asks for. */
  readonly request_id: string | null
  /** The client's address, behind trusted proxies the one they report. */
  readonly client_address: string | null
  /** The entity tags of `If-Match`; `requireUnchanged` in lib/revision.ts compares them inside the operation's transaction. */
  readonly if_match?: readonly string[]
}

/** For what Berth does by itself: time-outs, reconciliation, upkeep. */
export const BERTH_ITSELF = {
  actor: { via: 'system', user_id: null, token_id: null, name: SYSTEM_ACTOR_NAME },
  request_id: null,
  client_address: null,
} as const

/** For operations that Berth asks for by itself, on the word of a setting that someone with the right to it made. */
export function contextOfBerth(requestId: string): Context {
  return { actor: createSystemActor(() => true), request_id: requestId, client_address: '' }
}

/** For what Berth does on behalf of an arrangement, such as a webhook: it may do this one kind of act in this one project. */
export function actingFor(projectId: string, permission: Permission, name: string): Context {
  const actor: Actor = {
    ...createSystemActor((asked, project) => asked === permission && project === projectId),
    name,
    sees: (project) => project === projectId,
    visibleProjects: () => [projectId],
  }
  return { actor, request_id: null, client_address: null }
}
