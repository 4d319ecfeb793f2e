-- The newest version of an event is found by its key, not by sorting all versions of all events; and the country, which
-- never changes, is asked of the event.
CREATE OR REPLACE VIEW event_current AS
  SELECT e.public_id, v.event_key, v.version, v.published_at, v.change_kind, v.reason, v.detector_version, v.status,
         v.kind, v.level, e.cc, v.asn, v.onset_earliest, v.onset_latest, v.resolution_earliest, v.resolution_latest,
         v.record
    FROM event e
   CROSS JOIN LATERAL (SELECT * FROM event_version one WHERE one.event_key = e.event_key ORDER BY version DESC LIMIT 1) v;
CREATE INDEX event_public ON event (cc) WHERE public_id IS NOT NULL;

-- Whether the collector hears anything is asked of the last day, not of the years before it.
CREATE INDEX collector_beat_at ON collector_beat (at);
