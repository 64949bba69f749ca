-- A second release of the service that runs beside the live one and gets so many percent of the requests; both NULL: there is none.
ALTER TABLE services ADD COLUMN canary_deployment_id TEXT;
ALTER TABLE services ADD COLUMN canary_percent INTEGER CHECK (canary_percent IS NULL OR canary_percent BETWEEN 1 AND 99);
-- The share that a deployment is to begin with as a canary; NULL: it is to become live.
ALTER TABLE deployments ADD COLUMN canary_percent INTEGER CHECK (canary_percent IS NULL OR canary_percent BETWEEN 1 AND 99);
