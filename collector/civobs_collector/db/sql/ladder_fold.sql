INSERT INTO {table}
  (probe_key, start, rule, target_key, family, said, n, first_at, last_at, first_err_ms, last_err_ms)
WITH range AS (
  SELECT probe_key, start_at, start_at + %(length)s AS end_at, start_at AS part
  FROM unnest(%(keys)s::int4[], %(starts)s::timestamptz[]) AS r (probe_key, start_at)
), {rows}, piece AS (
  SELECT * FROM told
), {runs}
SELECT range.probe_key, range.start_at, %(rule)s,
       {arrays}
FROM range LEFT JOIN run ON run.probe_key = range.probe_key AND run.part = range.part
GROUP BY range.probe_key, range.start_at
ON CONFLICT (probe_key, start) DO UPDATE SET
  (rule, target_key, family, said, n, first_at, last_at, first_err_ms, last_err_ms) =
  (excluded.rule, excluded.target_key, excluded.family, excluded.said, excluded.n, excluded.first_at, excluded.last_at,
   excluded.first_err_ms, excluded.last_err_ms)
