-- The hours in which a probe looked at the ladder, a bit each: a country's year is thirteen short rows a probe, whatever
-- it measured. Roll-ups keep it up (rollups.py); here it is filled from the hours that there are already.
CREATE TABLE coverage_month (
  probe_key int4 NOT NULL,
  month     date NOT NULL,      -- its first day, UTC
  hours     bit(744) NOT NULL,  -- from midnight of that day; 744 are the hours of 31 days
  PRIMARY KEY (probe_key, month)
);
INSERT INTO coverage_month (probe_key, month, hours)
SELECT r.probe_key, m.month::date,
       bit_or(set_bit(0::bit(744), (extract(epoch FROM r.bucket AT TIME ZONE 'UTC' - m.month) / 3600)::int4, 1))
  FROM rollup_1h r CROSS JOIN LATERAL (SELECT date_trunc('month', r.bucket AT TIME ZONE 'UTC') AS month) m
 WHERE r.target_key = (SELECT target_key FROM target WHERE name = 'L0')
   AND r.kind = (SELECT kind FROM kind WHERE name = 'ladder') AND r.n > r.n_not_run
 GROUP BY 1, 2;
DROP INDEX rollup_1h_ran;
