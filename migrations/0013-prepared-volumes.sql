-- Whether everyone in a container may write into a new volume: applications seldom run as root.
ALTER TABLE volumes ADD COLUMN prepared INTEGER NOT NULL DEFAULT 0 CHECK (prepared IN (0, 1));
