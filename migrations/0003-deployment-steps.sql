-- rebuilds tables
-- A CHECK of SQLite cannot be changed: the table is made anew with the steps that a deployment may have.

CREATE TABLE deployments_new (
  id TEXT PRIMARY KEY,
  service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
  project_id TEXT NOT NULL REFERENCES projects (id),
  number INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN
    ('Pending', 'Building', 'Starting', 'Healthy', 'Failed', 'Stopped', 'Inactive', 'Cancelled')),
  -- The step that is under way or next; NULL when the deployment is over.
  step TEXT CHECK (step IS NULL OR step IN
    ('fetch', 'build', 'publish', 'release_command', 'start', 'check', 'route', 'retire')),
  source TEXT NOT NULL CHECK (json_valid(source)),
  build TEXT NOT NULL CHECK (json_valid(build)),
  config TEXT NOT NULL CHECK (json_valid(config)),
  env_sealed TEXT,
  image TEXT,
  image_id TEXT,
  -- Of the image's manifest, in Berth's registry or in the one that it came from.
  digest TEXT,
  -- What was built, as JSON: sha, ref, author, message.
  "commit" TEXT CHECK ("commit" IS NULL OR json_valid("commit")),
  -- What made someone ask, as JSON: kind (user, webhook, push, auto) and the id of the event.
  "trigger" TEXT NOT NULL DEFAULT '{"kind":"user"}' CHECK (json_valid("trigger")),
  reason TEXT,
  -- Who asked: a user's or token's name and id, as JSON.
  created_by TEXT NOT NULL CHECK (json_valid(created_by)),
  cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
  -- What was live when this one was routed; its replicas are what `retire` removes.
  replaces_id TEXT,
  -- When it became live; a bake time counts from here.
  routed_at TEXT,
  revision INTEGER NOT NULL DEFAULT 1,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  finished_at TEXT,
  UNIQUE (service_id, number)
) STRICT;

INSERT INTO deployments_new (id, service_id, project_id, number, status, step, source, build, config, env_sealed, image, image_id,
  reason, created_by, cancel_requested, replaces_id, revision, created_at, updated_at, finished_at)
SELECT id, service_id, project_id, number, status, step, source, build, config, env_sealed, image, image_id,
  reason, created_by, cancel_requested, replaces_id, revision, created_at, updated_at, finished_at FROM deployments;

DROP TABLE deployments;
ALTER TABLE deployments_new RENAME TO deployments;
CREATE INDEX deployments_open ON deployments (service_id) WHERE step IS NOT NULL;
CREATE INDEX deployments_by_service ON deployments (service_id, id);
