-- Seconds since ingest last gave a sign of life with its broker connected, or, if that is longer, since it last
-- committed while messages waited. An hour without any message is no fault of ingest.
SELECT greatest(
         extract(epoch FROM $__timeTo()::timestamptz - (
           SELECT max(at) FROM grafana.alert_beat WHERE role = 'ingest' AND ok AND at <= $__timeTo()::timestamptz)),
         (SELECT max(age) FROM (
            SELECT min(value) FILTER (WHERE name = 'last_commit_age_s') AS age,
                   greatest(min(value) FILTER (WHERE name = 'queue_depth'),
                            min(value) FILTER (WHERE name = 'unacked')) AS waiting
              FROM grafana.alert_gauge
             WHERE name IN ('last_commit_age_s', 'queue_depth', 'unacked')
               AND at > $__timeTo()::timestamptz - interval '3 minutes' AND at <= $__timeTo()::timestamptz
             GROUP BY role, instance) process
           WHERE waiting > 0),
         0)::float8 AS value
