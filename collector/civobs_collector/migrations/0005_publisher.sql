-- What the program does every day it does as role civobs_publisher, who may add to what was published and change none of
-- it (grants: db/sql/publisher.sql). Only an owner may make and drop the days of measurements, so the two functions that
-- do it run as theirs.
ALTER FUNCTION ensure_day(date) SECURITY DEFINER;
ALTER FUNCTION ensure_day(date) SET search_path FROM CURRENT;

CREATE FUNCTION drop_days(before timestamptz) RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  day text;
BEGIN
  IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
    RETURN QUERY EXECUTE 'SELECT drop_chunks(''measurement'', older_than => $1)' USING before;
    RETURN;
  END IF;
  FOR day IN
    SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid
     WHERE inhparent = 'measurement'::regclass
       AND relname < 'measurement_' || to_char(before AT TIME ZONE 'UTC', 'YYYYMMDD')
     ORDER BY relname
  LOOP
    EXECUTE format('DROP TABLE %I', day);
    RETURN NEXT day;
  END LOOP;
END $$;

-- Occurrences of one campaign, for its page.
CREATE INDEX event_version_campaign ON event_version ((record->'campaign'->>'campaign_id'))
  WHERE record->'campaign'->>'campaign_id' IS NOT NULL;
