import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { DIGEST } from '../../lib/image-reference.ts'
import type { System } from '../../lib/system.ts'
import { answerChallenge, type UpstreamCredentials } from './upstream-auth.ts'
import { readSmall } from './upstream-body.ts'
import { UpstreamFailed } from '../../lib/upstream-failed.ts'
import { type AskUpstream } from './upstream-request.ts'

/** A manifest as its registry has it, its digest checked. */
export interface UpstreamManifest {
  digest: string
  media_type: string
  bytes: Buffer
}

/** One repository of somebody else's registry. All verbs throw UpstreamFailed. */
export interface Upstream {
  /** The digest that a tag leads to now. */
  resolve(tag: string, signal: AbortSignal): Promise<string>
  fetchManifest(digest: string, signal: AbortSignal): Promise<UpstreamManifest>
  /** A blob's bytes, not checked yet. */
  fetchBlob(digest: string, signal: AbortSignal): Promise<IncomingMessage>
}

export interface UpstreamOptions {
  ask: AskUpstream
  system: System
  /** `https://ghcr.io` */
  endpoint: URL
  repository: string
  credentials: UpstreamCredentials
}

const MANIFEST_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ')
const MAX_MANIFEST_BYTES = 8 * 1024 ** 2
const ATTEMPTS = 4
const FIRST_PAUSE_MS = 500
/** A registry that wants more patience than this is told of instead. */
const LONGEST_PAUSE_MS = 30_000

/** Speaks with one repository of a registry (OCI distribution specification), in its token service's way or with Basic. */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { ask, system, endpoint, repository, credentials } = options
  let authorization = credentials.kind === 'token' ? `Bearer ${credentials.token}` : undefined

  const send = (
    method: 'GET' | 'HEAD',
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<IncomingMessage> =>
    ask(
      {
        method,
        url: new URL(`/v2/${repository}/${path}`, endpoint),
        headers: { ...headers, ...(authorization !== undefined && { authorization }) },
      },
      signal,
    )

  /** Shows what the registry wants to see, once. */
  const sendKnown: typeof send = async (method, path, headers, signal) => {
    const answer = await send(method, path, headers, signal)
    if (answer.statusCode !== 401) return answer
    answer.destroy()
    const scope = `repository:${repository}:pull`
    const found = await answerChallenge(ask, answer, { endpoint, scope, credentials }, signal)
    if (found === undefined) throw refused()
    authorization = found
    return send(method, path, headers, signal)
  }

  const refused = (): UpstreamFailed => {
    const advice = credentials.kind === 'anonymous' ? 'it may need credentials' : 'check the credentials'
    return new UpstreamFailed(`${endpoint.host} refuses access to ${repository}: ${advice}`)
  }

  const failureOf = (answer: IncomingMessage, what: string): UpstreamFailed => {
    const status = answer.statusCode ?? 0
    if (status === 401 || status === 403) return refused()
    if (status === 404) return new UpstreamFailed(`${endpoint.host} has no ${what} of ${repository}`)
    if (status === 429)
      return new UpstreamFailed(`${endpoint.host} wants fewer requests; try again later or sign in`, {
        isPassing: true,
      })
    const isPassing = status >= 500 || status === 408
    return new UpstreamFailed(`${endpoint.host} answers ${status} for ${what} of ${repository}`, {
      isPassing,
    })
  }

  /** Asks until there is a 200, patiently where patience may help. */
  const get = async (
    method: 'GET' | 'HEAD',
    path: string,
    what: string,
    signal: AbortSignal,
  ): Promise<IncomingMessage> => {
    for (let attempt = 1; ; attempt += 1) {
      let pauseMs = FIRST_PAUSE_MS * 2 ** (attempt - 1)
      try {
        const answer = await sendKnown(method, path, { accept: MANIFEST_TYPES }, signal)
        if (answer.statusCode === 200) return answer
        answer.destroy()
        pauseMs = Math.max(pauseMs, retryAfterMs(answer, system))
        throw failureOf(answer, what)
      } catch (error) {
        const isPassing = error instanceof UpstreamFailed && error.isPassing
        if (!isPassing || attempt === ATTEMPTS || pauseMs > LONGEST_PAUSE_MS) throw error
      }
      await system.sleep(pauseMs, signal)
    }
  }

  const readManifest = async (reference: string, signal: AbortSignal): Promise<UpstreamManifest> => {
    const answer = await get('GET', `manifests/${reference}`, `image ${reference}`, signal)
    const bytes = await readSmall(answer, MAX_MANIFEST_BYTES)
    const algorithm = reference.startsWith('sha512:') ? 'sha512' : 'sha256'
    const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
    if (reference.includes(':') && reference !== digest)
      throw new UpstreamFailed(`${endpoint.host} answers with another manifest than ${reference}`)
    const media_type = answer.headers['content-type']?.split(';', 1)[0]?.trim() ?? ''
    return { digest, media_type, bytes }
  }

  return {
    resolve: async (tag, signal) => {
      const answer = await get('HEAD', `manifests/${tag}`, `image ${tag}`, signal)
      answer.resume()
      const told = answer.headers['docker-content-digest']
      if (typeof told === 'string' && DIGEST.test(told)) return told
      return (await readManifest(tag, signal)).digest
    },
    fetchManifest: readManifest,
    fetchBlob: (digest, signal) => get('GET', `blobs/${digest}`, `blob ${digest}`, signal),
  }
}

/** Seconds or a date (RFC 9110, section 10.2.3). */
function retryAfterMs(answer: IncomingMessage, system: System): number {
  const text = answer.headers['retry-after'] ?? ''
  if (/^\d{1,6}$/.test(text)) return Number(text) * 1000
  const at = Date.parse(text)
  return Number.isNaN(at) ? 0 : Math.max(0, at - system.now())
}
