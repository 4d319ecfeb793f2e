-- What people decided about events. The record is a pure function of the facts and of these: the detector never undoes
-- a person. Rows are added and never changed.
CREATE TABLE review (
  review_key int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_key  uuid NOT NULL REFERENCES event,
  at         timestamptz NOT NULL,
  reviewer   text NOT NULL CHECK (reviewer <> ''),   -- the name that stands in the record
  staff_key  int4,                                   -- who was signed in; null at the command line
  action     text NOT NULL CHECK (action IN ('confirm', 'retract', 'reopen', 'hold', 'release', 'annotate', 'cause', 'merge', 'split')),
  note       text NOT NULL DEFAULT '',
  sources    text[] NOT NULL DEFAULT '{}',
  body       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX review_event ON review (event_key, review_key);
CREATE TRIGGER review_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON review
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A version that a person holds back is stored and not served, nor is what the detector goes on finding of an event that
-- a person has retracted: readers keep the newest one that is not held.
-- The detector goes on from what it said itself, whatever people say of it (record.machine).
ALTER TABLE event_version
  ADD COLUMN held bool NOT NULL
    GENERATED ALWAYS AS (coalesce(record->>'held' IN ('review', 'retracted'), false)) STORED,
  ADD COLUMN found_open bool NOT NULL
    GENERATED ALWAYS AS (coalesce(record->'machine'->'said'->>'status', status) = 'open') STORED;
CREATE OR REPLACE VIEW event_current AS
  SELECT e.public_id, v.event_key, v.version, v.published_at, v.change_kind, v.reason, v.detector_version, v.status,
         v.kind, v.level, e.cc, v.asn, v.onset_earliest, v.onset_latest, v.resolution_earliest, v.resolution_latest,
         v.record, v.held, v.found_open
    FROM event e
   CROSS JOIN LATERAL (SELECT * FROM event_version one WHERE one.event_key = e.event_key ORDER BY version DESC LIMIT 1) v;
ALTER TABLE event_version DROP CONSTRAINT event_version_change_kind_check, ADD CONSTRAINT event_version_change_kind_check
  CHECK (change_kind IN ('new', 'extended', 'closed', 'corrected', 'reclassified', 'retracted', 'reviewed'));
CREATE VIEW event_served AS
  SELECT e.public_id, v.event_key, v.version, v.published_at, v.change_kind, v.reason, v.detector_version, v.status,
         v.kind, v.level, e.cc, v.asn, v.onset_earliest, v.onset_latest, v.resolution_earliest, v.resolution_latest,
         v.record
    FROM event e
   CROSS JOIN LATERAL (SELECT * FROM event_version one WHERE one.event_key = e.event_key AND NOT one.held
                        ORDER BY version DESC LIMIT 1) v
   WHERE e.public_id IS NOT NULL AND v.level <> 'probe';
