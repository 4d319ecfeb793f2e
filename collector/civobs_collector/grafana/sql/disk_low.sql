-- Free share of the disk of each folder.
SELECT '' AS folder, 1::float8 AS value
UNION ALL
SELECT label, min(value) FROM (
  SELECT DISTINCT ON (instance, label) label, value
    FROM grafana.alert_gauge
   WHERE name = 'disk_free_share' AND label <> ''
     AND at > $__timeTo()::timestamptz - interval '10 minutes' AND at <= $__timeTo()::timestamptz
   ORDER BY instance, label, at DESC) newest
 GROUP BY label
