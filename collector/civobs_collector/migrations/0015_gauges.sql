-- What each role measured of itself and its surroundings, once a minute, for those who ask by SQL. Names, units and
-- meanings stand in one table of the program (gauges.py).
CREATE TABLE gauge_sample (
  at       timestamptz NOT NULL,
  role     text NOT NULL,
  instance text NOT NULL,
  name     text NOT NULL,
  label    text NOT NULL DEFAULT '',   -- which one, where there are several: a certificate's file, a folder
  value    float8 NOT NULL,
  PRIMARY KEY (name, at, role, instance, label)
);
CREATE INDEX gauge_sample_at ON gauge_sample (at);

-- Feeds, dashboards and notifications ask for what was published last.
CREATE INDEX event_version_published ON event_version (published_at);
