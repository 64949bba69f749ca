import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { DeniedInProject } from '../identity/authorize.ts'
import type { Caller, RegistryAction } from './caller.ts'
import type { CommitQueue } from './commit-queue.ts'
import type { RegistryStore, RepositoryRow } from './registry-store.ts'

/** Says to the challenge that other credentials of the same owner could do it. */
export class InsufficientScope extends Error {
  constructor() {
    super('the token does not hold the scope')
    this.name = 'InsufficientScope'
  }
}

/** The permission that each action needs in the project. */
export const PERMISSION_OF = {
  pull: 'registry.pull',
  push: 'registry.push',
  delete: 'registry.delete',
} as const satisfies Record<RegistryAction, string>

export type RepositoryAccess = ReturnType<typeof createRepositoryAccess>

/** Finds repositories for callers: what they may not see is as unknown as what does not exist. */
export function createRepositoryAccess(deps: { store: RegistryStore; queue: CommitQueue; system: System }) {
  const { store } = deps

  const refuse = (caller: Caller, action: RegistryAction, projectId: string): never => {
    const { actor } = caller.context
    const permission = PERMISSION_OF[action]
    if (caller.isSigned && actor.can(permission, projectId))
      throw new AppError('UNAUTHENTICATED', { cause: new InsufficientScope() })
    const cause = new DeniedInProject(permission, projectId)
    if (!actor.can('registry.pull', projectId)) throw new AppError('NAME_UNKNOWN', { cause })
    throw new AppError('FORBIDDEN', { permission, cause })
  }

  const split = (name: string): { project: string; path: string } => {
    const slash = name.indexOf('/')
    if (slash === -1) {
      throw new AppError('NAME_UNKNOWN', { message: 'Repositories are named <project>/<service>.' })
    }
    return { project: name.slice(0, slash), path: name.slice(slash + 1) }
  }

  /** The repository, if there is one and the caller may do that with it. */
  const find = (caller: Caller, name: string, action: RegistryAction): RepositoryRow | undefined => {
    const { project, path } = split(name)
    const found = store.find(project, path)
    const projectId = found?.project_id ?? store.findProject(project)
    if (projectId === undefined) throw new AppError('NAME_UNKNOWN')
    if (!caller.allows(action, { project_id: projectId, name })) refuse(caller, action, projectId)
    return found
  }

  return {
    find,

    /** The repository of the name. Throws NAME_UNKNOWN, FORBIDDEN, UNAUTHENTICATED (a token of too small a scope). */
    require: (caller: Caller, name: string, action: RegistryAction): RepositoryRow => {
      const found = find(caller, name, action)
      if (!found) throw new AppError('NAME_UNKNOWN')
      return found
    },

    /** Inside a transaction: whatever came while a body did, the repository is still there. Throws NAME_UNKNOWN. */
    requireStill: ({ id }: RepositoryRow): void => {
      if (!store.findById(id)) throw new AppError('NAME_UNKNOWN')
    },

    /** The repository to push to; its first push makes it, in a project that exists. */
    ensure: async (caller: Caller, name: string): Promise<RepositoryRow> => {
      const found = find(caller, name, 'push')
      if (found) return found
      const { project, path } = split(name)
      return deps.queue.commit(() => {
        const projectId = store.findProject(project)
        if (projectId === undefined) throw new AppError('NAME_UNKNOWN')
        store.ensure(projectId, path, deps.system.now())
        const made = store.find(project, path)
        if (!made) throw new AppError('NAME_UNKNOWN')
        return made
      })
    },
  }
}
