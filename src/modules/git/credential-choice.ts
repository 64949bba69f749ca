import { hostLabel, repositoryName, type RepositoryUrl } from '../../lib/repository-url.ts'
import type { GitCredentialRow } from './git-credential-schema.ts'

/**
 * The credential for a repository among those of its project: of its protocol and host, and of these the one whose path says most; among
 * equals the newest. A token is never for a host that it does not name.
 */
export function chooseCredential(
  credentials: readonly GitCredentialRow[],
  url: RepositoryUrl,
): GitCredentialRow | undefined {
  const kind = url.protocol === 'ssh' ? 'ssh_key' : 'https_token'
  const [host, name] = [hostLabel(url), repositoryName(url)]
  const fitting = credentials.filter(
    (each) =>
      each.kind === kind &&
      (each.host === host || (each.host === null && kind === 'ssh_key')) &&
      covers(each.path, name),
  )
  return fitting.toSorted((one, other) => weightOf(other) - weightOf(one) || (one.id < other.id ? 1 : -1))[0]
}

function covers(path: string | null, name: string): boolean {
  return path === null || name === path || name.startsWith(`${path}/`)
}

function weightOf({ host, path }: GitCredentialRow): number {
  return host === null ? 0 : 1 + (path?.length ?? 0)
}
