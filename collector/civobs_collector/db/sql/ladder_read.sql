-- Runs of the ladder within spans, from what is folded already and from the rows of the rest, as of one moment.
-- A fold counts if it lies whole within its span, was folded by this rule, and nothing came since that it lacks.
WITH span AS (
  SELECT * FROM unnest(%(keys)s::int4[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS s (probe_key, since, until)
), dirty AS MATERIALIZED (
  SELECT DISTINCT probe_key, date_trunc('hour', bucket, 'UTC') AS start FROM dirty_bucket
), whole_day AS MATERIALIZED (
  SELECT span.probe_key, d.start
  FROM span JOIN ladder_1d d ON d.probe_key = span.probe_key AND d.rule = %(rule)s
       AND d.start >= span.since AND d.start <= span.until - interval '24 hours'
  WHERE NOT EXISTS (
    SELECT FROM dirty WHERE dirty.probe_key = d.probe_key AND date_trunc('day', dirty.start, 'UTC') = d.start)
), other_day AS (
  SELECT span.*, day.start
  FROM span CROSS JOIN LATERAL generate_series(date_trunc('day', since, 'UTC'), until, interval '24 hours') day (start)
  WHERE NOT EXISTS (SELECT FROM whole_day w WHERE w.probe_key = span.probe_key AND w.start = day.start)
), other_hour AS MATERIALIZED (
  SELECT o.probe_key, o.since, o.until, h.start
  FROM other_day o
  CROSS JOIN LATERAL generate_series(greatest(o.start, date_trunc('hour', since, 'UTC')),
                                     least(o.start + interval '23 hours', until), interval '1 hour') h (start)
), hour AS MATERIALIZED (
  SELECT o.*, f.start IS NOT NULL AND dirty.start IS NULL AS is_folded
  FROM other_hour o
  -- OFFSET as in the rows: hours are looked up one by one, and not found by reading all that were ever folded.
  LEFT JOIN LATERAL (
    SELECT start FROM ladder_1h one
    WHERE one.probe_key = o.probe_key AND one.start = o.start AND one.rule = %(rule)s
      AND o.start >= o.since AND o.start <= o.until - interval '1 hour'
    OFFSET 0
  ) f ON true
  LEFT JOIN dirty ON dirty.probe_key = o.probe_key AND dirty.start = o.start
), range AS (
  -- Hours that follow each other are read at once. The end of a span belongs to it.
  SELECT probe_key, greatest(min(start), since) AS start_at,
         least(max(start) + interval '1 hour', until + interval '1 microsecond') AS end_at, 0 AS part
  FROM (SELECT *, start - interval '1 hour' * row_number() OVER (PARTITION BY probe_key, since ORDER BY start) AS island
        FROM hour WHERE NOT is_folded) apart
  GROUP BY probe_key, since, until, island
), {rows}, fold AS (
  SELECT l.* FROM whole_day JOIN ladder_1d l USING (probe_key, start)
  UNION ALL
  SELECT l.* FROM hour CROSS JOIN LATERAL (
    SELECT * FROM ladder_1h one WHERE one.probe_key = hour.probe_key AND one.start = hour.start OFFSET 0
  ) l WHERE is_folded
), piece AS (
  SELECT * FROM told
  UNION ALL
  SELECT 0, fold.probe_key, one.target_key, one.family, one.said, one.n, one.first_at, one.last_at, one.first_err_ms,
         one.last_err_ms, one.place
  FROM fold CROSS JOIN LATERAL
       unnest(target_key, family, said, n, first_at, last_at, first_err_ms, last_err_ms) WITH ORDINALITY
       AS one (target_key, family, said, n, first_at, last_at, first_err_ms, last_err_ms, place)
  WHERE one.target_key = ANY(ARRAY(SELECT target_key FROM target WHERE name = ANY(%(rungs)s::text[])))
), {runs}
SELECT probe_key, name, family, said, first_at, last_at, n, first_err_ms, last_err_ms
FROM run JOIN target USING (target_key)
ORDER BY probe_key, name, family, first_at, place, said, first_err_ms
