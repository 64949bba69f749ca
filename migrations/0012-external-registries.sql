-- Somebody else's registries from which the images of a project come.
CREATE TABLE external_registries (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  -- An origin: https://ghcr.io
  endpoint TEXT NOT NULL,
  auth_kind TEXT NOT NULL CHECK (auth_kind IN ('anonymous', 'basic', 'token', 'ecr_token', 'gar_token')),
  credentials_sealed TEXT,
  revision INTEGER NOT NULL DEFAULT 1,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  UNIQUE (project_id, name)
) STRICT;
