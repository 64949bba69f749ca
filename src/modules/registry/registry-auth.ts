import { createHmac } from 'node:crypto'
import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { looksLikeToken } from '../../lib/token-prefix.ts'
import { type Actor, type Authenticate, createSystemActor } from '../identity/actor.ts'
import type { Principal, Principals } from '../identity/principal.ts'
import type { SessionOperations } from '../identity/session-operations.ts'
import { type Caller, CATALOG } from './caller.ts'
import { PERMISSION_OF } from './repository-access.ts'
import { SIGNED_PREFIX, type TokenClaims, type TokenSigner } from './token-signer.ts'

/** Of a request, what says who makes it. */
export interface CallerClues {
  readonly authorization: string | undefined
  readonly requestId: string
  readonly clientAddress: string
}

/** Someone who showed credentials of their own rather than a signed token. */
export interface Proven {
  readonly actor: Actor
  /** Undefined for the install admin token. */
  readonly principal: Principal | undefined
  readonly expiresAtMs: number
}

export interface RegistryAuthDeps {
  system: System
  authenticate: Authenticate
  principals: Principals
  verifyPassword: SessionOperations['verifyPassword']
  signer: TokenSigner
  /** Whether a service is there and not being deleted. */
  hasService: (serviceId: string) => boolean
  /** Rises whenever someone's access may have changed. */
  accessRevision: () => number
}

export type RegistryAuth = ReturnType<typeof createRegistryAuth>

/** A client that knows only Basic sends the password with every request; it is worked on once in this time. */
const PASSWORD_MS = 5 * 60_000
const MAX_PASSWORDS = 1000

