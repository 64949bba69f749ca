-- The instant before which the authority does not want to be asked for a certificate again.
ALTER TABLE certificates ADD COLUMN retry_after TEXT;
