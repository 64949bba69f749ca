// Made from openapi.json by `npm run openapi`: change the schemas of the routes, not this file.

export type AddDomainBody = {
  /** Such as shop.example.com or *.example.com; capitals, a trailing dot and international names are put into their plain form. */
  hostname: string
  /** As long as the domain has no other certificate, it answers to HTTPS with one that the node signs itself, which no client trusts unasked. */
  self_signed?: boolean
}

export type ApiToken = {
  /** UUIDv7 */
  id: string
  /** UUIDv7 */
  user_id: string
  name: string
  /** How the token begins */
  prefix: string
  permissions: Permission[] | null
  project_ids: string[] | null
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  last_used_at: string | null
  /** RFC 3339 UTC with milliseconds */
  expires_at: string | null
}

export type AuditEvent = {
  sequence: number
  /** UUIDv7 */
  id: string
  /** RFC 3339 UTC with milliseconds */
  at: string
  actor_kind: 'admin_token' | 'session' | 'cookie' | 'api_token' | 'system' | 'unknown'
  /** UUIDv7 */
  actor_id: string | null
  actor_name: string
  /** UUIDv7 */
  token_id: string | null
  /** An operationId */
  action: string
  outcome: 'done' | 'denied' | 'failed'
  resource_kind: string | null
  resource_id: string | null
  /** UUIDv7 */
  project_id: string | null
  client_address: string | null
  request_id: string | null
  details: Record<string, unknown>
  /** SHA-256, hexadecimal */
  previous_hash: string
  /** SHA-256, hexadecimal */
  hash: string
}

export type AuditVerification = {
  chain_ok: boolean
  /** How many were looked at */
  events: number
  head_sequence: number
  /** SHA-256, hexadecimal */
  head_hash: string
  /** The first sequence number that does not hold */
  broken_at: number | null
  reason: string | null
}

export type Authorization = {
  is_super_admin: boolean
  /** In at least one project */
  permissions: Permission[]
  /** Empty for super-admins, who may do everything everywhere */
  projects: ({
    /** UUIDv7 */
    project_id: string
    permissions: Permission[]
  })[]
}

export type AuthorizationAnswer = {
  allowed: boolean
  /** The error code that a request would get */
  reason: string | null
  /** The permission that is missing */
  permission?: string
}

export type Autoscale = {
  min_replicas: number
  max_replicas: number
  target_cpu_pct: number
  /** Of the memory limit; null: memory does not count. */
  target_mem_pct: number | null
  scale_down_cooldown_s: number
  idle_timeout_s: number
} | null

/** Null (the default): as many replicas as `replicas` says. */
export type AutoscaleInput = {
  /** Default 1. 0: the service sleeps when it is idle, and a request through the ingress wakes it; calls of its neighbours in the project do not. */
  min_replicas?: number
  max_replicas: number
  /** Of the processor limit. Default 70. */
  target_cpu_pct?: number
  /** Of the memory limit; null (the default): memory does not count. */
  target_mem_pct?: number | null
  /** How long less must have been enough before replicas go. Default 300. */
  scale_down_cooldown_s?: number
  /** With min_replicas 0: how long without request and connection. Default 900. */
  idle_timeout_s?: number
} | null

/** The one that takes the place of this self-signed one as soon as it is there. */
export type AwaitedCertificate = {
  /** UUIDv7 */
  id: string
  status: 'pending' | 'active' | 'expired' | 'failed'
  last_error: string | null
  /** RFC 3339 UTC with milliseconds */
  next_attempt_at: string | null
} | null

export type BootstrapBody = {
  /** 1 to 63 letters, digits and . _ @ + - */
  username: string
  /** At least 12 characters */
  password: string
}

export type Canary = {
  deployment_id: string
  /** Of the requests. */
  percent: number
  /** How many of it ought to run. */
  replicas: number
  healthy_replicas: number
}

export type Certificate = {
  /** UUIDv7 */
  id: string
  /** Null: it is of the node itself. */
  project_id: string | null
  /** acme: obtained from an authority; upload: sent by someone; self_signed: the node made it itself, so that no client trusts it unasked. */
  source: 'acme' | 'upload' | 'self_signed'
  /** pending: being obtained for the first time; failed: the same, and it did not work yet; active and expired: there is one. */
  status: 'pending' | 'active' | 'expired' | 'failed'
  hostnames: string[]
  /** The hostnames that it answers to now. */
  serves: string[]
  issuer: string | null
  serial: string | null
  /** SHA-256, hexadecimal */
  fingerprint: string | null
  /** RFC 3339 UTC with milliseconds */
  not_before: string | null
  /** RFC 3339 UTC with milliseconds */
  not_after: string | null
  /** What is under way: order, authorize, finalize or download. */
  step: string | null
  stage: 'staging' | 'production'
  /** Attempts in a row that did not work. */
  failures: number
  last_error: string | null
  /** RFC 3339 UTC with milliseconds */
  last_error_at: string | null
  /** When it is obtained, made, tried again or renewed; null: never by itself. */
  next_attempt_at: string | null
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  updated_at: string
}

export type CertificateSummary = {
  /** UUIDv7 */
  id: string
  /** acme: obtained from an authority; upload: sent by someone; self_signed: the node made it itself, so that no client trusts it unasked. */
  source: 'acme' | 'upload' | 'self_signed'
  status: 'pending' | 'active' | 'expired' | 'failed'
  /** RFC 3339 UTC with milliseconds */
  not_after: string | null
  last_error: string | null
  /** RFC 3339 UTC with milliseconds */
  next_attempt_at: string | null
  obtaining: AwaitedCertificate
} | null

export type ChangePasswordBody = {
  current: string
  /** At least 12 characters */
  new: string
  /** Also end all of your API tokens */
  end_tokens?: boolean
}

export type CheckBody = {
  permission?: Permission
  project_id?: string
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path?: string
}

export type CreateDeploymentBody = {
  service_id: string
  /** Deploy although deployments are frozen; for super-admins only. */
  override_freeze?: boolean
  /** Run it beside the live release for so many percent of the requests, until it is promoted or ended. */
  canary_percent?: number
  source: {
    type: "upload"
    upload_id: string
    dockerfile_path?: string
    context_path?: string
  } | {
    type: "redeploy"
  } | {
    type: "rollback"
    deployment_id?: string
  } | {
    type: "git"
    /** A branch, a tag, a commit or refs/...; default: the service's. */
    git_ref?: string
    /** This very commit, whatever git_ref leads to by then. */
    commit?: string
  } | {
    type: "external_image"
    /** In full; default: the service's. */
    image?: string
  }
}

export type CreateGitCredentialBody = {
  /** Left out with generate: a key is what can be made. */
  kind?: 'ssh_key' | 'https_token'
  /** Makes a new Ed25519 key here; its public half is answered, the other never. */
  generate?: boolean
  /** For people. */
  name?: string
  /** The only host that it is shown to. Required for a token; without it, a key is for every ssh host. */
  host?: string
  /** Only for repositories at or below this path of the host, such as acme or acme/shop. */
  path?: string
  /** Goes along with the token; most hosts do not care. Default x-access-token. */
  username?: string
  /** An access token for https. */
  token?: string
  /** A private key of OpenSSH (or PEM) without a passphrase. */
  private_key?: string
}

export type CreateProjectBody = {
  /** Lower-case letters, digits and inner hyphens, at most 40 characters. */
  name: string
  description?: string
  /** Environment variables. Names are letters, digits and underscores; at most 500, values of at most 64 KiB, 512 KiB in all. */
  shared_env?: Record<string, unknown> | unknown[]
  /** What is null or left out comes from the project, then from the node. */
  default_resource_limits?: {
    /** CPU in thousandths of a core. */
    cpu_millis?: number | null
    /** Memory. A replica that takes more is killed. */
    memory_bytes?: number | null
    /** Processes and threads. */
    pids?: number | null
  } | null
}

export type CreateRoleBody = {
  name: string
  description?: string
  permissions: Permission[]
}

export type CreateServiceBody = {
  /** Lower-case letters, digits and inner hyphens, at most 40 characters. */
  name: string
  /** May be left out by who may create services in the project default: it is made there then. */
  project_id?: string
  /** Where deployments come from. {"type":"upload"}, {"type":"git","repo_url":...}, or {"type":"external_image"} with image, or with registry_id and image_ref. */
  source?: {
    type: 'upload' | 'git' | 'external_image'
    repo_url?: string
    git_ref?: string | null
    dockerfile_path?: string
    context_path?: string
    submodules?: boolean
    image?: string
    registry_id?: string
    image_ref?: string
    /** Of an image in the registry of this node, named by a tag: a push of the tag deploys it. */
    auto_deploy?: boolean
  }
  /** auto (the default): the Dockerfile, else package.json, else static files. */
  builder?: 'auto' | 'dockerfile' | 'node' | 'static'
  /** Inside the context; null (the default): Dockerfile. */
  dockerfile_path?: string | null
  /** Folder of the source that is built; null (the default): its root. */
  context_path?: string | null
  /** Stage of the Dockerfile; null (the default): the last. */
  target?: string | null
  /** A file of variables in the source (lines of NAME=value, .json or .yaml) that SOPS encrypted for the key of `GET /v1/secrets/recipient`. Its values come before those of the project and after those of the service. */
  env_file?: string | null
  /** Build arguments of the Dockerfile, named by letters, digits and underscores. They are readable by everyone who sees the service: no place for secrets. */
  build_args?: Record<string, string>
  /** Names of its variables that the build may read with `RUN --mount=type=secret,id=NAME` in a Dockerfile; the image keeps nothing of them. Needs BuildKit. Null (the default): none. */
  build_secrets?: string[] | null
  /** Where the service listens (default 8080), given to it as PORT; null: it listens on nothing. */
  internal_port?: number | null
  /** Replaces the image's command; null (the default): the image's own. */
  command?: string[] | null
  autoscale?: AutoscaleInput
  /** Default 1. */
  replicas?: number
  health_check?: HealthCheckInput
  /** What is null or left out comes from the project, then from the node. */
  resource_limits?: {
    /** CPU in thousandths of a core. */
    cpu_millis?: number | null
    /** Memory. A replica that takes more is killed. */
    memory_bytes?: number | null
    /** Processes and threads. */
    pids?: number | null
  } | null
  /** What happens to a replica that exits. Default always. */
  restart?: 'always' | 'on_failure' | 'never'
  /** Time between SIGTERM and SIGKILL. Default 10. */
  stop_grace_seconds?: number
  /** Time between leaving the routes and SIGTERM, at the least. Default 0. */
  pre_stop_seconds?: number
  /** Nothing can be written but /tmp and volumes. Default false. */
  read_only?: boolean
  /** Runs once in the new image, with its variables, before anything of it gets requests; a failure ends the deployment. Not run by rollbacks. */
  release_command?: string[] | null
  /** How long the release command may take. Default 600. */
  release_timeout_seconds?: number
  /** How long a release is watched once it is live; when it fails its probes the release before it comes back. Default 0. */
  bake_seconds?: number
  /** Environment variables. Names are letters, digits and underscores; at most 500, values of at most 64 KiB, 512 KiB in all. */
  env?: Record<string, unknown> | unknown[]
  /** Named volumes of the service, kept over deployments. A service that writes into one has one replica, and is replaced stop-first: requests wait meanwhile. Left out or null: they stay as they are. */
  volumes?: VolumeMountInput[] | null
  /** Whether certificates are obtained for its domains. Default true. */
  tls_enabled?: boolean
  ingress?: IngressInput
  /** The hostnames that it is to have: new ones are claimed, absent ones removed. Left out or null: they stay as they are. */
  domains?: string[] | null
}

