-- Which release runs from which manifest. The reference keeps the manifest there whatever else is decided: nothing can remove it while a
-- release holds it.
CREATE TABLE registry_pins (
  deployment_id TEXT PRIMARY KEY REFERENCES deployments (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  manifest_id INTEGER NOT NULL REFERENCES registry_manifests (id),
  -- The tag that Berth gave it, which goes with the pin; NULL: someone else pushed it, and it stays.
  tag TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX registry_pins_of_manifest ON registry_pins (manifest_id);
