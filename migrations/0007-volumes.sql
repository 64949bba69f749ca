-- Volumes of services. The name in the engine follows from id and generation.
CREATE TABLE volumes (
  id TEXT PRIMARY KEY,
  service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  -- Rises with each restore, which fills a new volume beside the one in use.
  generation INTEGER NOT NULL DEFAULT 1,
  created_at TEXT NOT NULL,
  restored_at TEXT,
  UNIQUE (service_id, name)
) STRICT;

-- Volumes of the engine that are to go. Nothing else is ever removed there: a volume that no row names may be someone's data.
CREATE TABLE volume_removals (
  engine_name TEXT PRIMARY KEY,
  created_at TEXT NOT NULL
) STRICT;

-- When it began to take the place of the live release, which is stopped first; until it is over nothing of that one is started.
ALTER TABLE deployments ADD COLUMN stop_first_at TEXT;
