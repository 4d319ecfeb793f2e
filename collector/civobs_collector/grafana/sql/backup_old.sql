-- Hours since the newest whole backup; 0 where no folder of backups is watched.
SELECT coalesce((SELECT value / 3600 FROM grafana.alert_gauge
                  WHERE name = 'backup_age_s' AND at > $__timeTo()::timestamptz - interval '10 minutes'
                    AND at <= $__timeTo()::timestamptz
                  ORDER BY at DESC LIMIT 1), 0)::float8 AS value
