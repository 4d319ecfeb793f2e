-- Share of the batches of the last quarter of an hour that were refused; 0 if they are fewer than five.
SELECT CASE WHEN count(*) FILTER (WHERE rejected) >= 5
            THEN count(*) FILTER (WHERE rejected)::float8 / count(*) ELSE 0 END::float8 AS value
  FROM grafana.alert_batch
 WHERE received_at > $__timeTo()::timestamptz - interval '15 minutes' AND received_at <= $__timeTo()::timestamptz
