-- The share of households that were online a day before and are offline now, in countries without an open event of lost
-- lines; 0 if they are fewer than three or all of one country. Many at once without a country in common is no shutdown:
-- an agent's version, certificates, the broker.
WITH open AS MATERIALIZED (
  SELECT DISTINCT cc FROM grafana.alert_event
   WHERE published_at <= $__timeTo()::timestamptz
     AND kind NOT IN ('blocking', 'throttling_targeted', 'throttling_general')
     AND (replaced_at IS NULL OR replaced_at > $__timeTo()::timestamptz)
     AND (status = 'open' OR published_at > $__timeTo()::timestamptz - interval '2 hours')
), seen AS (
  SELECT cc, sum(online) AS online, sum(offline) AS offline
    FROM grafana.presence_at($__timeTo()::timestamptz) GROUP BY cc
), before AS (
  SELECT cc, sum(online) AS online FROM grafana.presence_at($__timeTo()::timestamptz - interval '1 day') GROUP BY cc
), lost AS (
  SELECT before.online AS had, least(greatest(before.online - seen.online, 0), seen.offline) AS gone
    FROM before JOIN seen USING (cc) WHERE cc NOT IN (SELECT cc FROM open)
)
SELECT CASE WHEN sum(gone) >= 3 AND count(*) FILTER (WHERE gone > 0) >= 2 THEN sum(gone) / sum(had) ELSE 0
       END::float8 AS value
  FROM lost
