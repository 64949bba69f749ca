/** What the commands read of the API's answers (api.md); the answers hold more. */

export interface Project {
  id: string
  name: string
  description?: string
  created_at: string
}

export interface Service {
  id: string
  project_id: string
  name: string
  status: string
  url: string | null
  replicas: number
  internal_port: number | null
  builder?: string
  dockerfile_path?: string | null
  target?: string | null
  build_args?: Record<string, string>
  live_deployment_id: string | null
  created_at: string
  updated_at: string
}

export interface Workload {
  service_id: string
  project_id: string
  project_name?: string
  name: string
  status: string
  replicas: number
  healthy_replicas: number
  url?: string | null
}

export interface Deployment {
  id: string
  service_id: string
  number?: number
  status: string
  step?: string | null
  reason?: string | null
  source?: { type?: string }
  created_by?: { name?: string }
  live?: boolean
  url?: string | null
  created_at: string
  finished_at?: string | null
}

/** Nothing comes after these. */
const OVER = new Set(['Healthy', 'Failed', 'Stopped', 'Inactive', 'Cancelled'])

export function isOver({ status }: Pick<Deployment, 'status'>): boolean {
  return OVER.has(status)
}

/** One line of a log, as `data` of an event or as an item of a list. */
export interface LogLine {
  ts?: string
  stream?: string
  line: string
  replica?: number | null
}

export interface Me {
  principal: {
    kind: string
    via?: string
    username: string
    token_id?: string | null
  }
  is_super_admin: boolean
  admin_initialized: boolean
  memberships: { project_id: string; project_name?: string; role: string; role_name?: string }[]
}

export interface LoginAnswer {
  token: string
  expires_at: string
  user: { username: string }
}

export interface ApiToken {
  id: string
  name: string
  prefix: string
  permissions: string[] | null
  project_ids: string[] | null
  created_at: string
  last_used_at: string | null
  expires_at: string | null
}

export interface MintedToken extends ApiToken {
  token: string
}

export interface User {
  id: string
  username: string
  is_super_admin: boolean
  created_at: string
}

export interface Member {
  user_id: string
  username: string
  role: string
  role_name?: string
  created_at: string
}

export interface AuditEvent {
  id: string
  at: string
  actor_name?: string
  action: string
  outcome?: string
  resource_kind?: string | null
  resource_id?: string | null
}

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
