import { type Actor, createSystemActor, SYSTEM_ACTOR_NAME } from './actor.ts'

/**
 * What every operation gets first: who asks, and what of the request belongs into records. `http/` makes it (`request.context`); an
 * operation passes it on unchanged.
 */
export interface Context {
  readonly actor: Actor
  readonly request_id: string
  /** The client's address, behind trusted proxies the one they report. */
  readonly client_address: string
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
