-- Git sources: what a project shows to hosts of repositories, and what it knows of them.

CREATE TABLE git_credentials (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('ssh_key', 'https_token')),
  name TEXT NOT NULL,
  -- The only host that it is shown to, with its port unless that is the protocol's own. NULL: any host (keys only).
  host TEXT CHECK (host IS NOT NULL OR kind = 'ssh_key'),
  -- The repository, or the beginning of its path, that it is for; NULL: all of the host.
  path TEXT CHECK (path IS NULL OR host IS NOT NULL),
  username TEXT,
  public_key TEXT,
  secret_sealed TEXT NOT NULL,
  created_by TEXT NOT NULL CHECK (json_valid(created_by)),
  created_at TEXT NOT NULL,
  last_used_at TEXT
) STRICT;
CREATE INDEX git_credentials_of_project ON git_credentials (project_id, id);

CREATE TABLE git_host_keys (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  host TEXT NOT NULL,
  type TEXT NOT NULL,
  -- Base64, as in known_hosts.
  key TEXT NOT NULL,
  created_at TEXT NOT NULL,
  UNIQUE (project_id, host)
) STRICT;
