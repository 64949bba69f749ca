-- Webhooks in: what a forge says when someone pushed.

CREATE TABLE webhooks (
  id TEXT PRIMARY KEY,
  service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
  -- Which pushes are deployed, as JSON.
  filter TEXT NOT NULL CHECK (json_valid(filter)),
  secret_sealed TEXT NOT NULL,
  created_by TEXT NOT NULL CHECK (json_valid(created_by)),
  revision INTEGER NOT NULL DEFAULT 1,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX webhooks_of_service ON webhooks (service_id, id);

-- Each is stored before it is answered; what is pending is acted on, also after a crash.
CREATE TABLE webhook_deliveries (
  id TEXT PRIMARY KEY,
  webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
  -- As the forge counts it: a second arrival of the same one changes nothing.
  delivery_key TEXT NOT NULL,
  provider TEXT NOT NULL CHECK (provider IN ('github', 'gitlab', 'gitea')),
  event TEXT NOT NULL,
  -- What was pushed, as JSON; NULL for other events.
  push TEXT CHECK (push IS NULL OR json_valid(push)),
  outcome TEXT NOT NULL CHECK (outcome IN ('pending', 'deployed', 'skipped', 'failed')),
  reason TEXT,
  deployment_id TEXT,
  -- The delivery that someone had acted on once more.
  replays_id TEXT,
  received_at TEXT NOT NULL,
  finished_at TEXT,
  UNIQUE (webhook_id, delivery_key)
) STRICT;
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (id) WHERE outcome = 'pending';