export type CreateUserBody = {
  /** 1 to 63 letters, digits and . _ @ + - */
  username: string
  /** At least 12 characters */
  password: string
  is_super_admin?: boolean
}

export type CreateWebhookBody = {
  name?: string
  enabled?: boolean
  /** A secret of your own; left out, one is made. */
  secret?: string
  /** Branches that are deployed, such as main or release/*; null (the default): the one that the service deploys. */
  branches?: string[] | null
  /** Tags that are deployed, such as v*; none by default. */
  tags?: string[]
  /** Deploys only when a file was added, changed or removed that matches, such as web/** or !docs/**. */
  paths?: string[]
  /** Whether [skip ci], [skip deploy] and their like are obeyed. Default true. */
  skip_markers?: boolean
}

export type Deployment = {
  id: string
  service_id: string
  project_id: string
  /** Counts the deployments of the service from 1. */
  number: number
  status: 'Pending' | 'Building' | 'Starting' | 'Healthy' | 'Failed' | 'Stopped' | 'Inactive' | 'Cancelled'
  /** What is under way or next; null when it is over. */
  step: 'fetch' | 'build' | 'publish' | 'release_command' | 'start' | 'check' | 'route' | 'retire' | null
  /** Why it failed or was cancelled. */
  reason: string | null
  source: {
    type: string
    upload_id?: string
    sha256?: string
    size_bytes?: number
    repo_url?: string
    git_ref?: string | null
    /** The commit that was asked for. */
    commit?: string | null
    submodules?: boolean
    image?: string
    registry_id?: string | null
    deployment_id?: string
    number?: number
  }
  artifact: {
    image: string
    /** Of the image's manifest; the image id in the engine when it is in no registry. */
    digest: string
  } | null
  commit: {
    sha: string
    ref: string | null
    author: string | null
    message: string | null
  } | null
  /** Of a redeployment of an image by its tag; null when it was not looked at, or in vain. */
  tag: {
    image: string
    /** Where it led when this deployment began. */
    digest: string
    /** That is not the image of this deployment: deploy the image, not the release, to take it. */
    moved: boolean
  } | null
  trigger: {
    kind: 'user' | 'webhook' | 'push' | 'auto'
    id?: string
  }
  created_by: {
    kind: string
    user_id: string | null
    token_id: string | null
    name: string
  }
  /** The share of the requests that it began with as a canary; null: it was to become live. What holds now stands on the service. */
  canary_percent: number | null
  /** Whether it is what the service runs now. */
  live: boolean
  /** Where its service answers; null when that listens on no port. */
  url: string | null
  steps: DeploymentStep[]
  created_at: string
  updated_at: string
  /** When it became live. */
  routed_at: string | null
  finished_at: string | null
}

export type DeploymentLogLine = {
  /** Rises by one with each line; the id to resume from. */
  seq: number
  /** RFC 3339 UTC with milliseconds */
  ts: string
  stream: 'status' | 'stdout' | 'stderr'
  /** The step that wrote it */
  step: string | null
  /** Secrets that Berth knows are masked. */
  line: string
}

export type DeploymentStep = {
  step: 'fetch' | 'build' | 'publish' | 'release_command' | 'start' | 'check' | 'route' | 'retire'
  status: 'running' | 'done' | 'failed' | 'skipped' | 'cancelled'
  attempts: number
  started_at: string
  finished_at: string | null
  duration_ms: number | null
}

export type DirectoryEntry = {
  /** UUIDv7 */
  id: string
  username: string
}

export type Domain = {
  /** UUIDv7 */
  id: string
  /** UUIDv7 */
  project_id: string
  /** UUIDv7 */
  service_id: string
  hostname: string
  status: 'pending' | 'verified' | 'failed'
  challenge: DomainChallenge
  /** Why the last check did not succeed. */
  reason_code: 'no_dns_record' | 'dns_unavailable' | 'internal_address' | 'connection_refused' | 'timed_out' | 'unreachable' | 'redirected' | 'wrong_status' | 'wrong_body' | 'no_txt_record' | 'wrong_txt_record' | 'hook_failed' | 'taken' | null
  /** The same in words, with what to do. */
  reason: string | null
  /** RFC 3339 UTC with milliseconds */
  checked_at: string | null
  /** RFC 3339 UTC with milliseconds */
  next_check_at: string
  /** RFC 3339 UTC with milliseconds */
  verified_at: string | null
  /** A verified domain whose checks fail since then. */
  failing_since: string | null
  /** When a claim that is not proven is removed. */
  expires_at: string | null
  /** As long as the domain has no other certificate, it answers to HTTPS with one that the node signs itself, which no client trusts unasked. */
  self_signed: boolean
  certificate: CertificateSummary
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  updated_at: string
}

export type DomainChallenge = {
  /** http: the hostname answers at url with the token; dns: a TXT record holds the token. */
  type: 'http' | 'dns'
  token: string
  path: string | null
  /** What is fetched, of type http. Berth itself answers it once the name points here. */
  url: string | null
  /** The TXT record that is looked up, for a wildcard, and for a hostname that a wildcard of another project covers. */
  dns_name: string | null
}

/** A failure */
export type Error = {
  /** A stable code */
  error: 'VALIDATION_ERROR' | 'REDACTED_VALUE' | 'BAD_REQUEST' | 'BAD_JSON' | 'BAD_ARCHIVE' | 'UNAUTHENTICATED' | 'FORBIDDEN' | 'SESSION_REQUIRED' | 'ORIGIN_REFUSED' | 'NOT_FOUND' | 'METHOD_NOT_ALLOWED' | 'REQUEST_TIMEOUT' | 'CONFLICT' | 'NAME_TAKEN' | 'DOMAIN_TAKEN' | 'ALREADY_INITIALIZED' | 'LAST_ADMIN' | 'NOT_EMPTY' | 'DEPLOYMENT_OVER' | 'NOTHING_TO_DEPLOY' | 'UPLOAD_USED' | 'IDEMPOTENCY_MISMATCH' | 'IDEMPOTENCY_IN_PROGRESS' | 'PRECONDITION_FAILED' | 'PAYLOAD_TOO_LARGE' | 'UNSUPPORTED_MEDIA_TYPE' | 'POLICY_REFUSED' | 'DEPLOYS_FROZEN' | 'GIT_FAILED' | 'HEADERS_TOO_LARGE' | 'RATE_LIMITED' | 'INTERNAL' | 'RUNTIME_UNAVAILABLE' | 'STARTING' | 'BUSY' | 'DISK_FULL' | 'BLOB_UNKNOWN' | 'BLOB_UPLOAD_INVALID' | 'BLOB_UPLOAD_UNKNOWN' | 'BLOB_CORRUPT' | 'DIGEST_INVALID' | 'MANIFEST_BLOB_UNKNOWN' | 'MANIFEST_INVALID' | 'MANIFEST_UNKNOWN' | 'NAME_INVALID' | 'NAME_UNKNOWN' | 'SIZE_INVALID' | 'TAG_INVALID' | 'TAG_IMMUTABLE' | 'IN_USE' | 'RANGE_INVALID' | 'QUOTA_EXCEEDED'
  /** For people */
  message: string
  details?: ({
    field?: string
    message: string
  })[]
  /** The permission that is missing */
  permission?: string
  /** Also in the X-Request-Id header and in the log */
  request_id: string
}

export type ExternalRegistry = {
  id: string
  project_id: string
  name: string
  endpoint: string
  auth_kind: 'anonymous' | 'basic' | 'token' | 'ecr_token' | 'gar_token'
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  updated_at: string
}

export type ExternalRegistryBody = {
  /** Unique in the project. */
  name: string
  /** Where it answers: ghcr.io, or https://registry.example.com:5000. Plain http:// is for hosts on loopback only. */
  endpoint: string
  /** basic: username and password. token: a bearer token, or one that the token service takes for it. ecr_token and gar_token: what aws ecr get-login-password and gcloud auth print-access-token answer. */
  auth_kind: 'anonymous' | 'basic' | 'token' | 'ecr_token' | 'gar_token'
  /** For basic. */
  username?: string
  /** For basic. Sealed, never read back. */
  password?: string
  /** For the kinds of token. Sealed, never read back. */
  token?: string
}

export type Freeze = {
  /** Whether deployments are refused. */
  frozen: boolean
  reason: string | null
  created_by: string | null
  /** RFC 3339 UTC with milliseconds */
  created_at: string | null
}

export type FreezeBody = {
  /** Told to everyone whose deployment is refused. */
  reason: string
}

