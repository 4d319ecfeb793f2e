-- 1 for an hour after a reviewer has confirmed an event. A 0 for each country besides.
SELECT cc, '' AS event, '' AS page, 0::float8 AS value FROM grafana.alert_country
UNION ALL
SELECT cc, event, page, max(CASE WHEN newly_confirmed THEN 1 ELSE 0 END)::float8
  FROM grafana.alert_event
 WHERE published_at <= $__timeTo()::timestamptz AND published_at > $__timeTo()::timestamptz - interval '1 hour'
 GROUP BY cc, event, page
