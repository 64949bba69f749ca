import { type Static, Type } from 'typebox'
import { EXAMPLE_ID, Id, IdInPath, Instant, nullable, strictObject } from '../../http/schema.ts'
import { PERMISSION_NAMES } from './permissions.ts'

// What a user may be called. It stands in paths of nothing, so it may look like an email address.
export const Username = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}$',
  examples: ['alice'],
  description: '1 to 63 letters, digits and . _ @ + -',
})

/** Bounded, because hashing reads all of it. */
export const NewPassword = Type.String({
  minLength: 12,
  maxLength: 256,
  description: 'At least 12 characters',
  examples: ['correct horse battery staple'],
})
const GivenPassword = Type.String({
  minLength: 1,
  maxLength: 256,
  examples: ['correct horse battery staple'],
})

export const PermissionName = Type.Enum([...PERMISSION_NAMES], { title: 'Permission' })

export const User = Type.Object(
  {
    id: Id,
    username: Type.String(),
    is_super_admin: Type.Boolean(),
    created_at: Instant,
    updated_at: Instant,
  },
  { title: 'User' },
)
export type User = Static<typeof User>

export const UserParams = strictObject({ user_id: IdInPath })
export const CreateUserBody = strictObject(
  {
    username: Username,
    password: NewPassword,
    is_super_admin: Type.Optional(Type.Boolean({ default: false })),
  },
  { title: 'CreateUserBody' },
)
export type CreateUserBody = Static<typeof CreateUserBody>
export const UpdateUserBody = strictObject(
  {
    password: Type.Optional(NewPassword),
    keep_tokens: Type.Optional(
      Type.Boolean({ description: "Together with a password: do not end the user's API tokens" }),
    ),
    is_super_admin: Type.Optional(Type.Boolean()),
  },
  {
    title: 'UpdateUserBody',
    minProperties: 1,
    examples: [{ password: 'correct horse battery staple', keep_tokens: false }],
  },
)
export type UpdateUserBody = Static<typeof UpdateUserBody>
export const DirectoryEntry = Type.Object({ id: Id, username: Type.String() }, { title: 'DirectoryEntry' })
export type DirectoryEntry = Static<typeof DirectoryEntry>

export const BootstrapBody = strictObject(
  { username: Username, password: NewPassword },
  { title: 'BootstrapBody' },
)
export type BootstrapBody = Static<typeof BootstrapBody>

// A login says nothing about which names could exist, so any text will do.
export const LoginBody = strictObject(
  {
    username: Type.String({ minLength: 1, maxLength: 256, examples: ['alice'] }),
    password: GivenPassword,
  },
  { title: 'LoginBody' },
)
export type LoginBody = Static<typeof LoginBody>
export const LoginQuery = strictObject({
  session: Type.Optional(
    Type.Enum(['bearer', 'cookie'], { default: 'bearer', description: 'How the session is kept' }),
  ),
})
export const LoginAnswer = Type.Object(
  {
    token: Type.Optional(
      Type.String({ description: 'Shown once; left out when the session is kept in the cookie' }),
    ),
    expires_at: Instant,
    user: User,
  },
  { title: 'LoginAnswer' },
)

export const Session = Type.Object(
  {
    id: Id,
    client_address: Type.String(),
    user_agent: Type.String(),
    created_at: Instant,
    last_seen_at: Instant,
    expires_at: Instant,
    current: Type.Boolean({ description: 'Whether it is the session that asks' }),
  },
  { title: 'Session' },
)
export type Session = Static<typeof Session>
export const SessionParams = strictObject({ id: IdInPath })

export const ChangePasswordBody = strictObject(
  {
    current: GivenPassword,
    new: NewPassword,
    end_tokens: Type.Optional(Type.Boolean({ description: 'Also end all of your API tokens' })),
  },
  { title: 'ChangePasswordBody' },
)
export type ChangePasswordBody = Static<typeof ChangePasswordBody>

const Membership = Type.Object(
  {
    project_id: Id,
    project_name: Type.String(),
    role: Type.String({ description: 'viewer, operator, admin, or the id of a custom role' }),
    role_name: Type.String(),
    permissions: Type.Array(PermissionName),
  },
  { title: 'Membership' },
)
export type Membership = Static<typeof Membership>

export const Me = Type.Object(
  {
    principal: Type.Object({
      kind: Type.Enum(['user', 'admin_token']),
      via: Type.Enum(['admin_token', 'session', 'cookie', 'api_token', 'system']),
      id: nullable(Id),
      username: Type.String(),
      session_id: nullable(Id),
      token_id: nullable(Id),
    }),
    is_super_admin: Type.Boolean(),
    admin_initialized: Type.Boolean(),
    memberships: Type.Array(Membership),
    permissions: Type.Array(PermissionName, { description: 'What the caller may in at least one project' }),
  },
  { title: 'Me' },
)
export type Me = Static<typeof Me>

