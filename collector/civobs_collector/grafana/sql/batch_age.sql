-- Seconds from sealed to committed, 99th percentile of five minutes, for each ingest process.
SELECT '' AS instance, 0::float8 AS value
UNION ALL
SELECT instance, value FROM (
  SELECT DISTINCT ON (instance) instance, value
    FROM grafana.alert_gauge
   WHERE name = 'batch_age_p99_s' AND instance <> ''
     AND at > $__timeTo()::timestamptz - interval '5 minutes' AND at <= $__timeTo()::timestamptz
   ORDER BY instance, at DESC) newest
