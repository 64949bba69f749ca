import type { Database } from '../../store/database.ts'
import type { Permission } from './permissions.ts'

/** A custom role. */
export interface RoleEntity {
  id: string
  name: string
  description: string
  permissions: Permission[]
  revision: number
  created_at: string
  updated_at: string
}

type RoleRow = Omit<RoleEntity, 'permissions'> & { permissions: string }

export interface RoleStore {
  insert(role: RoleEntity): void
  /** Writes name, description, permissions and the time; counts the revision up. */
  update(role: RoleEntity): void
  find(id: string): RoleEntity | undefined
  findByName(name: string): RoleEntity | undefined
  /** Newest first. */
  list(limit: number): RoleEntity[]
  count(): number
  remove(id: string): void
}

/** Custom roles; the built-in ones are in permissions.ts. */
export function createRoleStore(database: Database): RoleStore {
  const one = (row: RoleRow | undefined): RoleEntity | undefined => row && parseRow(row)
  return {
    insert: (role) => {
      database.run(
        `INSERT INTO roles (id, name, description, permissions, revision, created_at, updated_at)
         VALUES ($id, $name, $description, $permissions, $revision, $created_at, $updated_at)`,
        { ...role, permissions: JSON.stringify(role.permissions) },
      )
    },
    update: ({ id, name, description, permissions, updated_at }) => {
      database.run(
        `UPDATE roles SET name = $name, description = $description, permissions = $permissions,
           revision = revision + 1, updated_at = $updated_at WHERE id = $id`,
        { id, name, description, permissions: JSON.stringify(permissions), updated_at },
      )
    },
    find: (id) => one(database.get<RoleRow>('SELECT * FROM roles WHERE id = $id', { id })),
    findByName: (name) => one(database.get<RoleRow>('SELECT * FROM roles WHERE name = $name', { name })),
    list: (limit) =>
      database.all<RoleRow>('SELECT * FROM roles ORDER BY id DESC LIMIT $limit', { limit }).map(parseRow),
    count: () => database.get<{ count: number }>('SELECT count(*) AS count FROM roles')?.count ?? 0,
    remove: (id) => {
      database.run('DELETE FROM roles WHERE id = $id', { id })
    },
  }
}

function parseRow(row: RoleRow): RoleEntity {
  return { ...row, permissions: JSON.parse(row.permissions) as Permission[] }
}