export type GitCredential = {
  /** UUIDv7 */
  id: string
  /** UUIDv7 */
  project_id: string
  kind: 'ssh_key' | 'https_token'
  name: string
  /** The only host that it is shown to; null: every ssh host. */
  host: string | null
  /** Only for repositories at or below it; null: all of the host. */
  path: string | null
  username: string | null
  /** To be added to the repository as a deploy key. */
  public_key: string | null
  /** Of the public key. */
  fingerprint: string | null
  created_by: {
    kind: string
    name: string
  }
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  last_used_at: string | null
}

export type GitHostKey = {
  /** UUIDv7 */
  id: string
  /** UUIDv7 */
  project_id: string
  host: string
  /** Such as ssh-ed25519. */
  type: string
  /** As ssh-keygen -l shows it. */
  fingerprint: string
  /** As it stands in known_hosts. */
  public_key: string
  /** RFC 3339 UTC with milliseconds */
  created_at: string
}

export type Health = {
  status: "ok"
  ok: boolean
}

export type HealthCheck = {
  /** Asked with GET; null: a TCP connection is enough. */
  path: string | null
  timeout_seconds: number
  interval_ms: number
  statuses: string
  successes: number
  stays_up_seconds: number
  live_interval_seconds: number
  live_failures: number
}

export type HealthCheckInput = {
  /** Asked with GET; null (the default): a TCP connection is enough. */
  path?: string | null
  /** How long a new replica may take to become healthy. Default 60. */
  timeout_seconds?: number
  /** Pause between probes. Default 500. */
  interval_ms?: number
  /** Codes and ranges that count as good, separated by commas. Default 200-399. */
  statuses?: string
  /** Good probes in a row that are needed. Default 2. */
  successes?: number
  /** Without a port: how long a replica must have run to be healthy. Default 5. */
  stays_up_seconds?: number
  /** Pause between probes of a replica that is well; 0: none. Default 10. */
  live_interval_seconds?: number
  /** Bad probes in a row after which a replica gets no requests and is replaced. Default 3. */
  live_failures?: number
}

/** What happens to requests before the service gets them. */
export type Ingress = {
  https_redirect: boolean
  canonical: string | null
  redirects: ({
    path: string
    exact: boolean
    to: string
    status: number
  })[]
  basic_auth: {
    realm: string
    users: ({
      username: string
    })[]
  } | null
  request_headers: {
    set: Record<string, string>
    remove: string[]
  } | null
  response_headers: {
    set: Record<string, string>
    remove: string[]
  } | null
  paths: ({
    prefix: string
    service: string
    strip: boolean
  })[]
  max_body_bytes: number | null
  allow: string[]
  deny: string[]
  maintenance: {
    message: string
    retry_after_seconds: number
  } | null
  sticky: boolean
}

export type IngressInput = {
  /** Send http on to https where there is a certificate. Default true. */
  https_redirect?: boolean
  /** Of a domain that is attached with and without www., the one that requests are sent on to. */
  canonical?: 'www' | 'apex' | null
  redirects?: ({
    /** This path and what is below it; the rest of the path and the query go along. */
    path: string
    /** Only this very path. Default false. */
    exact?: boolean
    /** An http(s) URL or a path. */
    to: string
    /** Default 308. */
    status?: 301 | 302 | 303 | 307 | 308
  })[]
  basic_auth?: {
    realm?: string
    users: ({
      username: string
      /** Stored as a salted hash and never answered. Left out: it stays. */
      password?: string
    })[]
  } | null
  request_headers?: {
    set?: Record<string, string>
    remove?: string[]
  } | null
  response_headers?: {
    set?: Record<string, string>
    remove?: string[]
  } | null
  paths?: ({
    /** Requests for this path and what is below it go to another service of the project. */
    prefix: string
    /** Its name. */
    service: string
    /** Whether the prefix is taken off. Default false. */
    strip?: boolean
  })[]
  max_body_bytes?: number | null
  /** When there are any, only these. */
  allow?: string[]
  /** Not these, whatever allow says. */
  deny?: string[]
  maintenance?: {
    message?: string
    retry_after_seconds?: number
  } | null
  /** Whether a client keeps its replica, by a cookie. Default false. */
  sticky?: boolean
} | null

export type IngressRoute = {
  hostname: string
  /** `<project>/<service>` */
  label: string
  /** UUIDv7 */
  service_id: string
  /** Of the table that has it; rises with every change */
  table_version: number
  /** The release of some of the upstreams that gets so many percent of the requests */
  canary?: {
    /** UUIDv7 */
    deployment_id: string
    percent: number
  }
  /** Replicas that may get new requests; none: the ingress answers 503 */
  upstreams: ({
    /** The container's name */
    id: string
    address: string
    port: number
    /** UUIDv7 */
    deployment_id: string
    /** Under way now, over all ingress processes */
    requests: number
    /** Open upgraded connections (WebSocket) */
    upgraded: number
  })[]
}

export type KeyRotation = {
  /** UUIDv7 */
  id: string
  status: 'running' | 'finished'
  /** An age public key */
  from_recipient: string
  /** An age public key */
  to_recipient: string | null
  /** Documents that were sealed anew so far. */
  resealed: number
  /** Documents that could not be opened. An old key that one of them names is kept. */
  unreadable: number
  created_by: string
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  finished_at: string | null
}

export type LoginAnswer = {
  /** Shown once; left out when the session is kept in the cookie */
  token?: string
  /** RFC 3339 UTC with milliseconds */
  expires_at: string
  user: User
}

export type LoginBody = {
  username: string
  password: string
}

export type Me = {
  principal: {
    kind: 'user' | 'admin_token'
    via: 'admin_token' | 'session' | 'cookie' | 'api_token' | 'system'
    /** UUIDv7 */
    id: string | null
    username: string
    /** UUIDv7 */
    session_id: string | null
    /** UUIDv7 */
    token_id: string | null
  }
  is_super_admin: boolean
  admin_initialized: boolean
  memberships: Membership[]
  /** What the caller may in at least one project */
  permissions: Permission[]
}

export type Member = {
  /** UUIDv7 */
  user_id: string
  username: string
  /** viewer, operator, admin, or the id of a custom role */
  role: string
  role_name: string
  /** RFC 3339 UTC with milliseconds */
  created_at: string
}

export type Membership = {
  /** UUIDv7 */
  project_id: string
  project_name: string
  /** viewer, operator, admin, or the id of a custom role */
  role: string
  role_name: string
  permissions: Permission[]
}

export type MintTokenBody = {
  name: string
  permissions?: Permission[] | null
  project_ids?: string[] | null
  expires_at?: string | null
}

export type MintedToken = {
  /** UUIDv7 */
  id: string
  /** UUIDv7 */
  user_id: string
  name: string
  /** How the token begins */
  prefix: string
  permissions: Permission[] | null
  project_ids: string[] | null
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  last_used_at: string | null
  /** RFC 3339 UTC with milliseconds */
  expires_at: string | null
  /** Shown once */
  token: string
}

export type Node = {
  name: string
  /** Berth's version */
  version: string
  control_domain: string | null
  os: string
  kernel: string
  /** Null while the container engine cannot be reached */
  engine: {
    version: string
    api_version: string
    cgroup: string
  } | null
  cpu: {
    cores: number
    /** Since the last time someone asked; null the first time */
    used_percent: number | null
  }
  memory: {
    total_bytes: number
    available_bytes: number
  }
  /** Over 1, 5 and 15 minutes */
  load: number[]
  disk: {
    total_bytes: number
    free_bytes: number
  }
}

export type PatchEnvBody = {
  /** Environment variables. Names are letters, digits and underscores; at most 500, values of at most 64 KiB, 512 KiB in all. */
  set?: Record<string, unknown> | unknown[]
  unset?: string[]
}

export type PatchExternalRegistryBody = {
  /** Unique in the project. */
  name?: string
  /** Where it answers: ghcr.io, or https://registry.example.com:5000. Plain http:// is for hosts on loopback only. */
  endpoint?: string
  /** basic: username and password. token: a bearer token, or one that the token service takes for it. ecr_token and gar_token: what aws ecr get-login-password and gcloud auth print-access-token answer. */
  auth_kind?: 'anonymous' | 'basic' | 'token' | 'ecr_token' | 'gar_token'
  /** For basic. */
  username?: string
  /** For basic. Sealed, never read back. */
  password?: string
  /** For the kinds of token. Sealed, never read back. */
  token?: string
}

export type PatchServiceBody = {
  /** Lower-case letters, digits and inner hyphens, at most 40 characters. */
  name?: string
  /** Where deployments come from. {"type":"upload"}, {"type":"git","repo_url":...}, or {"type":"external_image"} with image, or with registry_id and image_ref. */
  source?: {
    type: 'upload' | 'git' | 'external_image'
    repo_url?: string
    git_ref?: string | null
    dockerfile_path?: string
    context_path?: string
    submodules?: boolean
    image?: string
    registry_id?: string
    image_ref?: string
    /** Of an image in the registry of this node, named by a tag: a push of the tag deploys it. */
    auto_deploy?: boolean
  }
  /** auto (the default): the Dockerfile, else package.json, else static files. */
  builder?: 'auto' | 'dockerfile' | 'node' | 'static'
  /** Inside the context; null (the default): Dockerfile. */
  dockerfile_path?: string | null
  /** Folder of the source that is built; null (the default): its root. */
  context_path?: string | null
  /** Stage of the Dockerfile; null (the default): the last. */
  target?: string | null
  /** A file of variables in the source (lines of NAME=value, .json or .yaml) that SOPS encrypted for the key of `GET /v1/secrets/recipient`. Its values come before those of the project and after those of the service. */
  env_file?: string | null
  /** Build arguments of the Dockerfile, named by letters, digits and underscores. They are readable by everyone who sees the service: no place for secrets. */
  build_args?: Record<string, string>
  /** Names of its variables that the build may read with `RUN --mount=type=secret,id=NAME` in a Dockerfile; the image keeps nothing of them. Needs BuildKit. Null (the default): none. */
  build_secrets?: string[] | null
  /** Where the service listens (default 8080), given to it as PORT; null: it listens on nothing. */
  internal_port?: number | null
  /** Replaces the image's command; null (the default): the image's own. */
  command?: string[] | null
  autoscale?: AutoscaleInput
  /** Default 1. */
  replicas?: number
  health_check?: HealthCheckInput
  /** What is null or left out comes from the project, then from the node. */
  resource_limits?: {
    /** CPU in thousandths of a core. */
    cpu_millis?: number | null
    /** Memory. A replica that takes more is killed. */
    memory_bytes?: number | null
    /** Processes and threads. */
    pids?: number | null
  } | null
  /** What happens to a replica that exits. Default always. */
  restart?: 'always' | 'on_failure' | 'never'
  /** Time between SIGTERM and SIGKILL. Default 10. */
  stop_grace_seconds?: number
  /** Time between leaving the routes and SIGTERM, at the least. Default 0. */
  pre_stop_seconds?: number
  /** Nothing can be written but /tmp and volumes. Default false. */
  read_only?: boolean
  /** Runs once in the new image, with its variables, before anything of it gets requests; a failure ends the deployment. Not run by rollbacks. */
  release_command?: string[] | null
  /** How long the release command may take. Default 600. */
  release_timeout_seconds?: number
  /** How long a release is watched once it is live; when it fails its probes the release before it comes back. Default 0. */
  bake_seconds?: number
  /** Environment variables. Names are letters, digits and underscores; at most 500, values of at most 64 KiB, 512 KiB in all. */
  env?: Record<string, unknown> | unknown[]
  /** Named volumes of the service, kept over deployments. A service that writes into one has one replica, and is replaced stop-first: requests wait meanwhile. Left out or null: they stay as they are. */
  volumes?: VolumeMountInput[] | null
  /** Whether certificates are obtained for its domains. Default true. */
  tls_enabled?: boolean
  ingress?: IngressInput
  /** The hostnames that it is to have: new ones are claimed, absent ones removed. Left out or null: they stay as they are. */
  domains?: string[] | null
}

