-- Where the tag of a redeployed image led when it was looked at: JSON {image, digest}.
ALTER TABLE deployments ADD COLUMN tag TEXT CHECK (tag IS NULL OR json_valid(tag));
