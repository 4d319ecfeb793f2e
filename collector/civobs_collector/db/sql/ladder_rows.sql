-- Rows of the ladder within the ranges of `range`, each as a run of one row. `part` keeps what is folded apart.
told AS (
  SELECT range.part, m.probe_key, m.target_key, m.family,
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
              ELSE 4 END AS said,
         1 AS n, m.ts AS first_at, m.ts AS last_at, m.clock_err_ms AS first_err_ms, m.clock_err_ms AS last_err_ms,
         m.seq AS place
  FROM range
  -- OFFSET keeps the planner to the index of each range: it cannot know that ranges are short.
  CROSS JOIN LATERAL (
    SELECT * FROM measurement one
    WHERE one.probe_key = range.probe_key AND one.kind = %(kind)s AND one.ts >= range.start_at AND one.ts < range.end_at
    OFFSET 0
  ) m
  WHERE m.target_key = ANY(ARRAY(SELECT target_key FROM target WHERE name = ANY(%(rungs)s::text[])))
)
