-- Days until each certificate expires.
SELECT '' AS file, 365::float8 AS value
UNION ALL
SELECT label, min(value) / 86400 FROM (
  SELECT DISTINCT ON (instance, label) label, value
    FROM grafana.alert_gauge
   WHERE name = 'certificate_left_s' AND label <> ''
     AND at > $__timeTo()::timestamptz - interval '10 minutes' AND at <= $__timeTo()::timestamptz
   ORDER BY instance, label, at DESC) newest
 GROUP BY label
