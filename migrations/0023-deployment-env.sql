-- The sealed variables of a release stand beside its row: they are long, and nothing but what opens them has to read past them or to write
-- them again with each step.

CREATE TABLE deployment_env (
  deployment_id TEXT PRIMARY KEY REFERENCES deployments (id) ON DELETE CASCADE,
  env_sealed TEXT,
  -- What of it came from a file in the source: kept for when the image is deployed again without its source.
  file_env_sealed TEXT
) STRICT;
INSERT INTO deployment_env (deployment_id, env_sealed, file_env_sealed)
  SELECT id, env_sealed, file_env_sealed FROM deployments WHERE env_sealed IS NOT NULL OR file_env_sealed IS NOT NULL;
ALTER TABLE deployments DROP COLUMN env_sealed;
ALTER TABLE deployments DROP COLUMN file_env_sealed;
