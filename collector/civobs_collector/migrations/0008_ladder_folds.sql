-- The ladder folded to runs of like outcomes: a row an hour of each probe, and once the day is over a row a day.
-- The roll-up job writes them and the detector reads them in place of the rows. `rule` says how they were folded: one of
-- another rule is not read. No row here means not folded, an array without elements that the probe stored no row then.
CREATE TABLE ladder_1h (
  probe_key int4 NOT NULL, start timestamptz NOT NULL, rule int8 NOT NULL,
  target_key int4[] NOT NULL, family int2[] NOT NULL, said int2[] NOT NULL, n int4[] NOT NULL,
  first_at timestamptz[] NOT NULL, last_at timestamptz[] NOT NULL,          -- of the first and of the last row of a run
  first_err_ms int4[] NOT NULL, last_err_ms int4[] NOT NULL,
  PRIMARY KEY (probe_key, start) INCLUDE (rule)
);
CREATE TABLE ladder_1d (LIKE ladder_1h INCLUDING ALL);
