-- Whether Berth gave the tag to what a deployment published; a client that pushes under the same name makes it the client's. Of the tags
-- from before only those that a release holds are known to be Berth's.
ALTER TABLE registry_tags ADD COLUMN own INTEGER NOT NULL DEFAULT 0 CHECK (own IN (0, 1));
UPDATE registry_tags SET own = 1
  WHERE EXISTS (SELECT 1 FROM registry_pins n WHERE n.manifest_id = registry_tags.manifest_id AND n.tag = registry_tags.name);
