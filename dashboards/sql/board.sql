-- :events
SELECT began_at AS time, coalesce(ended_at, $__timeTo()::timestamptz) AS timeend,
       title || ' (' || confidence || CASE WHEN networks <> '' THEN '): ' || networks ELSE ')' END AS text,
       event || ',' || kind AS tags
FROM grafana.event
WHERE status <> 'retracted' AND held IN ('', 'review') AND onset_earliest <= $__timeTo()::timestamptz
  AND (ended_at IS NULL OR ended_at >= $__timeFrom()::timestamptz) AND {condition}
ORDER BY 1 LIMIT 200
