import type { Server } from '../../http/server.ts'
import type { IdentityOperations } from './identity-operations.ts'
import { authorizationRoutes } from './authorization-routes.ts'
import { memberRoutes } from './member-routes.ts'
import { roleRoutes } from './role-routes.ts'
import { sessionRoutes } from './session-routes.ts'
import { tokenRoutes } from './token-routes.ts'
import { userRoutes } from './user-routes.ts'

/** Everything under api.md's "Identity" but the audit log. */
export function identityRoutes(server: Server, operations: IdentityOperations): void {
  userRoutes(server, operations.users)
  sessionRoutes(server, operations.sessions)
  memberRoutes(server, operations.members)
  tokenRoutes(server, operations.tokens)
  roleRoutes(server, operations.roles)
  authorizationRoutes(server)
}
