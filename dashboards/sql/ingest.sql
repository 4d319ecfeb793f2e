-- :refused
SELECT coalesce(refused / nullif(refused + stored, 0), 0)::float8 AS value
FROM (SELECT count(*)::float8 AS refused FROM grafana.quarantine WHERE last_at > now() - interval '1 hour') q
CROSS JOIN (SELECT count(*)::float8 AS stored FROM grafana.batch
            WHERE received_at > now() - interval '1 hour') b

-- :least_free_disk
SELECT min(value) AS value FROM grafana.gauge
WHERE name = 'disk_free_share' AND at > now() - interval '5 minutes'

-- :measurements_committed
SELECT date_bin(greatest('$__interval'::interval, interval '1 minute'), received_at, '2000-01-01Z') AS time,
       'measurements' AS metric,
       (sum(measurements) / extract(epoch FROM greatest('$__interval'::interval, interval '1 minute')))::float8
       AS value
FROM grafana.batch WHERE received_at >= {last day} AND received_at <= $__timeTo()::timestamptz
GROUP BY 1 ORDER BY 1

-- :age_of_batches
SELECT time, word AS metric, value
FROM (SELECT date_bin(greatest('$__interval'::interval, interval '1 minute'), received_at, '2000-01-01Z') AS time,
             percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY greatest(age_s, 0)) AS ages
      FROM grafana.batch
      WHERE received_at >= {last day} AND received_at <= $__timeTo()::timestamptz GROUP BY 1) bin
CROSS JOIN LATERAL unnest(ARRAY['50 of 100', '99 of 100'], ages) part (word, value) ORDER BY 1, 2

-- :refused_in_this_time
SELECT reason, sum(n)::float8 AS messages, count(DISTINCT probe_id)::float8 AS probes,
       bool_and(receipted) AS receipted, max(last_at) AS last
FROM grafana.quarantine WHERE $__timeFilter(last_at) GROUP BY 1 ORDER BY 2 DESC, 1

-- :signs_of_life
SELECT date_bin(greatest('$__interval'::interval, interval '2 minutes'), at, '2000-01-01Z') AS time,
       role || ' ' || instance AS metric, min(ok::int)::float8 AS value
FROM grafana.beat WHERE $__timeFilter(at) GROUP BY 1, 2 ORDER BY 1, 2

-- :certificates_lists_of_revoked_ones_backup
SELECT DISTINCT ON (name, label) name AS what, label AS file,
       CASE WHEN name <> 'backup_age_s' THEN value END AS left,
       CASE WHEN name = 'backup_age_s' THEN value END AS age, at AS "said at"
FROM grafana.gauge
WHERE name IN ('certificate_left_s', 'crl_left_s', 'backup_age_s') AND at > now() - interval '1 hour'
ORDER BY name, label, at DESC

-- :notifications_in_this_time
SELECT state, change, count(*)::float8 AS notices, max(attempts)::float8 AS "most attempts",
       max(made_at) AS last
FROM grafana.notice WHERE $__timeFilter(made_at) GROUP BY 1, 2 ORDER BY 1, 2

-- :gauges
WITH asked AS (SELECT * FROM grafana.gauge WHERE $__timeFilter(at) AND name IN ({names}))
SELECT date_bin(greatest('$__interval'::interval, interval '1 minute'), at, '2000-01-01Z') AS time,
       {metric} AS metric, max(value) AS value
FROM asked GROUP BY 1, 2 ORDER BY 1, 2
