/** The catalogue of named permissions: what each allows. Roles are bundles of them. */
export const PERMISSIONS = {
  'projects.read': 'See a project and its members',
  'projects.write': 'Change or delete a project',
  'members.write': 'Add and remove members of a project',
  'services.read': 'See services, replicas and their metrics',
  'services.write': 'Create, change, start, stop and delete services',
  'domains.read': 'See the domains of services and the state of their certificates',
  'domains.write': 'Attach, verify and remove domains',
  'certificates.write': 'Upload, renew, revoke and remove certificates',
  'env.read': 'Read the values of environment variables',
  'env.write': 'Change environment variables',
  'uploads.create': 'Upload sources',
  'volumes.read': 'Download the contents of volumes',
  'volumes.write': 'Restore and delete volumes, also with their service',
  'deployments.read': 'See deployments',
  'deployments.create': 'Deploy, redeploy and roll back, and arrange that pushes are deployed',
  'deployments.cancel': 'Cancel deployments',
  'logs.read': 'Read logs of services and deployments',
  'credentials.read': 'See which Git credentials and pinned host keys a project has',
  'credentials.write':
    'Add and remove credentials for Git and external registries, and forget pinned host keys',
  'registry.pull': 'Pull images and list repositories of the registry',
  'registry.push': 'Push images to the registry',
  'registry.delete': 'Delete from the registry and set the rules of its repositories',
  'audit.read': 'Read the audit events of a project',
  'tokens.mint': 'Let an API token make further API tokens',
} as const satisfies Record<string, string>

export type Permission = keyof typeof PERMISSIONS

export const PERMISSION_NAMES = Object.keys(PERMISSIONS) as readonly Permission[]

export const BUILT_IN_ROLE_NAMES = ['viewer', 'operator', 'admin'] as const
export type BuiltInRole = (typeof BUILT_IN_ROLE_NAMES)[number]

const VIEWER: readonly Permission[] = [
  'projects.read',
  'services.read',
  'domains.read',
  'deployments.read',
  'registry.pull',
]
const OPERATOR: readonly Permission[] = [
  ...VIEWER,
  'services.write',
  'domains.write',
  'certificates.write',
  'env.read',
  'env.write',
  'uploads.create',
  'volumes.read',
  'volumes.write',
  'deployments.create',
  'deployments.cancel',
  'logs.read',
  'credentials.read',
  'credentials.write',
  'registry.push',
]

/** The fixed roles: viewer < operator < admin. */
export const BUILT_IN_ROLES: Readonly<Record<BuiltInRole, readonly Permission[]>> = {
  viewer: VIEWER,
  operator: OPERATOR,
  admin: [...OPERATOR, 'projects.write', 'members.write', 'audit.read', 'tokens.mint', 'registry.delete'],
}
