-- How old the last judgement is, in units of what is too old: five minutes for losses of the line, half an hour for
-- services. 0 while ingest is not at work, which is told by its own rule.
WITH ingest AS (
  SELECT EXISTS (SELECT FROM grafana.alert_beat
                  WHERE role = 'ingest' AND ok AND at > $__timeTo()::timestamptz - interval '2 minutes'
                    AND at <= $__timeTo()::timestamptz) AS at_work
)
SELECT 'losses' AS what,
       CASE WHEN at_work THEN coalesce(extract(epoch FROM $__timeTo()::timestamptz - (
         SELECT max(at) FROM grafana.alert_beat WHERE role = 'detect' AND at <= $__timeTo()::timestamptz)) / 300, 2)
       ELSE 0 END::float8 AS value
  FROM ingest
UNION ALL
SELECT 'services',
       CASE WHEN at_work THEN coalesce((
         SELECT value / 1800 FROM grafana.alert_gauge
          WHERE name = 'services_judged_age_s' AND at > $__timeTo()::timestamptz - interval '5 minutes'
            AND at <= $__timeTo()::timestamptz
          ORDER BY at DESC LIMIT 1), 0)
       ELSE 0 END::float8
  FROM ingest
