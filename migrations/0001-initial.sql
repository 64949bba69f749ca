-- Instants are RFC 3339 UTC text with milliseconds, ids UUIDv7 text, sets of values CHECKed here as well as in the code.

CREATE TABLE node (
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  id TEXT NOT NULL,
  created_at TEXT NOT NULL
) STRICT;

-- identity -----------------------------------------------------------------------------------------------------------

CREATE TABLE users (
  id TEXT PRIMARY KEY,
  username TEXT NOT NULL COLLATE NOCASE UNIQUE,
  password_hash TEXT NOT NULL,
  is_super_admin INTEGER NOT NULL DEFAULT 0 CHECK (is_super_admin IN (0, 1)),
  revision INTEGER NOT NULL DEFAULT 1,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  token_hash BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
  client_address TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  created_at TEXT NOT NULL,
  last_seen_at TEXT NOT NULL,
  expires_at TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_of_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE api_tokens (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  -- The token that made this one: it ends with it.
  parent_id TEXT REFERENCES api_tokens (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  token_hash BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
  prefix TEXT NOT NULL,
  -- JSON arrays; NULL: all that the maker has.
  permissions TEXT CHECK (permissions IS NULL OR json_valid(permissions)),
  project_ids TEXT CHECK (project_ids IS NULL OR json_valid(project_ids)),
  created_at TEXT NOT NULL,
  last_used_at TEXT,
  expires_at TEXT
) STRICT;
CREATE INDEX api_tokens_of_user ON api_tokens (user_id, id);
CREATE INDEX api_tokens_of_parent ON api_tokens (parent_id);

CREATE TABLE roles (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL DEFAULT '',
  permissions TEXT NOT NULL CHECK (json_valid(permissions)),
  revision INTEGER NOT NULL DEFAULT 1,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;

-- projects and services ----------------------------------------------------------------------------------------------

CREATE TABLE projects (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL DEFAULT '',
  -- A sealed document: the names are readable, the values are not.
  shared_env_sealed TEXT,
  default_resource_limits TEXT CHECK (default_resource_limits IS NULL OR json_valid(default_resource_limits)),
  revision INTEGER NOT NULL DEFAULT 1,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE project_members (
  project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  -- viewer, operator, admin, or the id of a row of roles.
  role TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (project_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX project_members_of_user ON project_members (user_id);

CREATE TABLE services (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects (id),
  name TEXT NOT NULL,
  -- What a release is made from and how it runs, as JSON; the shapes are in service-schema.ts.
  source TEXT NOT NULL CHECK (json_valid(source)),
  build TEXT NOT NULL CHECK (json_valid(build)),
  config TEXT NOT NULL CHECK (json_valid(config)),
  env_sealed TEXT,
  replicas INTEGER NOT NULL DEFAULT 1 CHECK (replicas BETWEEN 0 AND 100),
  desired_state TEXT NOT NULL DEFAULT 'running' CHECK (desired_state IN ('running', 'stopped', 'deleting')),
  live_deployment_id TEXT,
  revision INTEGER NOT NULL DEFAULT 1,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  UNIQUE (project_id, name)
) STRICT;

CREATE TABLE uploads (
  id TEXT PRIMARY KEY,
  service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
  format TEXT NOT NULL CHECK (format IN ('tar', 'tar.gz', 'tar.zst')),
  size_bytes INTEGER NOT NULL,
  unpacked_bytes INTEGER NOT NULL,
  entries INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  -- The deployment that took it; a taken upload does not expire while that deployment is open.
  deployment_id TEXT
) STRICT;
CREATE INDEX uploads_of_service ON uploads (service_id);
CREATE INDEX uploads_by_expiry ON uploads (expires_at);

-- deployments --------------------------------------------------------------------------------------------------------

CREATE TABLE deployments (
  id TEXT PRIMARY KEY,
  service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
  project_id TEXT NOT NULL REFERENCES projects (id),
  number INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN
    ('Pending', 'Building', 'Starting', 'Healthy', 'Failed', 'Stopped', 'Inactive', 'Cancelled')),
  -- The step that is under way or next; NULL when the deployment is over.
  step TEXT CHECK (step IS NULL OR step IN ('fetch', 'build', 'start', 'check', 'route', 'retire')),
  source TEXT NOT NULL CHECK (json_valid(source)),
  build TEXT NOT NULL CHECK (json_valid(build)),
  config TEXT NOT NULL CHECK (json_valid(config)),
  env_sealed TEXT,
  image TEXT,
  image_id TEXT,
  reason TEXT,
  -- Who asked: a user's or token's name and id, as JSON.
  created_by TEXT NOT NULL CHECK (json_valid(created_by)),
  cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
  -- What was live when this one was routed; its replicas are what `retire` removes.
  replaces_id TEXT,
  revision INTEGER NOT NULL DEFAULT 1,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  finished_at TEXT,
  UNIQUE (service_id, number)
) STRICT;
CREATE INDEX deployments_open ON deployments (service_id) WHERE step IS NOT NULL;
CREATE INDEX deployments_by_service ON deployments (service_id, id);

CREATE TABLE deployment_steps (
  deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  step TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'skipped', 'cancelled')),
  attempts INTEGER NOT NULL DEFAULT 1,
  started_at TEXT NOT NULL,
  finished_at TEXT,
  PRIMARY KEY (deployment_id, step)
) STRICT, WITHOUT ROWID;

-- What is known of each container that ought to run: the reconciler writes, everyone reads.
CREATE TABLE replicas (
  container_name TEXT PRIMARY KEY,
  service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
  deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  replica_index INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('Starting', 'Healthy', 'Unhealthy', 'CrashLoop', 'Exited', 'Draining')),
  address TEXT,
  restarts INTEGER NOT NULL DEFAULT 0,
  reason TEXT,
  next_start_at TEXT,
  updated_at TEXT NOT NULL,
  UNIQUE (deployment_id, replica_index)
) STRICT;
CREATE INDEX replicas_of_service ON replicas (service_id);

-- the uniform API ----------------------------------------------------------------------------------------------------

CREATE TABLE idempotency_keys (
  principal TEXT NOT NULL,
  -- The key and the request as keyed hashes: a request may hold a password.
  key_hash BLOB NOT NULL CHECK (length(key_hash) = 32),
  fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
  -- NULL while the first request is under way.
  status INTEGER,
  -- The answer, encrypted: it may hold values of env.
  answer_sealed BLOB,
  created_at TEXT NOT NULL,
  PRIMARY KEY (principal, key_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE audit_events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  at TEXT NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id TEXT,
  actor_name TEXT NOT NULL,
  token_id TEXT,
  action TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('done', 'denied', 'failed')),
  resource_kind TEXT,
  resource_id TEXT,
  project_id TEXT,
  client_address TEXT,
  request_id TEXT,
  details TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(details)),
  previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_events_by_project ON audit_events (project_id, sequence);
CREATE INDEX audit_events_by_resource ON audit_events (resource_id, sequence);

CREATE TRIGGER audit_events_keep BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END;
CREATE TRIGGER audit_events_fixed BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END;
