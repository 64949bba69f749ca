-- rebuilds tables
-- An id that comes again would lead whatever is still under way for a removed repository into the next one that is made: ids are given once.

CREATE TABLE registry_repositories_new (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project_id TEXT NOT NULL REFERENCES projects (id),
  -- Without the project's name, so that a project may be renamed.
  path TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  pushed_ms INTEGER,
  UNIQUE (project_id, path)
) STRICT;
INSERT INTO registry_repositories_new (id, project_id, path, created_ms, pushed_ms)
  SELECT id, project_id, path, created_ms, pushed_ms FROM registry_repositories;
DROP TABLE registry_repositories;
ALTER TABLE registry_repositories_new RENAME TO registry_repositories;
