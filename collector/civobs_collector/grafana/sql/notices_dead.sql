-- Notifications that were given up.
SELECT coalesce((SELECT value FROM grafana.alert_gauge
                  WHERE name = 'notices_dead' AND at > $__timeTo()::timestamptz - interval '10 minutes'
                    AND at <= $__timeTo()::timestamptz
                  ORDER BY at DESC LIMIT 1), 0)::float8 AS value
