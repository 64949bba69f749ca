-- Claims of services to hostnames. Any project may claim any name; whoever proves it first has it.
CREATE TABLE domains (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects (id),
  service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
  hostname TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'verified', 'failed')),
  token TEXT NOT NULL UNIQUE,
  reason_code TEXT,
  reason TEXT,
  checked_at TEXT,
  next_check_at TEXT NOT NULL,
  failures INTEGER NOT NULL DEFAULT 0,
  verified_at TEXT,
  failing_since TEXT,
  expires_at TEXT,
  revision INTEGER NOT NULL DEFAULT 1,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  UNIQUE (service_id, hostname),
  CHECK ((status = 'verified') = (expires_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX domains_verified ON domains (hostname) WHERE status = 'verified';
CREATE INDEX domains_by_check ON domains (next_check_at);
CREATE INDEX domains_by_expiry ON domains (expires_at) WHERE expires_at IS NOT NULL;

-- What the ingress does with a service's requests, as JSON: acts at once and belongs to no release. The shape is in the services module.
ALTER TABLE services ADD COLUMN routing TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(routing));