export type PatchWebhookBody = {
  name?: string
  enabled?: boolean
  /** Branches that are deployed, such as main or release/*; null (the default): the one that the service deploys. */
  branches?: string[] | null
  /** Tags that are deployed, such as v*; none by default. */
  tags?: string[]
  /** Deploys only when a file was added, changed or removed that matches, such as web/** or !docs/**. */
  paths?: string[]
  /** Whether [skip ci], [skip deploy] and their like are obeyed. Default true. */
  skip_markers?: boolean
}

export type Permission = 'projects.read' | 'projects.write' | 'members.write' | 'services.read' | 'services.write' | 'domains.read' | 'domains.write' | 'certificates.write' | 'env.read' | 'env.write' | 'uploads.create' | 'volumes.read' | 'volumes.write' | 'deployments.read' | 'deployments.create' | 'deployments.cancel' | 'logs.read' | 'credentials.read' | 'credentials.write' | 'registry.pull' | 'registry.push' | 'registry.delete' | 'audit.read' | 'tokens.mint'

export type PermissionEntry = {
  name: Permission
  description: string
}

export type Project = {
  /** UUIDv7 */
  id: string
  name: string
  description: string
  /** Values by name. Without the permission env.read every value reads ***redacted***. */
  shared_env: Record<string, string>
  /** Only what is set here; null when everything is inherited. */
  default_resource_limits: {
    /** CPU in thousandths of a core. */
    cpu_millis?: number
    /** Memory. A replica that takes more is killed. */
    memory_bytes?: number
    /** Processes and threads. */
    pids?: number
  } | null
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  updated_at: string
}

export type PutMemberBody = {
  user_id: string
  /** viewer, operator, admin, or the id of a custom role */
  role: string
}

export type Readiness = {
  status: 'ready' | 'not_ready'
  checks: Record<string, 'ok' | 'failed'>
}

export type Recipient = {
  /** An age public key */
  recipient: string
  /** Public keys of the configuration whose owners can open everything too. */
  recovery_recipients: string[]
}

export type ReplaceProjectBody = {
  /** Lower-case letters, digits and inner hyphens, at most 40 characters. */
  name?: string
  description?: string
  /** Environment variables. Names are letters, digits and underscores; at most 500, values of at most 64 KiB, 512 KiB in all. */
  shared_env?: Record<string, unknown> | unknown[]
  /** What is null or left out comes from the project, then from the node. */
  default_resource_limits?: {
    /** CPU in thousandths of a core. */
    cpu_millis?: number | null
    /** Memory. A replica that takes more is killed. */
    memory_bytes?: number | null
    /** Processes and threads. */
    pids?: number | null
  } | null
}

export type ReplaceServiceBody = {
  /** Lower-case letters, digits and inner hyphens, at most 40 characters. */
  name: string
  /** Where deployments come from. {"type":"upload"}, {"type":"git","repo_url":...}, or {"type":"external_image"} with image, or with registry_id and image_ref. */
  source?: {
    type: 'upload' | 'git' | 'external_image'
    repo_url?: string
    git_ref?: string | null
    dockerfile_path?: string
    context_path?: string
    submodules?: boolean
    image?: string
    registry_id?: string
    image_ref?: string
    /** Of an image in the registry of this node, named by a tag: a push of the tag deploys it. */
    auto_deploy?: boolean
  }
  /** auto (the default): the Dockerfile, else package.json, else static files. */
  builder?: 'auto' | 'dockerfile' | 'node' | 'static'
  /** Inside the context; null (the default): Dockerfile. */
  dockerfile_path?: string | null
  /** Folder of the source that is built; null (the default): its root. */
  context_path?: string | null
  /** Stage of the Dockerfile; null (the default): the last. */
  target?: string | null
  /** A file of variables in the source (lines of NAME=value, .json or .yaml) that SOPS encrypted for the key of `GET /v1/secrets/recipient`. Its values come before those of the project and after those of the service. */
  env_file?: string | null
  /** Build arguments of the Dockerfile, named by letters, digits and underscores. They are readable by everyone who sees the service: no place for secrets. */
  build_args?: Record<string, string>
  /** Names of its variables that the build may read with `RUN --mount=type=secret,id=NAME` in a Dockerfile; the image keeps nothing of them. Needs BuildKit. Null (the default): none. */
  build_secrets?: string[] | null
  /** Where the service listens (default 8080), given to it as PORT; null: it listens on nothing. */
  internal_port?: number | null
  /** Replaces the image's command; null (the default): the image's own. */
  command?: string[] | null
  autoscale?: AutoscaleInput
  /** Default 1. */
  replicas?: number
  health_check?: HealthCheckInput
  /** What is null or left out comes from the project, then from the node. */
  resource_limits?: {
    /** CPU in thousandths of a core. */
    cpu_millis?: number | null
    /** Memory. A replica that takes more is killed. */
    memory_bytes?: number | null
    /** Processes and threads. */
    pids?: number | null
  } | null
  /** What happens to a replica that exits. Default always. */
  restart?: 'always' | 'on_failure' | 'never'
  /** Time between SIGTERM and SIGKILL. Default 10. */
  stop_grace_seconds?: number
  /** Time between leaving the routes and SIGTERM, at the least. Default 0. */
  pre_stop_seconds?: number
  /** Nothing can be written but /tmp and volumes. Default false. */
  read_only?: boolean
  /** Runs once in the new image, with its variables, before anything of it gets requests; a failure ends the deployment. Not run by rollbacks. */
  release_command?: string[] | null
  /** How long the release command may take. Default 600. */
  release_timeout_seconds?: number
  /** How long a release is watched once it is live; when it fails its probes the release before it comes back. Default 0. */
  bake_seconds?: number
  /** Environment variables. Names are letters, digits and underscores; at most 500, values of at most 64 KiB, 512 KiB in all. */
  env?: Record<string, unknown> | unknown[]
  /** Named volumes of the service, kept over deployments. A service that writes into one has one replica, and is replaced stop-first: requests wait meanwhile. Left out or null: they stay as they are. */
  volumes?: VolumeMountInput[] | null
  /** Whether certificates are obtained for its domains. Default true. */
  tls_enabled?: boolean
  ingress?: IngressInput
  /** The hostnames that it is to have: new ones are claimed, absent ones removed. Left out or null: they stay as they are. */
  domains?: string[] | null
}

export type RequestEntry = {
  /** Where it stands in the log; rises with every entry. */
  id: string
  /** RFC 3339 UTC with milliseconds */
  ts: string
  /** The X-Request-Id that the application got. */
  request_id: string
  method: string
  hostname: string
  /** Without its query, at most 512 characters. */
  path: string
  /** 499: the client left before it was answered. */
  status: number
  /** Of the body of the answer. */
  bytes: number
  /** From the request until the end of the answer; of a WebSocket until it was open. */
  duration_ms: number
  /** Until the application began to answer; null: it did not. */
  upstream_ms: number | null
  /** The release that answered; null: none was asked. */
  deployment_id: string | null
  /** The name of its container. */
  replica: string | null
  client_address: string
}

export type RevokeCertificateBody = {
  /** Default unspecified. */
  reason?: 'unspecified' | 'key_compromise' | 'superseded' | 'cessation'
}

export type Role = {
  /** The name of a built-in role, else a UUIDv7 */
  id: string
  name: string
  description: string
  permissions: Permission[]
  built_in: boolean
}

export type RollbackServiceBody = {
  deployment_id?: string
}

export type RotateWebhookSecretBody = {
  /** A secret of your own; left out, one is made. */
  secret?: string
}

export type ScaleServiceBody = {
  replicas: number
}

