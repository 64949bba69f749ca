-- Where deployments are refused, and why.

CREATE TABLE freezes (
  id TEXT PRIMARY KEY,
  -- NULL: on the whole node.
  project_id TEXT UNIQUE REFERENCES projects (id) ON DELETE CASCADE,
  reason TEXT NOT NULL,
  created_by TEXT NOT NULL CHECK (json_valid(created_by)),
  created_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX freezes_of_node ON freezes ((1)) WHERE project_id IS NULL;
