import type { BodySource } from '../../lib/body-source.ts'
import { AppError, isAppError } from '../../lib/errors.ts'
import type { Actor } from '../identity/actor.ts'
import { type Denial, isDenial, RefusedLogin } from '../identity/authorize.ts'
import type { BlobOperations } from './blob-operations.ts'
import type { Caller } from './caller.ts'
import type { ListingOperations } from './listing-operations.ts'
import type { ManifestOperations } from './manifest-operations.ts'
import { jsonAnswer, type RegistryAnswer } from './registry-answer.ts'
import { type CallerClues, contextOf, type RegistryAuth } from './registry-auth.ts'
import { parseRegistryPath, type RegistryTarget } from './registry-path.ts'
import type { RegistryRequest } from './registry-request.ts'
import type { TokenOperations } from './token-operations.ts'
import type { UploadOperations } from './upload-operations.ts'

/** A request of /v2 as it comes in. */
export interface IncomingRegistryRequest {
  readonly method: string
  /** Path and query, not decoded. */
  readonly url: string
  header(name: string): string | undefined
  readonly body: BodySource
  readonly requestId: string
  readonly clientAddress: string
}

export interface RegistryProtocolDeps {
  auth: RegistryAuth
  tokens: TokenOperations
  blobs: BlobOperations
  uploads: UploadOperations
  manifests: ManifestOperations
  listings: ListingOperations
  /** Told of every refusal that is worth keeping, for the audit log. */
  onDenied: (denial: Denial) => void
}

export interface RegistryProtocol {
  /** Answers a request of the distribution API. Throws AppErrors, which the transport puts into the specification's shape. */
  answer(request: IncomingRegistryRequest): Promise<RegistryAnswer>
  /** The scope that a token needs for the request; undefined when it is about no repository. */
  scopeOf(request: Pick<IncomingRegistryRequest, 'method' | 'url'>): string | undefined
}

/** The distribution API (OCI distribution specification 1.1), without its transport. */
export function createRegistryProtocol(deps: RegistryProtocolDeps): RegistryProtocol {
  return {
    answer: async (incoming) => {
      let caller: Identity | undefined
      try {
        return await answerIncoming(deps, incoming, (found) => (caller = found))
      } catch (error) {
        // Of a refused push nobody reads the body.
        incoming.body.discard()
        if (isAppError(error) && isWorthKeeping(error)) deps.onDenied(denialOf(incoming, caller, error))
        throw error
      }
    },
    scopeOf: ({ method, url }) => {
      const target = parseRegistryPath(splitUrl(url).path)
      if (target.kind === 'catalog') return 'registry:catalog:*'
      if (!('name' in target) || target.kind === 'bad_name') return undefined
      return `repository:${target.name}:${ACTIONS[method] ?? 'pull'}`
    },
  }
}

/** Who asks, as far as the audit log wants to know. */
type Identity = Pick<Caller, 'context'>

/** Clients begin every session without credentials, and with a token that is too small; that is no refusal worth keeping. */
function isWorthKeeping(error: AppError): boolean {
  return isDenial(error) && (error.code !== 'UNAUTHENTICATED' || error.cause instanceof RefusedLogin)
}

function denialOf(
  { method, requestId, clientAddress }: IncomingRegistryRequest,
  caller: Identity | undefined,
  error: AppError,
): Denial {
  return {
    context: caller?.context,
    request_id: requestId,
    client_address: clientAddress,
    action: `registry ${method}`,
    error,
  }
}

