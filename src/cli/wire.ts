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
  Deployment,
  Domain,
  KeyRotation,
  Me,
  Member,
  MintedToken,
  Project,
  Recipient,
  Service,
  User,
  Volume,
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

export interface Repository {
  name: string
  tags: number
  manifests: number
  size_bytes: number
  pushed_at: string | null
}

export interface RegistryTag {
  name: string
  digest: string
  size_bytes: number
  updated_at: string
}

export interface CollectionReport {
  dry_run: boolean
  duration_ms: number
  scanned_blobs: number
  deleted_blobs: number
  deleted_manifests: number
  deleted_tags: number
  expired_uploads: number
  removed_files: number
  freed_bytes: number
  problems: string[]
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export function isId(text: string): boolean {
  return UUID.test(text)
}
