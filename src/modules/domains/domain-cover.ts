import { type DomainRow, isWildcard } from './domain-schema.ts'
import type { DomainStore } from './domain-store.ts'

/**
 * The proven wildcard of another project that covers this hostname and was there first, if there is one. Such a name points to this node because its
 * wildcard does, and the ingress answers every token: to take it from there needs the DNS of the name. One that was proven before the wildcard was
 * stays as it is.
 */
export function findCover(
  store: Pick<DomainStore, 'findVerified'>,
  domain: Pick<DomainRow, 'hostname' | 'project_id' | 'status' | 'verified_at'>,
): DomainRow | undefined {
  const { hostname } = domain
  if (isWildcard(hostname)) return undefined
  const cover = store.findVerified(`*${hostname.slice(hostname.indexOf('.'))}`)
  if (cover === undefined || cover.project_id === domain.project_id) return undefined
  const isOlder = domain.status === 'verified' && (domain.verified_at ?? '') < (cover.verified_at ?? '')
  return isOlder ? undefined : cover
}
