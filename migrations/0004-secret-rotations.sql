-- Changes of the node's key. The keys themselves are files; a column of text whose name ends in _sealed is sealed anew by each change.
CREATE TABLE secret_rotations (
  id TEXT PRIMARY KEY,
  from_recipient TEXT NOT NULL,
  -- NULL until the new key is there.
  to_recipient TEXT,
  created_by TEXT NOT NULL CHECK (json_valid(created_by)),
  resealed INTEGER NOT NULL DEFAULT 0,
  unreadable INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL DEFAULT 1,
  created_at TEXT NOT NULL,
  finished_at TEXT
) STRICT;
-- One at a time.
CREATE UNIQUE INDEX secret_rotations_running ON secret_rotations ((finished_at IS NULL)) WHERE finished_at IS NULL;
