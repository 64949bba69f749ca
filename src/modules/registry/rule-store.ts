import type { Database } from '../../store/database.ts'
import type { RepositoryRule } from './registry-schema.ts'

/** What a project says of its repositories. */
export interface ProjectRules {
  quota_bytes: number | null
  rules: RepositoryRule[]
  revision: number
}

export type RuleStore = ReturnType<typeof createRuleStore>

/** SQL of the registry's rules. */
export function createRuleStore(database: Database) {
  return {
    find: (projectId: string): ProjectRules | undefined => {
      const row = database.get<{ quota_bytes: number | null; rules: string; revision: number }>(
        'SELECT quota_bytes, rules, revision FROM registry_rules WHERE project_id = $projectId',
        { projectId },
      )
      return row && { ...row, rules: JSON.parse(row.rules) as RepositoryRule[] }
    },

    put: (projectId: string, rules: Omit<ProjectRules, 'revision'>, nowMs: number): void => {
      database.run(
        `INSERT INTO registry_rules (project_id, quota_bytes, rules, updated_ms) VALUES ($projectId, $quota_bytes, $rules, $nowMs)
         ON CONFLICT DO UPDATE SET quota_bytes = $quota_bytes, rules = $rules, updated_ms = $nowMs, revision = revision + 1`,
        { projectId, quota_bytes: rules.quota_bytes, rules: JSON.stringify(rules.rules), nowMs },
      )
    },

    /** The projects that have rules. */
    listProjects: (): string[] =>
      database
        .all<{ project_id: string }>('SELECT project_id FROM registry_rules ORDER BY project_id')
        .map((row) => row.project_id),
  }
}
