-- :pages
SELECT page, CASE WHEN path LIKE 'https:%' OR path LIKE '/d/%' THEN path
                  ELSE coalesce((SELECT public_url FROM grafana.observatory), '') || path END AS address
FROM grafana.event CROSS JOIN LATERAL (VALUES
  (0, 'Its time, on this dashboard',
      '/d/civobs-event?var-event=' || event
      || '&from=' || round(extract(epoch FROM onset_earliest - interval '2 hours') * 1000)
      || '&to=' || round(extract(epoch FROM coalesce(ended_at, now()) + interval '2 hours') * 1000)),
  (1, 'Decide: confirm, retract, hold, merge, split', '/staff/events/' || event),
  (2, 'Its public page', CASE WHEN event LIKE 'CIV-%' THEN '/events/' || event END),
  (3, 'Its measurements', nullif(measurements, '')),
  (4, 'The source of its cause', nullif(cause_source, ''))) line (place, page, path)
WHERE event = '$event' AND path IS NOT NULL ORDER BY place

-- :facts
SELECT fact, value FROM grafana.event CROSS JOIN LATERAL (VALUES
  (1, 'What', title), (2, 'Status', status || CASE WHEN provisional THEN ', provisional' ELSE '' END),
  (3, 'Confidence', confidence || ', posterior ' || round(posterior::numeric, 3)),
  (4, 'Began between',
       to_char(onset_earliest, 'YYYY-MM-DD HH24:MI:SS')
       || ' and ' || to_char(onset_latest, 'YYYY-MM-DD HH24:MI:SS')),
  (5, 'Ended between',
       to_char(resolution_earliest, 'YYYY-MM-DD HH24:MI:SS')
       || ' and ' || to_char(resolution_latest, 'YYYY-MM-DD HH24:MI:SS')),
  (6, 'Level and access', level || ', ' || access), (7, 'Networks', nullif(networks, '')),
  (8, 'Services', nullif(targets, '')), (9, 'Depth', depth),
  (10, 'Households', households_down || ' down of ' || households_observed || ' observed: '
       || round(100 * fraction_lo) || ' to ' || round(100 * fraction_hi) || ' % of the group'),
  (11, 'Severity', 'depth ' || round(severity_depth::numeric, 2) || ', '
       || round(severity_hours::numeric, 1) || ' h, area '
       || round(severity_area::numeric, 2)),
  (12, 'Likeliest place of the fault', likeliest), (13, 'Cause, from a source', cause),
  (14, 'Reviewed by', coalesce(nullif(reviewed_by, ''), 'nobody')), (15, 'Held back', nullif(held, '')),
  (16, 'Detector', detector_version || ', version ' || version || ' of the record')) line (place, fact, value)
WHERE event = '$event' AND value IS NOT NULL ORDER BY place

-- :why_what_was_observed_what_cannot_be_said
SELECT topic, sentence FROM grafana.event_sentence WHERE event = '$event'
ORDER BY array_position(ARRAY['why', 'observed', 'cannot say', 'note'], topic), place

-- :groups_over_time
SELECT at AS time, label || CASE WHEN target = '' THEN '' ELSE ', ' || target END AS metric,
       CASE state WHEN 'up' THEN 0 WHEN 'degraded' THEN 1 WHEN 'down' THEN 2 ELSE 3 END::float8 AS value
FROM grafana.event_bin WHERE event = '$event' AND $__timeFilter(at) ORDER BY 1, 2

-- :households_of_the_widest_group
SELECT at AS time, word AS metric, max(n)::float8 AS value
FROM grafana.event_bin
CROSS JOIN LATERAL (VALUES ('up', up), ('down', down), ('unknown', unknown)) said (word, n)
WHERE event = '$event' AND $__timeFilter(at)
  AND households = (SELECT max(households) FROM grafana.event_bin WHERE event = '$event')
GROUP BY 1, 2 ORDER BY 1, 2

-- :country_by_the_broker_s_word
SELECT step.at AS time, word AS metric, sum(n)::float8 AS value
FROM {steps} CROSS JOIN LATERAL grafana.presence_at(step.at, (SELECT cc FROM grafana.event WHERE event = '$event')) p
CROSS JOIN LATERAL (VALUES ('online', p.online), ('offline', p.offline), ('unknown', p.unknown))
                   said (word, n)
WHERE EXISTS (SELECT FROM grafana.event WHERE event = '$event') GROUP BY 1, 2 ORDER BY 1, 2

-- :start_and_end_by_signal
SELECT signal, onset_earliest AS "began after", onset_latest AS "began before",
       resolution_earliest AS "ended after", resolution_latest AS "ended before",
       value AS "up during", baseline AS "up before"
FROM grafana.event_signal WHERE event = '$event' ORDER BY 2, 1

-- :where_the_fault_may_lie
SELECT hypothesis, weight AS value FROM grafana.event_hypothesis WHERE event = '$event'
ORDER BY weight DESC

-- :versions
SELECT version, published_at AS published, change_kind AS change, reason, status, confidence,
       round(posterior::numeric, 3)::float8 AS posterior, households_down AS down,
       households_observed AS observed, severity_area AS area, depth, held, detector_version AS detector
FROM grafana.event_version WHERE event = '$event' ORDER BY version DESC LIMIT 300

-- :decisions
SELECT at, reviewer, action, note, sources FROM grafana.review WHERE event = '$event' ORDER BY at DESC

-- :event
SELECT event || ' ' || title || ' (' || status || ')' AS __text, event AS __value FROM grafana.event
ORDER BY status = 'open' DESC, began_at DESC LIMIT 500