/** Finds out who calls: by Basic with an API token or the account password, by a Berth token, or by a signed token. */
export function createRegistryAuth(deps: RegistryAuthDeps) {
  const { system, principals, signer } = deps
  /** Tells this start of the daemon, whose access revisions begin anew, from others. */
  const start = system.newId()
  const epoch = (): string => `${start}.${deps.accessRevision()}`
  const rechecked = new WeakMap<TokenClaims, { epoch: string; actor: Actor }>()
  const passwords = new Map<string, { principal: Principal; untilMs: number }>()
  /** What many requests at once ask for: a client that pulls many images at a time shows its password with each. */
  const beingChecked = new Map<string, Promise<Principal>>()
  const passwordKey = system.randomBytes(32)

  const verifyPassword = async (clues: CallerClues, username: string, password: string): Promise<Principal> =>
    principals.ofPassword(await deps.verifyPassword(clues.clientAddress, { username, password }))

  const fromPassword = async (
    clues: CallerClues,
    username: string,
    password: string,
  ): Promise<Proven | undefined> => {
    const key = createHmac('sha256', passwordKey).update(`${username}\0${password}`).digest('base64')
    const known = passwords.get(key)
    const before = known && known.untilMs > system.monotonic() ? ofPrincipal(known.principal) : undefined
    if (before) return before
    passwords.delete(key)
    // By address, so that nobody learns an answer that the throttle keeps from them.
    const flight = `${clues.clientAddress} ${key}`
    let checking = beingChecked.get(flight)
    if (!checking) {
      checking = verifyPassword(clues, username, password).finally(() => beingChecked.delete(flight))
      beingChecked.set(flight, checking)
    }
    const principal = await checking
    // The principal is of the revision that was verified: undefined when the password was replaced meanwhile.
    const proven = ofPrincipal(principal)
    if (!proven) return undefined
    passwords.set(key, { principal, untilMs: system.monotonic() + PASSWORD_MS })
    const oldest = passwords.keys().next().value
    if (passwords.size > MAX_PASSWORDS && oldest !== undefined) passwords.delete(oldest)
    return proven
  }

  const ofPrincipal = (principal: Principal): Proven | undefined => {
    const actor = principals.actorOf(principal)
    return actor && { actor, principal, expiresAtMs: Number.POSITIVE_INFINITY }
  }

  const fromToken = (clues: CallerClues, token: string): Proven | undefined => {
    const found = deps.authenticate({ token, from: 'header', client_address: clues.clientAddress })
    return (
      found && {
        actor: found.actor,
        principal: principals.ofActor(found.actor),
        expiresAtMs: found.expires_at_ms,
      }
    )
  }

  const prove = async (clues: CallerClues): Promise<Proven | undefined> => {
    const basic = readBasic(clues.authorization)
    if (!basic) return undefined
    const { username, password } = basic
    const proven = fromToken(clues, password)
    // A token that has ended is no guess at a password: it must not lock its owner out.
    if (proven || looksLikeToken(password)) return proven
    return fromPassword(clues, username, password)
  }

  /** What the signed token's owner may now, asked again only when somebody's access has changed since. */
  const ownerOf = (claims: TokenClaims, now: string): Actor => {
    const before = rechecked.get(claims)
    if (before?.epoch === now) return before.actor
    const actor = claims.principal && principals.actorOf(claims.principal)
    if (!actor) throw new AppError('UNAUTHENTICATED')
    rechecked.set(claims, { epoch: now, actor })
    return actor
  }

  const signedCaller = (claims: TokenClaims, clues: CallerClues): Caller => {
    const now = epoch()
    // Throws when the owner's credentials are gone.
    if (claims.epoch !== now) ownerOf(claims, now)
    return {
      isSigned: true,
      get context() {
        return contextOf(ownerOf(claims, now), clues)
      },
      allows: (action, { name, project_id }) => {
        if (!Object.hasOwn(claims.grants, name) || claims.grants[name]?.includes(action) !== true)
          return false
        return claims.epoch === now || ownerOf(claims, now).can(PERMISSION_OF[action], project_id)
      },
      seesCatalog: Object.hasOwn(claims.grants, CATALOG),
      pullsFrom: () => ({
        repositories: Object.keys(claims.grants).filter((name) => claims.grants[name]?.includes('pull')),
      }),
    }
  }

  return {
    epoch,
    prove,

    /** Who calls. Throws UNAUTHENTICATED, RATE_LIMITED, BUSY. */
    identify: async (clues: CallerClues): Promise<Caller> => {
      const bearer = /^bearer +([\x21-\x7e]{1,8192})$/i.exec(clues.authorization ?? '')?.[1]
      if (bearer?.startsWith(SIGNED_PREFIX) === true) {
        const claims = signer.read(bearer, system.now())
        if (claims?.kind !== 'access') throw new AppError('UNAUTHENTICATED')
        return claims.principal === null
          ? ownCaller(claims, clues, deps.hasService)
          : signedCaller(claims, clues)
      }
      const proven = bearer === undefined ? await prove(clues) : fromToken(clues, bearer)
      if (!proven) throw new AppError('UNAUTHENTICATED')
      return actorCaller(proven.actor, clues)
    },
  }
}

export function contextOf(actor: Actor, clues: CallerClues): Caller['context'] {
  return { actor, request_id: clues.requestId, client_address: clues.clientAddress }
}

/** Berth itself: what the token says and nothing else. */
function ownCaller(
  { grants, service_id = '' }: TokenClaims,
  clues: CallerClues,
  hasService: (serviceId: string) => boolean,
): Caller {
  return {
    isSigned: false,
    context: contextOf(
      createSystemActor(() => false),
      clues,
    ),
    allows: (action, repository) =>
      Object.hasOwn(grants, repository.name) &&
      grants[repository.name]?.includes(action) === true &&
      // What a deleted service's last deployment still pushes must not make its repository anew.
      (action !== 'push' || hasService(service_id)),
    seesCatalog: true,
    pullsFrom: () => ({ projects: [] }),
  }
}

function actorCaller(actor: Actor, clues: CallerClues): Caller {
  return {
    isSigned: false,
    context: contextOf(actor, clues),
    allows: (action, { project_id }) => actor.can(PERMISSION_OF[action], project_id),
    seesCatalog: true,
    pullsFrom: () => {
      const visible = actor.visibleProjects()
      return {
        projects: visible === 'all' ? visible : visible.filter((id) => actor.can('registry.pull', id)),
      }
    },
  }
}

/** RFC 7617; the password may hold colons. */
export function readBasic(header: string | undefined): { username: string; password: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/=_-]{1,4096})$/i.exec(header ?? '')?.[1]
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, 'base64').toString()
  const colon = text.indexOf(':')
  return colon === -1 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) }
}
