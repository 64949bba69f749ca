import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { Actor } from '../identity/actor.ts'
import type { Principal, Principals } from '../identity/principal.ts'
import type { SharedBlock, SharedBlocks } from '../../lib/shared-blocks.ts'
import { CATALOG, REGISTRY_ACTIONS, type RegistryAction } from './caller.ts'
import type { CallerClues, Proven, RegistryAuth } from './registry-auth.ts'
import { jsonAnswer, type RegistryAnswer } from './registry-answer.ts'
import { isRepositoryName } from './registry-path.ts'
import type { RegistryStore } from './registry-store.ts'
import { PERMISSION_OF } from './repository-access.ts'
import { takeBody } from './request-body.ts'
import type { TokenSigner } from './token-signer.ts'
import type { BodySource } from '../../lib/body-source.ts'

export interface TokenDeps {
  system: System
  blocks: SharedBlocks
  auth: RegistryAuth
  principals: Principals
  signer: TokenSigner
  store: RegistryStore
}

/** Long enough for a push of many layers to begin each of them; checked at the start of a request only. */
const ACCESS_SECONDS = 900
const REFRESH_SECONDS = 90 * 86_400
const MAX_SCOPES = 100
const MAX_FORM_BYTES = 64 * 1024
const CATALOG_SCOPE = `${CATALOG}:*`

/** Told who asks, before anything is decided: a refusal is kept with them. */
type Identified = (actor: Actor) => void

export type TokenOperations = ReturnType<typeof createTokenOperations>

