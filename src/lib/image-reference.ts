/** An image as people name it: `postgres:17`, `ghcr.io/shop/web@sha256:...`. */
export interface ImageReference {
  /** `docker.io` when none was said; with its port. */
  host: string
  /** Whether the host was said. */
  has_host: boolean
  repository: string
  /** Null with a digest. */
  tag: string | null
  digest: string | null
}

/** What is no reference; the message says why. */
export class BadImageReference extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'BadImageReference'
  }
}

export const DEFAULT_HOST = 'docker.io'
const NAME_PART = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const NAME = new RegExp(`^${NAME_PART}(?:/${NAME_PART})*$`)
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
/** What names a manifest or blob by its content. */
export const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/
const HOST =
  /^(?:localhost|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/

/**
 * Reads a reference by the grammar of the distribution project: the first part is a host when it has a dot or a colon or is `localhost`; a
 * digest decides over a tag; without either the tag is `latest`. Throws BadImageReference.
 */
export function readImageReference(text: string): ImageReference {
  const slash = text.indexOf('/')
  const first = slash === -1 ? '' : text.slice(0, slash)
  const has_host = /[.:]/.test(first) || first === 'localhost'
  const named = has_host ? first.toLowerCase() : DEFAULT_HOST
  if (!HOST.test(named)) throw new BadImageReference(`${named} is no host`)
  const host = named === 'index.docker.io' ? DEFAULT_HOST : named
  const rest = readImagePath(has_host ? text.slice(slash + 1) : text)
  const isOfficial = host === DEFAULT_HOST && !rest.repository.includes('/')
  return { host, has_host, ...rest, repository: isOfficial ? `library/${rest.repository}` : rest.repository }
}

/** Reads what follows the host. Throws BadImageReference. */
export function readImagePath(text: string): Pick<ImageReference, 'repository' | 'tag' | 'digest'> {
  const [named = '', digest, ...more] = text.split('@')
  if (more.length > 0 || (digest !== undefined && !DIGEST.test(digest)))
    throw new BadImageReference('what follows @ must be a digest such as sha256:...')
  const colon = named.lastIndexOf(':')
  const tag = colon > named.lastIndexOf('/') ? named.slice(colon + 1) : undefined
  const repository = tag === undefined ? named : named.slice(0, colon)
  if (!NAME.test(repository) || repository.length > 255)
    throw new BadImageReference(`"${repository}" is no name of a repository`)
  if (tag !== undefined && !TAG.test(tag)) throw new BadImageReference(`"${tag}" is no tag`)
  if (digest !== undefined) return { repository, tag: null, digest }
  return { repository, tag: tag ?? 'latest', digest: null }
}

/** The shortest text that says the same in full. */
export function writeImageReference({
  host,
  repository,
  tag,
  digest,
}: Omit<ImageReference, 'has_host'>): string {
  return `${host}/${repository}${digest === null ? `:${tag}` : `@${digest}`}`
}
