-- Certificates: obtained from an authority for one hostname each, or uploaded. Chains and keys are sealed files of the ingress.
CREATE TABLE certificates (
  id TEXT PRIMARY KEY,
  -- NULL: of the node itself.
  project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
  source TEXT NOT NULL CHECK (source IN ('acme', 'upload')),
  hostname TEXT NOT NULL,
  hostnames TEXT NOT NULL CHECK (json_valid(hostnames)),
  file_id TEXT,
  issuer TEXT,
  serial TEXT,
  fingerprint TEXT,
  not_before TEXT,
  not_after TEXT,
  stage TEXT NOT NULL DEFAULT 'production' CHECK (stage IN ('staging', 'production')),
  step TEXT CHECK (step IS NULL OR step IN ('order', 'authorize', 'finalize', 'download')),
  order_url TEXT,
  order_key_sealed TEXT,
  challenge TEXT CHECK (challenge IS NULL OR json_valid(challenge)),
  failures INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  last_error_at TEXT,
  next_attempt_at TEXT,
  next_info_at TEXT,
  revision INTEGER NOT NULL DEFAULT 1,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
-- One order at a time for a name.
CREATE UNIQUE INDEX certificates_acme ON certificates (hostname) WHERE source = 'acme';
CREATE INDEX certificates_by_attempt ON certificates (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX certificates_by_info ON certificates (next_info_at) WHERE next_info_at IS NOT NULL;
CREATE INDEX certificates_of_project ON certificates (project_id);

CREATE TABLE acme_accounts (
  directory_url TEXT PRIMARY KEY,
  key_sealed TEXT NOT NULL,
  account_url TEXT,
  created_at TEXT NOT NULL
) STRICT;
