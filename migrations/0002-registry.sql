-- The hosted registry. Times are milliseconds since the epoch here: collection compares and touches them all the time.

CREATE TABLE registry_repositories (
  id INTEGER PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects (id),
  -- Without the project's name, so that a project may be renamed.
  path TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  pushed_ms INTEGER,
  UNIQUE (project_id, path)
) STRICT;

CREATE TABLE registry_blobs (
  id INTEGER PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE,
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
  -- A small blob itself; NULL: it is a file.
  content BLOB,
  -- What the file looked like to stat() when its bytes were last known to be right.
  stamp TEXT,
  corrupt INTEGER NOT NULL DEFAULT 0 CHECK (corrupt IN (0, 1)),
  -- The last push, mount or successful question of someone who may push.
  touched_ms INTEGER NOT NULL,
  checked_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX registry_blobs_by_check ON registry_blobs (checked_ms);

-- Which repositories have which blobs.
CREATE TABLE registry_blob_links (
  repository_id INTEGER NOT NULL REFERENCES registry_repositories (id) ON DELETE CASCADE,
  blob_id INTEGER NOT NULL REFERENCES registry_blobs (id) ON DELETE CASCADE,
  touched_ms INTEGER NOT NULL,
  PRIMARY KEY (repository_id, blob_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX registry_blob_links_of_blob ON registry_blob_links (blob_id);

CREATE TABLE registry_manifests (
  id INTEGER PRIMARY KEY,
  repository_id INTEGER NOT NULL REFERENCES registry_repositories (id) ON DELETE CASCADE,
  digest TEXT NOT NULL,
  media_type TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  subject TEXT,
  -- For referrers: the artifact type and the annotations of its descriptor, as JSON.
  artifact_type TEXT,
  annotations TEXT CHECK (annotations IS NULL OR json_valid(annotations)),
  created_ms INTEGER NOT NULL,
  touched_ms INTEGER NOT NULL,
  -- Last, so that reading the columns before it leaves its pages alone.
  content BLOB NOT NULL,
  UNIQUE (repository_id, digest)
) STRICT;
CREATE INDEX registry_manifests_of_subject ON registry_manifests (repository_id, subject) WHERE subject IS NOT NULL;
CREATE INDEX registry_manifests_by_digest ON registry_manifests (digest);

-- What a manifest refers to: blobs and, from an index, manifests.
CREATE TABLE registry_edges (
  manifest_id INTEGER NOT NULL REFERENCES registry_manifests (id) ON DELETE CASCADE,
  digest TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('blob', 'manifest')),
  size_bytes INTEGER NOT NULL,
  PRIMARY KEY (manifest_id, digest, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX registry_edges_to ON registry_edges (digest, kind);

CREATE TABLE registry_tags (
  repository_id INTEGER NOT NULL REFERENCES registry_repositories (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  manifest_id INTEGER NOT NULL REFERENCES registry_manifests (id) ON DELETE CASCADE,
  updated_ms INTEGER NOT NULL,
  PRIMARY KEY (repository_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX registry_tags_of_manifest ON registry_tags (manifest_id);

-- Rules of a project: how much it may hold, which tags never change, what is kept.
CREATE TABLE registry_rules (
  project_id TEXT PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE,
  quota_bytes INTEGER CHECK (quota_bytes IS NULL OR quota_bytes >= 0),
  rules TEXT NOT NULL CHECK (json_valid(rules)),
  revision INTEGER NOT NULL DEFAULT 1,
  updated_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE registry_collections (
  id TEXT PRIMARY KEY,
  started_ms INTEGER NOT NULL,
  finished_ms INTEGER,
  report TEXT CHECK (report IS NULL OR json_valid(report))
) STRICT;
