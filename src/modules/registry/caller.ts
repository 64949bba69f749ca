import type { Context } from '../identity/context.ts'

export const REGISTRY_ACTIONS = ['pull', 'push', 'delete'] as const
export type RegistryAction = (typeof REGISTRY_ACTIONS)[number]

/** Where the grants of a token name repositories: the list of all of them. No repository has such a name. */
export const CATALOG = 'registry:catalog'

/** Who makes a request of /v2, known by one of the registry's ways. */
export interface Caller {
  /** Made when it is first asked for: most pulls never do. */
  readonly context: Context
  /** Whether the credentials that were shown allow the action; a signed token may allow less than its owner may. */
  allows(action: RegistryAction, repository: { project_id: string; name: string }): boolean
  /** Set when a wider token could help: the scope that the client should ask for is put into the challenge. */
  readonly isSigned: boolean
  /** Whether the credentials are good for the list of repositories. */
  readonly seesCatalog: boolean
  /** Where they may pull, as far as the credentials go: in projects (ids), or from single repositories (full names). */
  pullsFrom(): { projects: readonly string[] | 'all' } | { repositories: readonly string[] }
}
