import type {
  Deployment,
  DeploymentLogLine,
  LoginAnswer as AnyLoginAnswer,
  ServiceLogLine,
} from '../../openapi.d.ts'

// The shapes of the API's answers, made from the schemas of its routes.
export type {
  ApiToken,
  AuditEvent,
  Certificate,
  Deployment,
  Domain,
  ExternalRegistry,
  Me,
  Member,
  MintedToken,
  Permission,
  Project,
  RequestEntry,
  Service,
  Upload,
  User,
  Webhook,
  WebhookWithSecret,
  Workload,
} from '../../openapi.d.ts'

/** Of a login without a cookie, which always answers the token. */
export type LoginAnswer = AnyLoginAnswer & { token: string }

/** Nothing comes after these. */
const OVER = new Set(['Healthy', 'Failed', 'Stopped', 'Inactive', 'Cancelled'])

export function isOver({ status }: Pick<Deployment, 'status'>): boolean {
  return OVER.has(status)
}

/** One line of a log, as `data` of an event or as an item of a list: of a deployment or of a service. */
export type LogLine = Pick<ServiceLogLine, 'line'> &
  Partial<Pick<ServiceLogLine, 'ts' | 'replica'> & Pick<DeploymentLogLine, 'stream'>>

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export function isId(text: string): boolean {
  return UUID.test(text)
}
