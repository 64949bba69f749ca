-- What met an error that may pass is tried again later, so that it does not keep the others waiting.
ALTER TABLE webhook_deliveries ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
-- NULL: at once.
ALTER TABLE webhook_deliveries ADD COLUMN next_try_at TEXT;
