import { AppError } from '../../lib/errors.ts'
import type { RepositoryRule } from './registry-schema.ts'
import type { RegistryStore, RepositoryRow } from './registry-store.ts'
import type { ProjectRules, RuleStore } from './rule-store.ts'
import { matchesPattern } from './tag-pattern.ts'

/** From here on answers to pushes carry a warning. */
const WARN_SHARE = 0.9
const NO_RULES: ProjectRules = { quota_bytes: null, rules: [], revision: 0 }

export type RegistryRules = ReturnType<typeof createRegistryRules>

/** Holds pushes to the quota and the rules of their project. */
export function createRegistryRules(deps: { rules: RuleStore; store: RegistryStore }) {
  const rulesOf = (projectId: string): ProjectRules => deps.rules.find(projectId) ?? NO_RULES

  const rulesFor = (repository: RepositoryRow): RepositoryRule[] => {
    const path = repository.name.slice(repository.name.indexOf('/') + 1)
    return rulesOf(repository.project_id).rules.filter((rule) => matchesPattern(rule.repositories, path))
  }

  const isImmutable = (repository: RepositoryRow, tag: string): boolean =>
    rulesFor(repository).some((rule) =>
      (rule.immutable_tags ?? []).some((pattern) => matchesPattern(pattern, tag)),
    )

  return {
    rulesOf,
    rulesFor,
    isImmutable,
    /** Whether a rule keeps any tags of the repository as they are. */
    hasImmutable: (repository: RepositoryRow): boolean =>
      rulesFor(repository).some((rule) => (rule.immutable_tags ?? []).length > 0),

    /**
     * Throws QUOTA_EXCEEDED unless the blob or manifest fits, which takes nothing where the project has it; near the end it answers the text of
     * a Warning header (RFC 7234, section 5.5).
     */
    requireQuota: (
      repository: RepositoryRow,
      { digest, size_bytes }: { digest: string; size_bytes: number },
    ): string | undefined => {
      const { quota_bytes: quota } = rulesOf(repository.project_id)
      if (quota === null) return undefined
      const more = deps.store.isCounted(repository, digest) ? 0 : size_bytes
      const used = deps.store.usedBytes(repository.project_id) + more
      if (more > 0 && used > quota) throw new AppError('QUOTA_EXCEEDED')
      if (used < quota * WARN_SHARE) return undefined
      return `299 - "${Math.floor((used / quota) * 100)} percent of the registry quota of the project are used"`
    },

    /** Throws TAG_IMMUTABLE when a rule keeps the tag, which is there already, as it is. */
    requireMutable: (repository: RepositoryRow, tag: string): void => {
      if (isImmutable(repository, tag)) throw new AppError('TAG_IMMUTABLE')
    },
  }
}
