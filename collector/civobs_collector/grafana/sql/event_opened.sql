-- 1 from when an event is first published until it is closed or retracted, and for an hour at least unless it is
-- retracted: an event that was over when it was found is told too. A 0 for each country besides.
SELECT cc, '' AS event, '' AS page, 0::float8 AS value FROM grafana.alert_country
UNION ALL
SELECT cc, event, page, value FROM (
SELECT DISTINCT ON (event) cc, event, page,
       CASE WHEN status = 'open' THEN 1
            WHEN status = 'closed' AND first_published_at > $__timeTo()::timestamptz - interval '1 hour' THEN 1
            ELSE 0 END::float8 AS value
  FROM grafana.alert_event
 WHERE published_at <= $__timeTo()::timestamptz
   -- What is open is told for as long as it is, also when nothing new was published of it for weeks.
   AND (status = 'open' OR published_at > $__timeTo()::timestamptz - interval '2 days')
   AND (replaced_at IS NULL OR replaced_at > $__timeTo()::timestamptz)
 -- Two rows of one label set fail the rule for every event: a clock that ran ahead dates a version after the next.
 ORDER BY event, version DESC) newest
