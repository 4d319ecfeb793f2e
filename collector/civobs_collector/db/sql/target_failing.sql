-- In which hours a household failed to reach a target more than now and then, each once.
-- Hours come from the roll-ups; what is not rolled up yet is counted from its rows, so nothing waits for the roll-ups.
WITH part AS (
  SELECT probe_key, target_key, bucket, kind, sum(n - n_not_run) AS n, sum(n - n_not_run - n_ok) AS n_failed
  FROM rollup_1h
  WHERE kind = ANY(%(kinds)s) AND bucket >= %(buckets)s AND bucket < %(until)s
  GROUP BY 1, 2, 3, 4
  UNION ALL
  SELECT m.probe_key, m.target_key, d.bucket, m.kind, count(*), count(*) FILTER (WHERE m.outcome = 1)
  FROM dirty_bucket d
  JOIN measurement m ON m.probe_key = d.probe_key AND m.ts >= d.bucket AND m.ts < d.bucket + interval '5 minutes'
  WHERE d.bucket >= %(buckets)s AND d.bucket < %(until)s
    AND m.kind = ANY(%(kinds)s) AND m.outcome < 2
    -- The same once more as constants: the planner leaves out the chunks of other days.
    AND m.ts >= %(since)s AND m.ts < %(until)s
  GROUP BY 1, 2, 3, 4
  UNION ALL
  -- A page in place of the one that was asked for is an exchange that went well. By probe, as the index begins with it.
  SELECT m.probe_key, m.target_key, m.ts, m.kind, 1, 1
  FROM probe JOIN measurement m USING (probe_key)
  WHERE m.kind = %(http)s AND m.outcome = 0 AND m.ts >= %(since)s AND m.ts < %(until)s
    AND m.detail->>'sample' IS NOT NULL
)
SELECT DISTINCT p.cc, p.household_key, target_key, date_bin(interval '1 hour', bucket, timestamptz '2000-01-01Z')
FROM part JOIN probe p USING (probe_key)
WHERE n_failed >= %(share)s * n AND n_failed > 0 AND NOT p.is_anchor
  AND (kind <> %(dns)s OR n_failed > 0.5 * n)