export const ApiToken = Type.Object(
  {
    id: Id,
    user_id: Id,
    name: Type.String(),
    prefix: Type.String({ description: 'How the token begins' }),
    permissions: nullable(Type.Array(PermissionName)),
    project_ids: nullable(Type.Array(Id)),
    created_at: Instant,
    last_used_at: nullable(Instant),
    expires_at: nullable(Instant),
  },
  { title: 'ApiToken' },
)
export type ApiToken = Static<typeof ApiToken>
export const MintedToken = Type.Object(
  {
    ...ApiToken.properties,
    token: Type.String({ description: 'Shown once' }),
  },
  { title: 'MintedToken' },
)
export const TokenParams = strictObject({ token_id: IdInPath })
export const MintTokenBody = strictObject(
  {
    name: Type.String({ minLength: 1, maxLength: 100, examples: ['ci'], pattern: '^[^\\x00-\\x1f\\x7f]+$' }),
    permissions: Type.Optional(
      nullable(Type.Array(PermissionName, { minItems: 1, maxItems: 100, uniqueItems: true })),
    ),
    project_ids: Type.Optional(
      nullable(
        Type.Array(Type.String({ format: 'uuid' }), { minItems: 1, maxItems: 200, uniqueItems: true }),
      ),
    ),
    expires_at: Type.Optional(nullable(Type.String({ format: 'date-time' }))),
  },
  { title: 'MintTokenBody' },
)
export type MintTokenBody = Static<typeof MintTokenBody>

export const Member = Type.Object(
  {
    user_id: Id,
    username: Type.String(),
    role: Type.String({ description: 'viewer, operator, admin, or the id of a custom role' }),
    role_name: Type.String(),
    created_at: Instant,
  },
  { title: 'Member' },
)
export type Member = Static<typeof Member>
export const PutMemberBody = strictObject(
  {
    user_id: Type.String({ minLength: 1, maxLength: 64 }),
    role: Type.String({
      minLength: 1,
      maxLength: 64,
      description: 'viewer, operator, admin, or the id of a custom role',
    }),
  },
  { title: 'PutMemberBody' },
)
export type PutMemberBody = Static<typeof PutMemberBody>
export const MemberParams = strictObject({ id: IdInPath, user_id: IdInPath })

export const Role = Type.Object(
  {
    id: Type.String({ description: 'The name of a built-in role, else a UUIDv7' }),
    name: Type.String(),
    description: Type.String(),
    permissions: Type.Array(PermissionName),
    built_in: Type.Boolean(),
  },
  { title: 'Role' },
)
export type Role = Static<typeof Role>
const roleFields = {
  name: Type.String({ pattern: '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$', examples: ['people'] }),
  description: Type.String({ maxLength: 500, examples: ['Looks after members'] }),
  permissions: Type.Array(PermissionName, { maxItems: 100, uniqueItems: true }),
}
export const CreateRoleBody = strictObject(
  {
    name: roleFields.name,
    description: Type.Optional(roleFields.description),
    permissions: roleFields.permissions,
  },
  { title: 'CreateRoleBody' },
)
export type CreateRoleBody = Static<typeof CreateRoleBody>
export const UpdateRoleBody = strictObject(
  {
    name: Type.Optional(roleFields.name),
    description: Type.Optional(roleFields.description),
    permissions: Type.Optional(roleFields.permissions),
  },
  {
    title: 'UpdateRoleBody',
    minProperties: 1,
    examples: [{ permissions: ['projects.read', 'logs.read'] }],
  },
)
export type UpdateRoleBody = Static<typeof UpdateRoleBody>
export const PermissionEntry = Type.Object(
  { name: PermissionName, description: Type.String() },
  { title: 'PermissionEntry' },
)

export const AuthorizationMe = Type.Object(
  {
    is_super_admin: Type.Boolean(),
    permissions: Type.Array(PermissionName, { description: 'In at least one project' }),
    projects: Type.Array(Type.Object({ project_id: Id, permissions: Type.Array(PermissionName) }), {
      description: 'Empty for super-admins, who may do everything everywhere',
    }),
  },
  { title: 'Authorization' },
)

/** Either a permission (in a project, or in any), or a request of the API. */
export const CheckBody = strictObject(
  {
    permission: Type.Optional(PermissionName),
    project_id: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    method: Type.Optional(Type.Enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])),
    path: Type.Optional(Type.String({ pattern: '^/', maxLength: 1024 })),
  },
  { title: 'CheckBody', examples: [{ permission: 'services.write', project_id: EXAMPLE_ID }] },
)
export type CheckBody = Static<typeof CheckBody>
export const CheckAnswer = Type.Object(
  {
    allowed: Type.Boolean(),
    reason: nullable(Type.String({ description: 'The error code that a request would get' })),
    permission: Type.Optional(Type.String({ description: 'The permission that is missing' })),
  },
  { title: 'AuthorizationAnswer' },
)
