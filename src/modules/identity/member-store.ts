import type { Database } from '../../store/database.ts'

/** Someone's role in a project. */
export interface MemberRow {
  project_id: string
  user_id: string
  /** A built-in role's name or the id of a custom role. */
  role: string
  created_at: string
}

export type NamedMember = MemberRow & { username: string }
export type NamedMembership = MemberRow & { project_name: string }

export interface MemberStore {
  put(row: MemberRow): void
  find(projectId: string, userId: string): MemberRow | undefined
  /** By name. */
  listOfProject(projectId: string, limit: number, after?: string): NamedMember[]
  listOfUser(userId: string): NamedMembership[]
  /** How many members of the project have one of the roles, without one user. */
  countWithRole(projectId: string, role: string, withoutUserId: string): number
  /** The projects in which the user is the only one with the role. */
  soleHolderOf(userId: string, role: string): string[]
  countOfRole(role: string): number
  projectExists(projectId: string): boolean
  remove(projectId: string, userId: string): void
}

/** Who has which role in which project. */
export function createMemberStore(database: Database): MemberStore {
  return {
    put: (row) => {
      database.run(
        `INSERT INTO project_members (project_id, user_id, role, created_at) VALUES ($project_id, $user_id, $role, $created_at)
         ON CONFLICT (project_id, user_id) DO UPDATE SET role = excluded.role`,
        { ...row },
      )
    },
    find: (projectId, userId) =>
      database.get<MemberRow>(
        'SELECT * FROM project_members WHERE project_id = $projectId AND user_id = $userId',
        {
          projectId,
          userId,
        },
      ),
    listOfProject: (projectId, limit, after) =>
      database.all<NamedMember>(
        `SELECT m.*, u.username FROM project_members m JOIN users u ON u.id = m.user_id
         WHERE m.project_id = $projectId AND u.username > coalesce($after, '') ORDER BY u.username LIMIT $limit`,
        { projectId, after: after ?? null, limit },
      ),
    listOfUser: (userId) =>
      database.all<NamedMembership>(
        `SELECT m.*, p.name AS project_name FROM project_members m JOIN projects p ON p.id = m.project_id
         WHERE m.user_id = $userId ORDER BY p.name`,
        { userId },
      ),
    countWithRole: (projectId, role, withoutUserId) =>
      database.get<{ count: number }>(
        `SELECT count(*) AS count FROM project_members
         WHERE project_id = $projectId AND role = $role AND user_id <> $withoutUserId`,
        { projectId, role, withoutUserId },
      )?.count ?? 0,
    soleHolderOf: (userId, role) =>
      database
        .all<{ name: string }>(
          `SELECT p.name FROM project_members m JOIN projects p ON p.id = m.project_id
           WHERE m.user_id = $userId AND m.role = $role AND NOT EXISTS (
             SELECT 1 FROM project_members o WHERE o.project_id = m.project_id AND o.role = $role AND o.user_id <> $userId)
           ORDER BY p.name`,
          { userId, role },
        )
        .map((row) => row.name),
    countOfRole: (role) =>
      database.get<{ count: number }>('SELECT count(*) AS count FROM project_members WHERE role = $role', {
        role,
      })?.count ?? 0,
    projectExists: (projectId) =>
      database.get('SELECT 1 FROM projects WHERE id = $projectId', { projectId }) !== undefined,
    remove: (projectId, userId) => {
      database.run('DELETE FROM project_members WHERE project_id = $projectId AND user_id = $userId', {
        projectId,
        userId,
      })
    },
  }
}