export type Service = {
  id: string
  project_id: string
  name: string
  source: ServiceSource
  builder: 'auto' | 'dockerfile' | 'node' | 'static'
  /** Inside the context; null: Dockerfile. */
  dockerfile_path: string | null
  /** Folder of the source that is built; null: its root. */
  context_path: string | null
  /** Stage of the Dockerfile; null: the last. */
  target: string | null
  build_args: Record<string, string>
  /** A file of variables in the source that SOPS encrypted for this node. */
  env_file: string | null
  /** Names of variables whose values the build may read. */
  build_secrets: string[]
  /** Where the service listens; null: nowhere. */
  internal_port: number | null
  command: string[] | null
  /** How many ought to run; with autoscale what Berth chose last. */
  replicas: number
  autoscale: Autoscale
  health_check: HealthCheck
  /** Only what is set here; null when everything is inherited. */
  resource_limits: {
    /** CPU in thousandths of a core. */
    cpu_millis?: number
    /** Memory. A replica that takes more is killed. */
    memory_bytes?: number
    /** Processes and threads. */
    pids?: number
  } | null
  /** Values by name. Without the permission env.read every value reads ***redacted***. */
  env: Record<string, string>
  restart: 'always' | 'on_failure' | 'never'
  stop_grace_seconds: number
  pre_stop_seconds: number
  read_only: boolean
  release_command: string[] | null
  release_timeout_seconds: number
  bake_seconds: number
  volumes: VolumeMount[]
  /** The hostnames attached to it, proven or not; see /v1/services/{id}/domains. */
  domains: string[]
  /** Whether certificates are obtained for its domains. */
  tls_enabled: boolean
  ingress: Ingress
  status: 'Running' | 'Degraded' | 'Deploying' | 'CrashLoop' | 'Sleeping' | 'Stopped' | 'New'
  /** Of a Degraded service or one in a CrashLoop: what is wrong with a replica, as far as it is known. Of a New one: why its last deployment failed. */
  status_reason: string | null
  /** Where it answers: https where its name has a certificate; null when it listens on no port. */
  url: string | null
  /** For people: what is allowed and may yet surprise them, such as the limits of sleep. */
  notes: string[]
  /** The release that runs now. */
  live_deployment_id: string | null
  /** The release that runs beside the live one for a share of the requests; null: there is none. */
  canary: {
    deployment_id: string
    /** Of the requests. */
    percent: number
    /** How many of it ought to run. */
    replicas: number
    healthy_replicas: number
  } | null
  created_at: string
  updated_at: string
}

export type ServiceLogLine = {
  /** Rises by one with each line; the id to resume from. */
  seq: number
  /** As the container engine stamped it, with nanoseconds */
  ts: string
  stream: 'stdout' | 'stderr'
  replica: number
  deployment_id: string
  /** Secrets that Berth knows are masked. */
  line: string
}

export type ServiceSource = {
  type: 'upload' | 'git' | 'external_image'
  image?: string
  registry_id?: string
  image_ref?: string
  auto_deploy?: boolean
  repo_url?: string
  /** A branch, a tag, a commit or refs/...; null: the default branch. */
  git_ref?: string | null
  submodules?: boolean
  dockerfile_path?: string
  context_path?: string
}

export type Session = {
  /** UUIDv7 */
  id: string
  client_address: string
  user_agent: string
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  last_seen_at: string
  /** RFC 3339 UTC with milliseconds */
  expires_at: string
  /** Whether it is the session that asks */
  current: boolean
}

export type SetCanaryBody = {
  percent: number
}

export type UpdateDomainBody = {
  /** As long as the domain has no other certificate, it answers to HTTPS with one that the node signs itself, which no client trusts unasked. */
  self_signed?: boolean
}

export type UpdateRoleBody = {
  name?: string
  description?: string
  permissions?: Permission[]
}

export type UpdateUserBody = {
  /** At least 12 characters */
  password?: string
  /** Together with a password: do not end the user's API tokens */
  keep_tokens?: boolean
  is_super_admin?: boolean
}

export type Upload = {
  /** UUIDv7 */
  upload_id: string
  /** UUIDv7 */
  service_id: string
  format: 'tar' | 'tar.gz' | 'tar.zst'
  /** As it was sent */
  size_bytes: number
  /** Of all files in it */
  unpacked_bytes: number
  /** Files, links and folders in it */
  entries: number
  /** Of the body as it was sent, in hexadecimal */
  sha256: string
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  expires_at: string
}

export type UploadCertificateBody = {
  /** Whose domains it is for. Null: for the control domain. */
  project_id: string | null
  /** PEM: the certificate, and behind it those that lead to a known authority. */
  certificate: string
  /** PEM, without a pass phrase. It is sealed and never read back. */
  private_key: string
}

export type User = {
  /** UUIDv7 */
  id: string
  username: string
  is_super_admin: boolean
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  updated_at: string
}

export type Volume = {
  name: string
  /** Where new replicas have it; null: the service does not name it any more. */
  mount_path: string | null
  read_only: boolean | null
  /** Named by the service, or by a release that runs, is being deployed, or comes back if the one in its bake time fails. */
  in_use: boolean
  /** On the disk, at most a minute old; null: not known, or not there yet. */
  size_bytes: number | null
  /** The engine does not have it any more. Nothing starts with it until a backup is restored, or it is deleted to begin with an empty one. */
  lost: boolean
  /** RFC 3339 UTC with milliseconds */
  created_at: string | null
  /** RFC 3339 UTC with milliseconds */
  restored_at: string | null
}

export type VolumeMount = {
  name: string
  mount_path: string
  read_only: boolean
}

export type VolumeMountInput = {
  name: string
  mount_path: string
  /** Default false. */
  read_only?: boolean
}

export type Webhook = {
  /** UUIDv7 */
  id: string
  /** UUIDv7 */
  service_id: string
  name: string
  enabled: boolean
  branches: string[] | null
  tags: string[]
  paths: string[]
  skip_markers: boolean
  /** Where the forge sends to, on this API's address. */
  path: string
  /** The same under the control domain; null when the node has none: then it is `path` under whatever address of this API the forge reaches. */
  url: string | null
  created_by: {
    kind: string
    name: string
  }
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  updated_at: string
}

export type WebhookDelivery = {
  /** UUIDv7 */
  id: string
  /** UUIDv7 */
  webhook_id: string
  /** As the forge counts it. */
  delivery_key: string
  provider: 'github' | 'gitlab' | 'gitea'
  event: string
  ref: string | null
  commit: string | null
  author: string | null
  /** First line of the newest commit. */
  message: string | null
  outcome: 'pending' | 'deployed' | 'skipped' | 'failed'
  /** Why it was skipped or failed. */
  reason: string | null
  /** UUIDv7 */
  deployment_id: string | null
  /** UUIDv7 */
  replays_id: string | null
  /** RFC 3339 UTC with milliseconds */
  received_at: string
  /** RFC 3339 UTC with milliseconds */
  finished_at: string | null
}

export type WebhookReceipt = {
  /** UUIDv7 */
  id: string
  outcome: 'pending' | 'deployed' | 'skipped' | 'failed'
  reason: string | null
  /** It had arrived before; nothing was done again. */
  duplicate: boolean
}

export type WebhookWithSecret = {
  /** UUIDv7 */
  id: string
  /** UUIDv7 */
  service_id: string
  name: string
  enabled: boolean
  branches: string[] | null
  tags: string[]
  paths: string[]
  skip_markers: boolean
  /** Where the forge sends to, on this API's address. */
  path: string
  /** The same under the control domain; null when the node has none: then it is `path` under whatever address of this API the forge reaches. */
  url: string | null
  created_by: {
    kind: string
    name: string
  }
  /** RFC 3339 UTC with milliseconds */
  created_at: string
  /** RFC 3339 UTC with milliseconds */
  updated_at: string
  /** Shown this once. */
  secret: string
}

export type WorkerStatus = {
  name: string
  runs: number
  failures: number
  running: boolean
  last_run_at: string | null
  last_duration_ms: number | null
  last_error: string | null
}

export type Workload = {
  service_id: string
  project_id: string
  project_name: string
  name: string
  status: 'Running' | 'Degraded' | 'Deploying' | 'CrashLoop' | 'Sleeping' | 'Stopped' | 'New'
  /** Of a Degraded service or one in a CrashLoop: what is wrong with a replica, as far as it is known. Of a New one: why its last deployment failed. */
  status_reason: string | null
  /** How many ought to run. */
  replicas: number
  healthy_replicas: number
  /** Where it answers; null when it listens on no port. */
  url: string | null
}

