-- Events of a region: several networks of one admin1, and nothing finer.

ALTER TABLE event_version DROP CONSTRAINT event_version_level_check;
ALTER TABLE event_version ADD CONSTRAINT event_version_level_check
  CHECK (level IN ('probe', 'network', 'region', 'country'));
