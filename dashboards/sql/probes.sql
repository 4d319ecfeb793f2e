-- :households_by_the_broker_s_word
SELECT step.at AS time, word AS metric, sum(n)::float8 AS value
FROM {few steps} CROSS JOIN LATERAL grafana.presence_at(step.at) p
CROSS JOIN LATERAL (VALUES ('online', p.online), ('offline', p.offline), ('unknown', p.unknown))
                   said (word, n)
GROUP BY 1, 2 ORDER BY 1, 2

-- :spool_age_of_what_arrives
SELECT time, word AS metric, value
FROM (SELECT date_bin('15 minutes', received_at, '2000-01-01Z') AS time,
             percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY greatest(age_s, 0)) AS ages
      FROM grafana.batch
      WHERE received_at >= {last day} AND received_at <= $__timeTo()::timestamptz AND NOT is_anchor GROUP BY 1) bin
CROSS JOIN LATERAL unnest(ARRAY['50 of 100', '95 of 100'], ages) part (word, value) ORDER BY 1, 2

-- :error_of_clocks
SELECT bound, count(clock)::float8 AS value
FROM (VALUES (1, 'up to 0.1 s', 0.1::float8), (2, 'up to 1 s', 1), (3, 'up to 10 s', 10),
             (4, 'up to 1 min', 60), (5, 'more', 'inf'), (6, 'not bounded', NULL)) step (place, bound, most)
LEFT JOIN (SELECT clock, clock_error_s,
                  CASE WHEN clock_error_s IS NULL THEN 6 ELSE 1 + width_bucket(clock_error_s,
                    ARRAY[0.1000001, 1.000001, 10.00001, 60.00001]::float8[]) END AS found
           FROM grafana.probe WHERE status = 'active' AND NOT is_anchor AND clock <> '') p ON found = place
GROUP BY place, bound ORDER BY place

-- :gaps_and_refused_batches
SELECT probe_id AS probe, cc, network, missing_batches AS missing, refused_batches AS refused,
       last_batch_at AS "last batch", agent
FROM grafana.probe WHERE missing_batches > 0 OR refused_batches > 0
ORDER BY missing_batches + refused_batches DESC, probe_id LIMIT 200

-- :not_stored
SELECT last_at AS last, probe_id AS probe, reason, n, receipted AS "told the probe"
FROM grafana.quarantine WHERE $__timeFilter(last_at) ORDER BY last_at DESC LIMIT 200

-- :probes
SELECT probe_id AS probe, cc, network, access, status, state, state_since AS since,
       last_batch_at AS "last batch", spool_age_s AS "spool age", clock, clock_error_s AS "clock error",
       agent, board, plan, detour, missing_batches AS missing
FROM grafana.probe WHERE NOT is_anchor AND status <> 'revoked'
ORDER BY last_batch_at NULLS FIRST LIMIT 1000
