-- :open_events
SELECT event, title, country, cc, level, confidence, began_at AS began, households_down AS down,
       households_observed AS observed, severity_depth AS depth, networks, held, reviewed_by AS reviewed
FROM grafana.event WHERE status = 'open'
ORDER BY severity_area DESC NULLS LAST, began_at DESC LIMIT 200

-- :ingest_last_at_work
SELECT extract(epoch FROM now() - max(at))::float8 AS value FROM grafana.beat
WHERE role = 'ingest' AND ok AND at > now() - interval '1 day'

-- :countries_by_state
SELECT cc, country, state_code AS state, households, online, open_events AS "open events"
FROM grafana.country WHERE state_code > 0

-- :countries
SELECT country, cc, state, open_events AS open, networks, households, online, heard,
       last_batch_at AS "last batch"
FROM grafana.country ORDER BY state_code DESC, country

-- :households_online
SELECT step.at AS time, 'online' AS metric, nullif(sum(p.online), 0)::float8 AS value
FROM {few steps} CROSS JOIN LATERAL grafana.presence_at(step.at) p GROUP BY 1 ORDER BY 1

-- :published_last
SELECT published_at AS published, event, cc, version, change_kind AS change, reason, status,
       confidence
FROM grafana.event_version WHERE $__timeFilter(published_at)
ORDER BY published_at DESC LIMIT 100
