-- Messages that the broker dropped in the last quarter of an hour, as each ingest process heard. The broker counts from
-- its start.
SELECT '' AS instance, 0::float8 AS value
UNION ALL
SELECT instance, coalesce(sum(greatest(value - before, 0)), 0)::float8 FROM (
  SELECT instance, value, lag(value) OVER (PARTITION BY instance ORDER BY at) AS before
    FROM grafana.alert_gauge
   WHERE name = 'broker_dropped' AND instance <> ''
     AND at > $__timeTo()::timestamptz - interval '15 minutes' AND at <= $__timeTo()::timestamptz) step
 GROUP BY instance
