-- Whether a domain answers to TLS with a certificate of the node's own as long as it has no other.
ALTER TABLE domains ADD COLUMN self_signed INTEGER NOT NULL DEFAULT 0 CHECK (self_signed IN (0, 1));

-- A third source, which the check of the first form does not take.
CREATE TABLE certificates_next (
  id TEXT PRIMARY KEY,
  -- NULL: of the node itself.
  project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
  source TEXT NOT NULL CHECK (source IN ('acme', 'upload', 'self_signed')),
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
INSERT INTO certificates_next (id, project_id, source, hostname, hostnames, file_id, issuer, serial, fingerprint, not_before, not_after,
  stage, step, order_url, order_key_sealed, challenge, failures, last_error, last_error_at, next_attempt_at, next_info_at, revision,
  created_at, updated_at)
SELECT id, project_id, source, hostname, hostnames, file_id, issuer, serial, fingerprint, not_before, not_after,
  stage, step, order_url, order_key_sealed, challenge, failures, last_error, last_error_at, next_attempt_at, next_info_at, revision,
  created_at, updated_at
FROM certificates;
DROP TABLE certificates;
ALTER TABLE certificates_next RENAME TO certificates;
-- One order at a time for a name, and one of the node's own.
CREATE UNIQUE INDEX certificates_acme ON certificates (hostname) WHERE source = 'acme';
CREATE UNIQUE INDEX certificates_self_signed ON certificates (hostname) WHERE source = 'self_signed';
CREATE INDEX certificates_by_attempt ON certificates (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX certificates_by_info ON certificates (next_info_at) WHERE next_info_at IS NOT NULL;
CREATE INDEX certificates_of_project ON certificates (project_id);
