-- Between which bounds Berth chooses the number of replicas, as JSON; NULL: it does not.
ALTER TABLE services ADD COLUMN autoscale TEXT CHECK (autoscale IS NULL OR json_valid(autoscale));
