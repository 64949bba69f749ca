-- What came from a file of variables in the source: kept for when the image is deployed again without its source.
ALTER TABLE deployments ADD COLUMN file_env_sealed TEXT;
-- Names of variables that only the project set, as JSON: what a file of the source says goes before them.
ALTER TABLE deployments ADD COLUMN inherited_names TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(inherited_names));