/** By operationId. */
export interface Operations {
  /** Answer the key authorization of an order that is being checked (RFC 8555, section 8.3), when the request's Host is its hostname */
  getAcmeChallenge: {
    method: 'GET'
    path: '/.well-known/acme-challenge/{token}'
    params: { token: string }
    query: Record<never, never>
    body: undefined
    answer: string
  }
  /** Answer the proof of a hostname, when the request's Host is that hostname */
  getDomainChallenge: {
    method: 'GET'
    path: '/.well-known/denia-challenge/{token}'
    params: { token: string }
    query: Record<never, never>
    body: undefined
    answer: string
  }
  /** Whether the daemon runs */
  readHealth: {
    method: 'GET'
    path: '/healthz'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: Health
  }
  /** Whether every part works */
  readReadiness: {
    method: 'GET'
    path: '/readyz'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: Readiness
  }
  /** List your API tokens */
  listTokens: {
    method: 'GET'
    path: '/v1/api-tokens'
    params: Record<never, never>
    query: { limit?: number; cursor?: string; everyone?: boolean }
    body: undefined
    answer: ApiToken[]
  }
  /** Make an API token; it is shown once */
  mintToken: {
    method: 'POST'
    path: '/v1/api-tokens'
    params: Record<never, never>
    query: Record<never, never>
    body: MintTokenBody
    answer: MintedToken
  }
  /** Revoke an API token and what it minted */
  revokeToken: {
    method: 'DELETE'
    path: '/v1/api-tokens/{token_id}'
    params: { token_id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** List audit events of your projects (super-admins: all), newest first */
  listAuditEvents: {
    method: 'GET'
    path: '/v1/audit-events'
    params: Record<never, never>
    query: { limit?: number; cursor?: string; actor?: string; action?: string; resource?: string; project_id?: string; since?: string; until?: string }
    body: undefined
    answer: AuditEvent[]
  }
  /** Download audit events as JSON lines, oldest first; the last line has their count and says whether the chain holds */
  exportAuditEvents: {
    method: 'GET'
    path: '/v1/audit-events/export'
    params: Record<never, never>
    query: { actor?: string; action?: string; resource?: string; project_id?: string; since?: string; until?: string }
    body: undefined
    answer: string
  }
  /** Compute every hash of the audit log anew */
  verifyAuditEvents: {
    method: 'POST'
    path: '/v1/audit-events/verify'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: AuditVerification
  }
  /** Begin a session */
  login: {
    method: 'POST'
    path: '/v1/auth/login'
    params: Record<never, never>
    query: { session?: 'bearer' | 'cookie' }
    body: LoginBody
    answer: LoginAnswer
  }
  /** End this session */
  logout: {
    method: 'POST'
    path: '/v1/auth/logout'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** List your sessions */
  listSessions: {
    method: 'GET'
    path: '/v1/auth/sessions'
    params: Record<never, never>
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: Session[]
  }
  /** End all your sessions */
  endSessions: {
    method: 'DELETE'
    path: '/v1/auth/sessions'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** End one of your sessions */
  endSession: {
    method: 'DELETE'
    path: '/v1/auth/sessions/{id}'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** Ask whether you have a permission, or whether a request of yours would be let in */
  checkAuthorization: {
    method: 'POST'
    path: '/v1/authorization/check'
    params: Record<never, never>
    query: Record<never, never>
    body: CheckBody
    answer: AuthorizationAnswer
  }
  /** Read what you may, by project */
  readAuthorization: {
    method: 'GET'
    path: '/v1/authorization/me'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: Authorization
  }
  /** Make the first administrator, with the install admin token */
  bootstrap: {
    method: 'POST'
    path: '/v1/bootstrap'
    params: Record<never, never>
    query: Record<never, never>
    body: BootstrapBody
    answer: User
  }
  /** List the certificates that you may see, newest first */
  listCertificates: {
    method: 'GET'
    path: '/v1/certificates'
    params: Record<never, never>
    query: { limit?: number; cursor?: string; project_id?: string }
    body: undefined
    answer: Certificate[]
  }
  /** Upload a certificate with its key; it is served at once, before one that Berth obtained */
  uploadCertificate: {
    method: 'POST'
    path: '/v1/certificates'
    params: Record<never, never>
    query: Record<never, never>
    body: UploadCertificateBody
    answer: Certificate
  }
  /** Read a certificate: what it is for, until when, what is under way and what went wrong last */
  getCertificate: {
    method: 'GET'
    path: '/v1/certificates/{certificate_id}'
    params: { certificate_id: string }
    query: Record<never, never>
    body: undefined
    answer: Certificate
  }
  /** Remove an uploaded certificate; one that Berth obtained goes with its domain */
  deleteCertificate: {
    method: 'DELETE'
    path: '/v1/certificates/{certificate_id}'
    params: { certificate_id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** Have a certificate obtained anew now */
  renewCertificate: {
    method: 'POST'
    path: '/v1/certificates/{certificate_id}/renew'
    params: { certificate_id: string }
    query: Record<never, never>
    body: undefined
    answer: Certificate
  }
  /** Revoke a certificate at its authority; it is served no longer, and another one is obtained */
  revokeCertificate: {
    method: 'POST'
    path: '/v1/certificates/{certificate_id}/revoke'
    params: { certificate_id: string }
    query: Record<never, never>
    body: RevokeCertificateBody
    answer: Certificate
  }
  /** Deploy an upload, a commit of the repository, the live release again, or an earlier release */
  createDeployment: {
    method: 'POST'
    path: '/v1/deployments'
    params: Record<never, never>
    query: Record<never, never>
    body: CreateDeploymentBody
    answer: Deployment
  }
  /** Show a deployment and how far it is */
  getDeployment: {
    method: 'GET'
    path: '/v1/deployments/{id}'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: Deployment
  }
  /** Stop a deployment that is not live yet */
  cancelDeployment: {
    method: 'POST'
    path: '/v1/deployments/{id}/cancel'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: Deployment
  }
  /** The lines of a deployment from the first on; the Link header leads to later ones */
  readDeploymentLog: {
    method: 'GET'
    path: '/v1/deployments/{id}/logs'
    params: { id: string }
    query: { limit?: number; since?: string; cursor?: string }
    body: undefined
    answer: DeploymentLogLine[]
  }
  /** The lines of a deployment from the first on, as they come, until it is over (SSE) */
  followDeploymentLog: {
    method: 'GET'
    path: '/v1/deployments/{id}/logs/stream'
    params: { id: string }
    query: { since?: string; format?: 'json' | 'text' }
    body: undefined
    answer: string
  }
  /** Follow the changes that you may see, as server-sent events */
  followEvents: {
    method: 'GET'
    path: '/v1/events'
    params: Record<never, never>
    query: { since?: string; project_id?: string; format?: 'json' | 'text' }
    body: undefined
    answer: string
  }
  /** Where GitHub, GitLab, Gitea and Forgejo send pushes to */
  receiveWebhook: {
    method: 'POST'
    path: '/v1/hooks/{webhook_id}'
    params: { webhook_id: string }
    query: Record<never, never>
    body: ReadableStream | Uint8Array
    answer: WebhookReceipt
  }
  /** List the routes that the ingress serves now, by hostname */
  listIngressRoutes: {
    method: 'GET'
    path: '/v1/ingress/routes'
    params: Record<never, never>
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: IngressRoute[]
  }
  /** Read what a berth.toml may hold, as JSON Schema */
  readManifestSchema: {
    method: 'GET'
    path: '/v1/manifest-schema.json'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: Record<string, unknown>
  }
  /** Read who you are, where you belong and what you may */
  getMe: {
    method: 'GET'
    path: '/v1/me'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: Me
  }
  /** Change your password; your other sessions end, your API tokens only if you say so */
  changePassword: {
    method: 'PUT'
    path: '/v1/me/password'
    params: Record<never, never>
    query: Record<never, never>
    body: ChangePasswordBody
    answer: undefined
  }
  /** Read what this machine is */
  readNode: {
    method: 'GET'
    path: '/v1/node'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: Node
  }
  /** Read whether and why deployments of the node are refused */
  getNodeFreeze: {
    method: 'GET'
    path: '/v1/node/freeze'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: Freeze
  }
  /** Refuse deployments of the node, for a reason; rollbacks are let in */
  freezeNode: {
    method: 'PUT'
    path: '/v1/node/freeze'
    params: Record<never, never>
    query: Record<never, never>
    body: FreezeBody
    answer: Freeze
  }
  /** Let deployments of the node in again */
  unfreezeNode: {
    method: 'DELETE'
    path: '/v1/node/freeze'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** Read this description */
  readOpenApi: {
    method: 'GET'
    path: '/v1/openapi.json'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: Record<string, unknown>
  }
  /** List all permissions, by name */
  listPermissions: {
    method: 'GET'
    path: '/v1/permissions'
    params: Record<never, never>
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: PermissionEntry[]
  }
  /** List the projects that you may see, newest first; values of shared_env are redacted in lists */
  listProjects: {
    method: 'GET'
    path: '/v1/projects'
    params: Record<never, never>
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: Project[]
  }
  /** Create a project */
  createProject: {
    method: 'POST'
    path: '/v1/projects'
    params: Record<never, never>
    query: Record<never, never>
    body: CreateProjectBody
    answer: Project
  }
  /** Read a project */
  getProject: {
    method: 'GET'
    path: '/v1/projects/{id}'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: Project
  }
  /** Replace the settings of a project; name and shared_env stay as they are when left out */
  replaceProject: {
    method: 'PUT'
    path: '/v1/projects/{id}'
    params: { id: string }
    query: Record<never, never>
    body: ReplaceProjectBody
    answer: Project
  }
  /** Delete a project that is empty */
  deleteProject: {
    method: 'DELETE'
    path: '/v1/projects/{id}'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** List a project's keys and tokens for Git repositories, newest first; what is secret is never read back */
  listGitCredentials: {
    method: 'GET'
    path: '/v1/projects/{id}/credentials/git'
    params: { id: string }
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: GitCredential[]
  }
  /** Store a key or a token for Git repositories, or make a key and answer its public half */
  createGitCredential: {
    method: 'POST'
    path: '/v1/projects/{id}/credentials/git'
    params: { id: string }
    query: Record<never, never>
    body: CreateGitCredentialBody
    answer: GitCredential
  }
  /** Delete all credentials of a project for Git repositories */
  deleteGitCredentials: {
    method: 'DELETE'
    path: '/v1/projects/{id}/credentials/git'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** Read a credential for Git repositories, without what is secret */
  getGitCredential: {
    method: 'GET'
    path: '/v1/projects/{id}/credentials/git/{credential_id}'
    params: { id: string; credential_id: string }
    query: Record<never, never>
    body: undefined
    answer: GitCredential
  }
  /** Delete a credential for Git repositories */
  deleteGitCredential: {
    method: 'DELETE'
    path: '/v1/projects/{id}/credentials/git/{credential_id}'
    params: { id: string; credential_id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** Read whether and why deployments of a project are refused */
  getProjectFreeze: {
    method: 'GET'
    path: '/v1/projects/{id}/freeze'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: Freeze
  }
  /** Refuse deployments of a project, for a reason; rollbacks are let in */
  freezeProject: {
    method: 'PUT'
    path: '/v1/projects/{id}/freeze'
    params: { id: string }
    query: Record<never, never>
    body: FreezeBody
    answer: Freeze
  }
  /** Let deployments of a project in again */
  unfreezeProject: {
    method: 'DELETE'
    path: '/v1/projects/{id}/freeze'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** List the keys of ssh hosts that the project has pinned, newest first */
  listGitHostKeys: {
    method: 'GET'
    path: '/v1/projects/{id}/git-host-keys'
    params: { id: string }
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: GitHostKey[]
  }
  /** Forget the pinned key of an ssh host: the next connection pins the key that it shows then */
  deleteGitHostKey: {
    method: 'DELETE'
    path: '/v1/projects/{id}/git-host-keys/{host_key_id}'
    params: { id: string; host_key_id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** List the members of a project, by name */
  listMembers: {
    method: 'GET'
    path: '/v1/projects/{id}/members'
    params: { id: string }
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: Member[]
  }
  /** Add a member (201) or change their role (200) */
  putMember: {
    method: 'POST'
    path: '/v1/projects/{id}/members'
    params: { id: string }
    query: Record<never, never>
    body: PutMemberBody
    answer: Member
  }
  /** Remove a member */
  removeMember: {
    method: 'DELETE'
    path: '/v1/projects/{id}/members/{user_id}'
    params: { id: string; user_id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** List a project's external registries, newest first; what is shown to them is never read back */
  listExternalRegistries: {
    method: 'GET'
    path: '/v1/projects/{id}/registries'
    params: { id: string }
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: ExternalRegistry[]
  }
  /** Add an external registry with what it is shown */
  createExternalRegistry: {
    method: 'POST'
    path: '/v1/projects/{id}/registries'
    params: { id: string }
    query: Record<never, never>
    body: ExternalRegistryBody
    answer: ExternalRegistry
  }
  /** Read an external registry */
  getExternalRegistry: {
    method: 'GET'
    path: '/v1/projects/{id}/registries/{registry_id}'
    params: { id: string; registry_id: string }
    query: Record<never, never>
    body: undefined
    answer: ExternalRegistry
  }
  /** Replace an external registry, what it is shown too */
  replaceExternalRegistry: {
    method: 'PUT'
    path: '/v1/projects/{id}/registries/{registry_id}'
    params: { id: string; registry_id: string }
    query: Record<never, never>
    body: ExternalRegistryBody
    answer: ExternalRegistry
  }
  /** Change an external registry; another endpoint or auth_kind wants what it is shown anew */
  updateExternalRegistry: {
    method: 'PATCH'
    path: '/v1/projects/{id}/registries/{registry_id}'
    params: { id: string; registry_id: string }
    query: Record<never, never>
    body: PatchExternalRegistryBody
    answer: ExternalRegistry
  }
  /** Remove an external registry; refused while it is the source of a service */
  deleteExternalRegistry: {
    method: 'DELETE'
    path: '/v1/projects/{id}/registries/{registry_id}'
    params: { id: string; registry_id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** Quota, immutable tags and retention of the repositories of a project */
  getRegistryRules: {
    method: 'GET'
    path: '/v1/projects/{id}/registry-rules'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: {
      /** What the project may hold; null: anything. Always sent, because all rules are replaced. */
      quota_bytes: number | null
      rules: ({
        /** Which repositories of the project, without its name; `*` stands for any characters */
        repositories: string
        /** Tags that may be made once and never moved or deleted */
        immutable_tags?: string[]
        retain?: {
          /** Which tags may go */
          tags: string[]
          /** Newest ones that stay */
          keep_last?: number
          /** Younger ones stay */
          keep_days?: number
        }
        /** Manifests without a tag go after this time */
        keep_untagged_days?: number
      })[]
      used_bytes: number
    }
  }
  /** Replace quota, immutable tags and retention of a project */
  replaceRegistryRules: {
    method: 'PUT'
    path: '/v1/projects/{id}/registry-rules'
    params: { id: string }
    query: Record<never, never>
    body: {
      /** What the project may hold; null: anything. Always sent, because all rules are replaced. */
      quota_bytes: number | null
      rules: ({
        /** Which repositories of the project, without its name; `*` stands for any characters */
        repositories: string
        /** Tags that may be made once and never moved or deleted */
        immutable_tags?: string[]
        retain?: {
          /** Which tags may go */
          tags: string[]
          /** Newest ones that stay */
          keep_last?: number
          /** Younger ones stay */
          keep_days?: number
        }
        /** Manifests without a tag go after this time */
        keep_untagged_days?: number
      })[]
    }
    answer: {
      /** What the project may hold; null: anything. Always sent, because all rules are replaced. */
      quota_bytes: number | null
      rules: ({
        /** Which repositories of the project, without its name; `*` stands for any characters */
        repositories: string
        /** Tags that may be made once and never moved or deleted */
        immutable_tags?: string[]
        retain?: {
          /** Which tags may go */
          tags: string[]
          /** Newest ones that stay */
          keep_last?: number
          /** Younger ones stay */
          keep_days?: number
        }
        /** Manifests without a tag go after this time */
        keep_untagged_days?: number
      })[]
      used_bytes: number
    }
  }
  /** Remove what no manifest, rule or push needs, now; pushes go on meanwhile */
  collectRegistry: {
    method: 'POST'
    path: '/v1/registry/gc'
    params: Record<never, never>
    query: { dry_run?: boolean }
    body: undefined
    answer: {
      dry_run: boolean
      /** RFC 3339 UTC with milliseconds */
      started_at: string
      duration_ms: number
      scanned_blobs: number
      deleted_blobs: number
      deleted_manifests: number
      deleted_tags: number
      expired_uploads: number
      /** Left behind by a crash */
      removed_files: number
      freed_bytes: number
      /** What was skipped, and why */
      problems: string[]
    }
  }
  /** List the repositories that you may pull from, by name */
  listRepositories: {
    method: 'GET'
    path: '/v1/registry/repositories'
    params: Record<never, never>
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: ({
      /** <project>/<service>, the name to push to and pull from */
      name: string
      project_id: string
      tags: number
      manifests: number
      /** Of its blobs and manifests; what other repositories share is counted too */
      size_bytes: number
      /** RFC 3339 UTC with milliseconds */
      created_at: string
      /** RFC 3339 UTC with milliseconds */
      pushed_at: string | null
    })[]
  }
  /** Delete a repository with all that is in it; refused while a release needs it */
  deleteRepository: {
    method: 'DELETE'
    path: '/v1/registry/repositories/{project}/{service}'
    params: { project: string; service: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** List the manifests of a repository, newest first */
  listManifests: {
    method: 'GET'
    path: '/v1/registry/repositories/{project}/{service}/manifests'
    params: { project: string; service: string }
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: ({
      /** algorithm:hex */
      digest: string
      media_type: string
      artifact_type: string | null
      /** algorithm:hex */
      subject: string | null
      /** Of the manifest and the blobs that it names itself */
      size_bytes: number
      tags: string[]
      /** RFC 3339 UTC with milliseconds */
      created_at: string
    })[]
  }
  /** Delete a manifest and its tags; refused while a release needs it */
  deleteManifest: {
    method: 'DELETE'
    path: '/v1/registry/repositories/{project}/{service}/manifests/{digest}'
    params: { project: string; service: string; digest: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** List the tags of a repository, by name */
  listTags: {
    method: 'GET'
    path: '/v1/registry/repositories/{project}/{service}/tags'
    params: { project: string; service: string }
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: ({
      name: string
      /** algorithm:hex */
      digest: string
      media_type: string
      /** Of the manifest and the blobs that it names itself */
      size_bytes: number
      /** RFC 3339 UTC with milliseconds */
      updated_at: string
    })[]
  }
  /** Delete a tag; its manifest stays */
  deleteTag: {
    method: 'DELETE'
    path: '/v1/registry/repositories/{project}/{service}/tags/{tag}'
    params: { project: string; service: string; tag: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** What the registry holds, and its last collection */
  getRegistryStatus: {
    method: 'GET'
    path: '/v1/registry/status'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: {
      repositories: number
      manifests: number
      blobs: number
      size_bytes: number
      corrupt_blobs: number
      open_uploads: number
      disk_free_bytes: number
      disk_total_bytes: number
      last_collection: {
        dry_run: boolean
        /** RFC 3339 UTC with milliseconds */
        started_at: string
        duration_ms: number
        scanned_blobs: number
        deleted_blobs: number
        deleted_manifests: number
        deleted_tags: number
        expired_uploads: number
        /** Left behind by a crash */
        removed_files: number
        freed_bytes: number
        /** What was skipped, and why */
        problems: string[]
      } | null
    }
  }
  /** List the built-in roles, then custom ones */
  listRoles: {
    method: 'GET'
    path: '/v1/roles'
    params: Record<never, never>
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: Role[]
  }
  /** Create a custom role */
  createRole: {
    method: 'POST'
    path: '/v1/roles'
    params: Record<never, never>
    query: Record<never, never>
    body: CreateRoleBody
    answer: Role
  }
  /** Change a custom role, at once for everyone who has it */
  updateRole: {
    method: 'PUT'
    path: '/v1/roles/{id}'
    params: { id: string }
    query: Record<never, never>
    body: UpdateRoleBody
    answer: Role
  }
  /** Delete a custom role that nobody has */
  deleteRole: {
    method: 'DELETE'
    path: '/v1/roles/{id}'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** Read the public key that a SOPS file for this node is encrypted for */
  getRecipient: {
    method: 'GET'
    path: '/v1/secrets/recipient'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: Recipient
  }
  /** List rotations of the node's key, newest first */
  listRotations: {
    method: 'GET'
    path: '/v1/secrets/rotations'
    params: Record<never, never>
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: KeyRotation[]
  }
  /** Replace the node's key and seal everything anew, in the background */
  rotateNodeKey: {
    method: 'POST'
    path: '/v1/secrets/rotations'
    params: Record<never, never>
    query: Record<never, never>
    body: undefined
    answer: KeyRotation
  }
  /** Read a rotation of the node's key */
  getRotation: {
    method: 'GET'
    path: '/v1/secrets/rotations/{id}'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: KeyRotation
  }
  /** List the services that you may see, newest first; values of env are redacted in lists */
  listServices: {
    method: 'GET'
    path: '/v1/services'
    params: Record<never, never>
    query: { limit?: number; cursor?: string; project_id?: string }
    body: undefined
    answer: Service[]
  }
  /** Create a service */
  createService: {
    method: 'POST'
    path: '/v1/services'
    params: Record<never, never>
    query: Record<never, never>
    body: CreateServiceBody
    answer: Service
  }
  /** Read a service */
  getService: {
    method: 'GET'
    path: '/v1/services/{id}'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: Service
  }
  /** Replace the settings of a service; what is left out takes its default, but env then stays as it is */
  replaceService: {
    method: 'PUT'
    path: '/v1/services/{id}'
    params: { id: string }
    query: Record<never, never>
    body: ReplaceServiceBody
    answer: Service
  }
  /** Change the settings that are sent; objects are merged, lists, build_args and env are replaced */
  updateService: {
    method: 'PATCH'
    path: '/v1/services/{id}'
    params: { id: string }
    query: Record<never, never>
    body: PatchServiceBody
    answer: Service
  }
  /** Delete a service: it takes no request from the answer on, what it left is removed in the background */
  deleteService: {
    method: 'DELETE'
    path: '/v1/services/{id}'
    params: { id: string }
    query: { keep_images?: boolean; delete_volumes?: boolean }
    body: undefined
    answer: undefined
  }
  /** Set the share of the requests that the canary gets */
  setCanary: {
    method: 'PUT'
    path: '/v1/services/{id}/canary'
    params: { id: string }
    query: Record<never, never>
    body: SetCanaryBody
    answer: Canary
  }
  /** End the canary; all requests go to the live release */
  abortCanary: {
    method: 'DELETE'
    path: '/v1/services/{id}/canary'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** Deploy the release of the canary; the canary ends when that is live */
  promoteCanary: {
    method: 'POST'
    path: '/v1/services/{id}/canary/promote'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: Deployment
  }
  /** List the deployments of a service, newest first */
  listDeployments: {
    method: 'GET'
    path: '/v1/services/{id}/deployments'
    params: { id: string }
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: Deployment[]
  }
  /** List the domains of a service, newest first */
  listDomains: {
    method: 'GET'
    path: '/v1/services/{id}/domains'
    params: { id: string }
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: Domain[]
  }
  /** Claim a hostname for a service; it is routed once it is verified */
  addDomain: {
    method: 'POST'
    path: '/v1/services/{id}/domains'
    params: { id: string }
    query: Record<never, never>
    body: AddDomainBody
    answer: Domain
  }
  /** Read a domain */
  getDomain: {
    method: 'GET'
    path: '/v1/services/{id}/domains/{domain_id}'
    params: { id: string; domain_id: string }
    query: Record<never, never>
    body: undefined
    answer: Domain
  }
  /** Change how a domain is served; it is so when this is answered */
  updateDomain: {
    method: 'PATCH'
    path: '/v1/services/{id}/domains/{domain_id}'
    params: { id: string; domain_id: string }
    query: Record<never, never>
    body: UpdateDomainBody
    answer: Domain
  }
  /** Take a hostname away from a service; it routes no request from the answer on */
  deleteDomain: {
    method: 'DELETE'
    path: '/v1/services/{id}/domains/{domain_id}'
    params: { id: string; domain_id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** Check the proof of a hostname now; a verified one routes at once, a failed one says why */
  verifyDomain: {
    method: 'POST'
    path: '/v1/services/{id}/domains/{domain_id}/verify'
    params: { id: string; domain_id: string }
    query: Record<never, never>
    body: undefined
    answer: Domain
  }
  /** Read the environment variables of a service */
  getServiceEnv: {
    method: 'GET'
    path: '/v1/services/{id}/env'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: Record<string, string>
  }
  /** Replace all environment variables; they act with the next deployment */
  replaceServiceEnv: {
    method: 'PUT'
    path: '/v1/services/{id}/env'
    params: { id: string }
    query: Record<never, never>
    body: Record<string, unknown> | unknown[]
    answer: Record<string, string>
  }
  /** Set and unset single environment variables; they act with the next deployment */
  updateServiceEnv: {
    method: 'PATCH'
    path: '/v1/services/{id}/env'
    params: { id: string }
    query: Record<never, never>
    body: PatchEnvBody
    answer: Record<string, string>
  }
  /** The newest lines of a service, oldest first; the Link header leads to older ones */
  readServiceLog: {
    method: 'GET'
    path: '/v1/services/{id}/logs'
    params: { id: string }
    query: { tail?: number; limit?: number; since?: string; until?: string; replica?: number; deployment_id?: string; grep?: string; cursor?: string }
    body: undefined
    answer: ServiceLogLine[]
  }
  /** The lines of a service as they come, across its deployments (SSE); resume by Last-Event-ID or since */
  followServiceLog: {
    method: 'GET'
    path: '/v1/services/{id}/logs/stream'
    params: { id: string }
    query: { tail?: number; since?: string; replica?: number; deployment_id?: string; format?: 'json' | 'text' }
    body: undefined
    answer: string
  }
  /** List the requests that came for a service, newest first */
  listRequests: {
    method: 'GET'
    path: '/v1/services/{id}/requests'
    params: { id: string }
    query: { limit?: number; cursor?: string; deployment_id?: string; since?: string; until?: string; grep?: string }
    body: undefined
    answer: RequestEntry[]
  }
  /** Follow the requests that come for a service */
  followRequests: {
    method: 'GET'
    path: '/v1/services/{id}/requests/stream'
    params: { id: string }
    query: { deployment_id?: string; tail?: number }
    body: undefined
    answer: string
  }
  /** Replace all replicas without a gap; Location names the deployment that does it */
  restartService: {
    method: 'POST'
    path: '/v1/services/{id}/restart'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: Service
  }
  /** Deploy an earlier release again, with the settings that it had */
  rollbackService: {
    method: 'POST'
    path: '/v1/services/{id}/rollback'
    params: { id: string }
    query: Record<never, never>
    body: RollbackServiceBody
    answer: Deployment
  }
  /** Set how many replicas run */
  scaleService: {
    method: 'PUT'
    path: '/v1/services/{id}/scale'
    params: { id: string }
    query: Record<never, never>
    body: ScaleServiceBody
    answer: Service
  }
  /** Let the live release run again */
  startService: {
    method: 'POST'
    path: '/v1/services/{id}/start'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: Service
  }
  /** Stop all replicas */
  stopService: {
    method: 'POST'
    path: '/v1/services/{id}/stop'
    params: { id: string }
    query: Record<never, never>
    body: undefined
    answer: Service
  }
  /** Upload the source of a service as an archive, to be deployed once */
  createUpload: {
    method: 'POST'
    path: '/v1/services/{id}/uploads'
    params: { id: string }
    query: Record<never, never>
    body: ReadableStream | Uint8Array
    answer: Upload
  }
  /** List the volumes of a service with their sizes, by name */
  listVolumes: {
    method: 'GET'
    path: '/v1/services/{id}/volumes'
    params: { id: string }
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: Volume[]
  }
  /** Delete a volume that nothing uses any more, or that the engine has lost, with all that is in it */
  deleteVolume: {
    method: 'DELETE'
    path: '/v1/services/{id}/volumes/{name}'
    params: { id: string; name: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** Download the contents of a volume as a tar archive */
  backupVolume: {
    method: 'GET'
    path: '/v1/services/{id}/volumes/{name}/backup'
    params: { id: string; name: string }
    query: Record<never, never>
    body: undefined
    answer: string
  }
  /** Let the contents of an archive take the place of those of a volume */
  restoreVolume: {
    method: 'POST'
    path: '/v1/services/{id}/volumes/{name}/restore'
    params: { id: string; name: string }
    query: Record<never, never>
    body: ReadableStream | Uint8Array
    answer: Volume
  }
  /** List the webhooks of a service, newest first */
  listWebhooks: {
    method: 'GET'
    path: '/v1/services/{id}/webhooks'
    params: { id: string }
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: Webhook[]
  }
  /** Make a webhook that deploys what is pushed; its secret is answered this once */
  createWebhook: {
    method: 'POST'
    path: '/v1/services/{id}/webhooks'
    params: { id: string }
    query: Record<never, never>
    body: CreateWebhookBody
    answer: WebhookWithSecret
  }
  /** Read a webhook, without its secret */
  getWebhook: {
    method: 'GET'
    path: '/v1/services/{id}/webhooks/{webhook_id}'
    params: { id: string; webhook_id: string }
    query: Record<never, never>
    body: undefined
    answer: Webhook
  }
  /** Change which pushes a webhook deploys, or switch it off */
  updateWebhook: {
    method: 'PATCH'
    path: '/v1/services/{id}/webhooks/{webhook_id}'
    params: { id: string; webhook_id: string }
    query: Record<never, never>
    body: PatchWebhookBody
    answer: Webhook
  }
  /** Delete a webhook and what it received */
  deleteWebhook: {
    method: 'DELETE'
    path: '/v1/services/{id}/webhooks/{webhook_id}'
    params: { id: string; webhook_id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** List what a webhook received and what became of it, newest first */
  listWebhookDeliveries: {
    method: 'GET'
    path: '/v1/services/{id}/webhooks/{webhook_id}/deliveries'
    params: { id: string; webhook_id: string }
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: WebhookDelivery[]
  }
  /** Act on a push that arrived once more, by the filters of today */
  replayWebhookDelivery: {
    method: 'POST'
    path: '/v1/services/{id}/webhooks/{webhook_id}/deliveries/{delivery_id}/replay'
    params: { id: string; webhook_id: string; delivery_id: string }
    query: Record<never, never>
    body: undefined
    answer: WebhookDelivery
  }
  /** Replace the secret of a webhook; the new one is answered this once */
  rotateWebhookSecret: {
    method: 'POST'
    path: '/v1/services/{id}/webhooks/{webhook_id}/rotate-secret'
    params: { id: string; webhook_id: string }
    query: Record<never, never>
    body: RotateWebhookSecretBody
    answer: WebhookWithSecret
  }
  /** List the background loops, by name: last run, duration and error */
  listWorkers: {
    method: 'GET'
    path: '/v1/system/workers'
    params: Record<never, never>
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: WorkerStatus[]
  }
  /** List users */
  listUsers: {
    method: 'GET'
    path: '/v1/users'
    params: Record<never, never>
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: User[]
  }
  /** Create a user */
  createUser: {
    method: 'POST'
    path: '/v1/users'
    params: Record<never, never>
    query: Record<never, never>
    body: CreateUserBody
    answer: User
  }
  /** Read a user */
  getUser: {
    method: 'GET'
    path: '/v1/users/{user_id}'
    params: { user_id: string }
    query: Record<never, never>
    body: undefined
    answer: User
  }
  /** Reset a user's password (their sessions and API tokens end) or change their super-admin flag */
  updateUser: {
    method: 'PUT'
    path: '/v1/users/{user_id}'
    params: { user_id: string }
    query: Record<never, never>
    body: UpdateUserBody
    answer: User
  }
  /** Delete a user with their sessions, tokens and memberships */
  deleteUser: {
    method: 'DELETE'
    path: '/v1/users/{user_id}'
    params: { user_id: string }
    query: Record<never, never>
    body: undefined
    answer: undefined
  }
  /** List ids and names of users, to add them as members */
  listUserDirectory: {
    method: 'GET'
    path: '/v1/users/directory'
    params: Record<never, never>
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: DirectoryEntry[]
  }
  /** List one short row for each service that you may see, newest first */
  listWorkloads: {
    method: 'GET'
    path: '/v1/workloads'
    params: Record<never, never>
    query: { limit?: number; cursor?: string }
    body: undefined
    answer: Workload[]
  }
}
