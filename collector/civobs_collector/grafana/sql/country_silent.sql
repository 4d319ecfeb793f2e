-- 1 for a country in which no household is online, while others are, and no event of lost lines says why. Counted are
-- countries in which two households were online two hours, a day or a week before. Ingest must be at work: else nothing
-- is known.
WITH seen AS MATERIALIZED (
  SELECT cc, sum(online) AS online, sum(offline) AS offline
    FROM grafana.presence_at($__timeTo()::timestamptz) GROUP BY cc
)
SELECT c.cc,
       CASE WHEN coalesce(s.online, 0) > 0 OR coalesce(s.offline, 0) < 2 THEN 0
            WHEN NOT EXISTS (SELECT FROM seen other WHERE other.online > 0) THEN 0
            WHEN EXISTS (SELECT FROM grafana.alert_event e
                          WHERE e.cc = c.cc AND e.published_at <= $__timeTo()::timestamptz
                            AND e.kind NOT IN ('blocking', 'throttling_targeted', 'throttling_general')
                            AND (e.replaced_at IS NULL OR e.replaced_at > $__timeTo()::timestamptz)
                            AND (e.status = 'open' OR e.published_at > $__timeTo()::timestamptz - interval '2 hours'))
            THEN 0
            WHEN EXISTS (SELECT FROM unnest('{2 hours,1 day,7 days}'::interval[]) ago
                          WHERE (SELECT sum(before.online)
                                   FROM grafana.presence_at($__timeTo()::timestamptz - ago, c.cc) before) >= 2)
            THEN 1 ELSE 0 END::float8 AS value
  FROM grafana.alert_country c LEFT JOIN seen s USING (cc)
