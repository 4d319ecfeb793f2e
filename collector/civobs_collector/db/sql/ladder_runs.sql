-- Rows of the ladder folded to runs of like outcomes: the first and the last row of every run, in order.
-- One sort and one window; what is neither first nor last is dropped before it leaves the server.
WITH span AS (
  SELECT * FROM unnest(%(keys)s::int4[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS s (probe_key, start_at, end_at)
), telling AS (
  SELECT m.probe_key, m.target_key, m.family, m.ts, m.seq, m.clock_err_ms,
         CASE WHEN m.clock_err_ms > %(clock_ms)s THEN 5
              -- Enough answered, but only a few: a list of hosts abroad, or a next hop without a resolver.
              WHEN m.outcome = 0 AND m.target_key = (SELECT target_key FROM target WHERE name = 'L4')
                   AND m.value <= %(few)s THEN 6
              WHEN m.outcome = 0 AND m.target_key = (SELECT target_key FROM target WHERE name = 'L2')
                   AND m.value < 1 THEN 6
              -- Of services only the first step is asked for: where a later one failed, the name was found.
              WHEN m.outcome = 1 AND m.target_key = (SELECT target_key FROM target WHERE name = 'L5')
                   AND m.detail #>> '{checks,-1,id}' IS DISTINCT FROM 'name' THEN 0
              WHEN m.outcome < 2 THEN m.outcome
              WHEN m.failure = %(agent_down)s THEN 2
              WHEN m.failure = ANY(%(paused)s::int2[]) THEN 3
              ELSE 4 END AS said
  FROM span
  JOIN measurement m ON m.probe_key = span.probe_key AND m.ts >= span.start_at AND m.ts <= span.end_at
  WHERE m.kind = %(kind)s AND m.target_key = ANY(ARRAY(SELECT target_key FROM target WHERE name = ANY(%(rungs)s::text[])))
    AND m.ts >= (SELECT min(start_at) FROM span) AND m.ts <= (SELECT max(end_at) FROM span)
), marked AS (
  SELECT *, row_number() OVER w AS number,
         coalesce(lag(said) OVER w <> said OR ts - lag(ts) OVER w > %(gap)s, true) AS is_first,
         coalesce(lead(said) OVER w <> said OR lead(ts) OVER w - ts > %(gap)s, true) AS is_last
  FROM telling
  WINDOW w AS (PARTITION BY probe_key, target_key, family ORDER BY ts, seq)
)
SELECT probe_key, name, family, said, ts, clock_err_ms, number, is_first, is_last
FROM marked JOIN target USING (target_key) WHERE is_first OR is_last
ORDER BY probe_key, name, family, ts, seq