/** The token service (distribution token authentication specification, and its OAuth2 variant). */
export function createTokenOperations(deps: TokenDeps) {
  const { system, auth, principals, signer } = deps

  const grantsOf = (actor: Actor, scopes: readonly string[]): Record<string, RegistryAction[]> => {
    const grants: Record<string, RegistryAction[]> = {}
    for (const scope of scopes) {
      // Everyone may list what they may pull.
      if (scope === CATALOG_SCOPE) grants[CATALOG] = ['pull']
      const wanted = parseScope(scope)
      if (!wanted) continue
      const projectId = deps.store.findProject(wanted.name.split('/', 1)[0] ?? '')
      if (projectId === undefined) continue
      const allowed = wanted.actions.filter((action) => actor.can(PERMISSION_OF[action], projectId))
      if (allowed.length > 0) grants[wanted.name] = [...new Set([...(grants[wanted.name] ?? []), ...allowed])]
    }
    return grants
  }

  const answer = (
    actor: Actor,
    principal: Principal,
    wanted: { scopes: string[]; refresh: boolean; refreshToken?: string; untilMs: number },
  ): RegistryAnswer => {
    const nowSeconds = Math.floor(system.now() / 1000)
    const grants = grantsOf(actor, wanted.scopes)
    const lifetime = Math.max(1, Math.min(ACCESS_SECONDS, Math.floor(wanted.untilMs / 1000) - nowSeconds))
    const claims = { principal, name: actor.name, epoch: auth.epoch() }
    const token = signer.sign({ ...claims, kind: 'access', grants, expires: nowSeconds + lifetime })
    const refreshToken =
      wanted.refreshToken ??
      (wanted.refresh
        ? signer.sign({ ...claims, kind: 'refresh', grants: {}, expires: nowSeconds + REFRESH_SECONDS })
        : undefined)
    return jsonAnswer(
      200,
      {
        token,
        access_token: token,
        expires_in: lifetime,
        issued_at: new Date(nowSeconds * 1000).toISOString(),
        scope: Object.entries(grants)
          .map(([name, actions]) =>
            name === CATALOG ? CATALOG_SCOPE : `repository:${name}:${actions.join(',')}`,
          )
          .join(' '),
        ...(refreshToken !== undefined && { refresh_token: refreshToken }),
      },
      { 'Cache-Control': 'no-store' },
    )
  }

  const forProven = (
    proven: Proven | undefined,
    { scopes, refresh, identified }: { scopes: string[]; refresh: boolean; identified: Identified },
  ): RegistryAnswer => {
    if (!proven) throw new AppError('UNAUTHENTICATED')
    identified(proven.actor)
    if (!proven.principal) {
      const message = 'The install admin token cannot be exchanged; use it as a bearer token.'
      throw new AppError('FORBIDDEN', { message })
    }
    return answer(proven.actor, proven.principal, { scopes, refresh, untilMs: proven.expiresAtMs })
  }

  const forRefresh = (refreshToken: string, scopes: string[]): RegistryAnswer => {
    const claims = signer.read(refreshToken, system.now())
    const principal = claims?.kind === 'refresh' ? claims.principal : null
    const actor = principal && principals.actorOf(principal)
    if (!claims || !principal || !actor) throw new AppError('UNAUTHENTICATED')
    return answer(actor, principal, {
      scopes,
      refresh: false,
      refreshToken,
      untilMs: claims.expires * 1000,
    })
  }

  return {
    /**
     * GET with Basic. Less than was asked for is granted rather than refused. Never a refresh token, also where `offline_token` asks for one:
     * Docker would keep it in place of the password, which it then lacks for the Basic challenge that it insists on answering too.
     */
    getToken: async (
      clues: CallerClues,
      query: URLSearchParams,
      identified: Identified,
    ): Promise<RegistryAnswer> =>
      forProven(await auth.prove(clues), { scopes: scopesOf(query), refresh: false, identified }),

    /** POST with a form: `grant_type=password` or `refresh_token`. */
    postToken: async (
      clues: CallerClues,
      body: BodySource,
      identified: Identified,
    ): Promise<RegistryAnswer> => {
      const form = new URLSearchParams(await readForm(body, deps))
      const scopes = scopesOf(form)
      if (form.get('grant_type') === 'refresh_token')
        return forRefresh(form.get('refresh_token') ?? '', scopes)
      if (form.get('grant_type') !== 'password') {
        const details = [{ field: 'grant_type', message: 'must be password or refresh_token' }]
        throw new AppError('VALIDATION_ERROR', { details })
      }
      const { username, password } = { username: form.get('username'), password: form.get('password') }
      const basic = Buffer.from(`${username ?? ''}:${password ?? ''}`).toString('base64')
      const proven = await auth.prove({ ...clues, authorization: `Basic ${basic}` })
      return forProven(proven, { scopes, refresh: form.get('access_type') === 'offline', identified })
    },
  }
}

async function readForm(body: BodySource, deps: TokenDeps): Promise<string> {
  const pieces: Buffer[] = []
  // A copy of what is on loan.
  const keep = async (piece: Buffer, block?: SharedBlock): Promise<void> =>
    void pieces.push(block ? Buffer.from(piece) : piece)
  await takeBody(body, keep, MAX_FORM_BYTES, deps)
  return Buffer.concat(pieces).toString()
}

function scopesOf(parameters: URLSearchParams): string[] {
  const scopes = parameters.getAll('scope').flatMap((scope) => scope.split(' '))
  return scopes.filter((scope) => scope !== '').slice(0, MAX_SCOPES)
}

/** `repository:<name>:<actions>`; the name may hold colons, so the actions begin at the last one. */
export function parseScope(scope: string): { name: string; actions: RegistryAction[] } | undefined {
  const first = scope.indexOf(':')
  const last = scope.lastIndexOf(':')
  if (last <= first || !/^repository(\([a-z]+\))?$/.test(scope.slice(0, first))) return undefined
  const name = scope.slice(first + 1, last)
  const asked = scope.slice(last + 1).split(',')
  if (!isRepositoryName(name)) return undefined
  return { name, actions: REGISTRY_ACTIONS.filter((action) => asked.includes(action) || asked.includes('*')) }
}
