/** What a path under /v2 stands for (OCI distribution specification 1.1, "Endpoints"). */
export type RegistryTarget =
  | { readonly kind: 'base' | 'token' | 'catalog' }
  | { readonly kind: 'tags' | 'uploads'; readonly name: string }
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: string }
  | { readonly kind: 'blob' | 'referrers'; readonly name: string; readonly digest: string }
  | { readonly kind: 'upload'; readonly name: string; readonly id: string }
  | { readonly kind: 'bad_name'; readonly name: string }
  | { readonly kind: 'unknown' }

const NAME = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const MAX_NAME_LENGTH = 255
const DIGEST_LENGTHS: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 }

export const DIGEST_ALGORITHMS = ['sha256', 'sha512'] as const
export type DigestAlgorithm = (typeof DIGEST_ALGORITHMS)[number]

/** Whether the text is a repository name; clients put the host and a slash before it and stop at 255 characters for all of that. */
export function isRepositoryName(name: string, hostLength = 0): boolean {
  const before = hostLength === 0 ? 0 : hostLength + 1
  return before + name.length <= MAX_NAME_LENGTH && NAME.test(name)
}

export function isTag(text: string): boolean {
  return TAG.test(text)
}

/** Whether the text is a digest of an algorithm that we know, in its canonical form. */
export function isDigest(text: string): boolean {
  const algorithm = algorithmOf(text)
  const encoded = text.slice(algorithm.length + 1)
  return encoded.length === DIGEST_LENGTHS[algorithm] && /^[0-9a-f]+$/.test(encoded)
}

/** The part before the colon; of a text that `isDigest` accepted, a known algorithm. */
export function algorithmOf(digest: string): DigestAlgorithm {
  return digest.slice(0, Math.max(0, digest.indexOf(':'))) as DigestAlgorithm
}

/**
 * Says what a raw path (without the query) stands for. Read from the right, because a name may hold `manifests`, `blobs` and the like
 * as parts of its own.
 */
export function parseRegistryPath(rawPath: string, hostLength = 0): RegistryTarget {
  const path = decode(rawPath)
  if (path === '/v2' || path === '/v2/') return { kind: 'base' }
  if (path === '/v2/token') return { kind: 'token' }
  if (path === '/v2/_catalog') return { kind: 'catalog' }
  if (path === undefined || !path.startsWith('/v2/')) return { kind: 'unknown' }
  const target = parseParts(path.slice('/v2/'.length).split('/'))
  if (!('name' in target) || isRepositoryName(target.name, hostLength)) return target
  return { kind: 'bad_name', name: target.name }
}

function parseParts(parts: readonly string[]): RegistryTarget {
  const [third = '', second = '', last = ''] = [parts.at(-3), parts.at(-2), parts.at(-1)]
  const name = (end: number): string => parts.slice(0, end).join('/')
  if (second === 'tags' && last === 'list') return { kind: 'tags', name: name(-2) }
  if (second === 'manifests') return { kind: 'manifest', name: name(-2), reference: last }
  if (third === 'blobs' && second === 'uploads')
    return last === '' ? { kind: 'uploads', name: name(-3) } : { kind: 'upload', name: name(-3), id: last }
  if (second === 'blobs')
    return last === 'uploads'
      ? { kind: 'uploads', name: name(-2) }
      : { kind: 'blob', name: name(-2), digest: last }
  if (second === 'referrers') return { kind: 'referrers', name: name(-2), digest: last }
  return { kind: 'unknown' }
}

function decode(path: string): string | undefined {
  if (!path.includes('%')) return path
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}