async function answerIncoming(
  deps: RegistryProtocolDeps,
  incoming: IncomingRegistryRequest,
  identified: (caller: Identity) => void,
): Promise<RegistryAnswer> {
  const { path, query } = splitUrl(incoming.url)
  const target = parseRegistryPath(path, incoming.header('host')?.length)
  const clues: CallerClues = {
    authorization: incoming.header('authorization'),
    requestId: incoming.requestId,
    clientAddress: incoming.clientAddress,
  }
  if (target.kind === 'token')
    return answerToken(deps.tokens, incoming, { clues, query }, (actor) =>
      identified({ context: contextOf(actor, clues) }),
    )
  const caller = await deps.auth.identify(clues)
  identified(caller)
  const request: RegistryRequest = {
    method: incoming.method,
    query,
    header: (name) => incoming.header(name),
    body: incoming.body,
    caller,
  }
  return answerTarget(deps, request, target)
}

const ACTIONS: Readonly<Record<string, string>> = {
  POST: 'pull,push',
  PATCH: 'pull,push',
  PUT: 'pull,push',
  DELETE: 'pull,delete',
}
const NO_QUERY = new URLSearchParams()

function splitUrl(url: string): { path: string; query: URLSearchParams } {
  const mark = url.indexOf('?')
  if (mark === -1) return { path: url, query: NO_QUERY }
  return { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark + 1)) }
}

function answerToken(
  tokens: TokenOperations,
  incoming: IncomingRegistryRequest,
  { clues, query }: { clues: CallerClues; query: URLSearchParams },
  identified: (actor: Actor) => void,
): Promise<RegistryAnswer> {
  if (incoming.method === 'POST') return tokens.postToken(clues, incoming.body, identified)
  if (incoming.method === 'GET') return tokens.getToken(clues, query, identified)
  throw new AppError('METHOD_NOT_ALLOWED')
}

function answerTarget(
  deps: RegistryProtocolDeps,
  request: RegistryRequest,
  target: RegistryTarget,
): Promise<RegistryAnswer> | RegistryAnswer {
  const method = request.method === 'HEAD' ? 'GET' : request.method
  switch (target.kind) {
    case 'bad_name':
      throw new AppError('NAME_INVALID')
    case 'base':
      if (method === 'GET') return jsonAnswer(200, {})
      break
    case 'catalog':
      if (method === 'GET') return deps.listings.listCatalog(request)
      break
    case 'tags':
      if (method === 'GET') return deps.listings.listTags(request, target.name)
      break
    case 'referrers':
      if (method === 'GET') return deps.listings.listReferrers(request, target.name, target.digest)
      break
    case 'manifest':
      return answerManifest(deps.manifests, request, method, target)
    case 'blob':
      if (method === 'GET') return deps.blobs.getBlob(request, target.name, target.digest)
      if (method === 'DELETE') return deps.blobs.deleteBlob(request, target.name, target.digest)
      break
    case 'uploads':
      if (method === 'POST') return deps.uploads.beginUpload(request, target.name)
      break
    case 'upload':
      return answerUpload(deps.uploads, request, target)
    default:
      throw new AppError('NOT_FOUND')
  }
  throw new AppError('METHOD_NOT_ALLOWED')
}

function answerManifest(
  manifests: ManifestOperations,
  request: RegistryRequest,
  method: string,
  { name, reference }: { name: string; reference: string },
): Promise<RegistryAnswer> {
  if (method === 'GET') return manifests.getManifest(request, name, reference)
  if (method === 'PUT') return manifests.putManifest(request, name, reference)
  if (method === 'DELETE') return manifests.deleteManifest(request, name, reference)
  throw new AppError('METHOD_NOT_ALLOWED')
}

function answerUpload(
  uploads: UploadOperations,
  request: RegistryRequest,
  { name, id }: { name: string; id: string },
): Promise<RegistryAnswer> {
  switch (request.method) {
    case 'PATCH':
      return uploads.continueUpload(request, name, id)
    case 'PUT':
      return uploads.finishUpload(request, name, id)
    case 'GET':
      return uploads.getUpload(request, name, id)
    case 'DELETE':
      return uploads.cancelUpload(request, name, id)
    default:
      throw new AppError('METHOD_NOT_ALLOWED')
  }
}
