-- :networks
SELECT step.at AS time, n.network AS metric,
       CASE WHEN sum(p.online + p.offline) = 0 THEN 3
            WHEN 2 * sum(p.offline) >= sum(p.online + p.offline) THEN 2
            WHEN 4 * sum(p.offline) >= sum(p.online + p.offline) THEN 1 ELSE 0 END::float8 AS value
FROM {steps} CROSS JOIN LATERAL grafana.presence_at(step.at, '$cc') p
JOIN (SELECT asn AS number, network FROM grafana.network WHERE cc = '$cc') n ON n.number = p.asn
WHERE {here} GROUP BY 1, 2 ORDER BY 1, 2

-- :households_by_the_broker_s_word
SELECT step.at AS time, word AS metric, sum(n)::float8 AS value
FROM {steps} CROSS JOIN LATERAL grafana.presence_at(step.at, '$cc') p
CROSS JOIN LATERAL (VALUES ('online', p.online), ('offline', p.offline), ('unknown', p.unknown))
                   said (word, n)
WHERE {here} GROUP BY 1, 2 ORDER BY 1, 2

-- :networks_now
SELECT network, households, fixed, mobile, online, heard, user_share AS "user share",
       last_batch_at AS "last batch"
FROM grafana.network WHERE cc = '$cc' ORDER BY households DESC, network

-- :households_for_which_a_rung_went_well
SELECT at AS time, rung AS metric, (sum(ok) / sum(households))::float8 AS value
FROM grafana.ladder_hour
WHERE cc = '$cc' AND $__timeFilter(at) AND {here}
  AND $__timeTo()::timestamptz - $__timeFrom()::timestamptz <= interval '8 days'
GROUP BY 1, 2
UNION ALL
SELECT at, rung, (sum(ok) / sum(households))::float8 FROM grafana.ladder_day
WHERE cc = '$cc' AND $__timeFilter(at) AND {here}
  AND $__timeTo()::timestamptz - $__timeFrom()::timestamptz > interval '8 days'
GROUP BY 1, 2 ORDER BY 1, 2

-- :newest_hour_of_each_network_and_rung
SELECT n.network, rung, at AS hour, sum(households)::float8 AS asked, sum(ok)::float8 AS ok,
       sum(partly)::float8 AS partly, sum(failed)::float8 AS failed
FROM (SELECT DISTINCT ON (asn, access, rung) * FROM grafana.ladder_hour
      WHERE cc = '$cc' AND at <= $__timeTo()::timestamptz
        AND at > greatest($__timeFrom()::timestamptz, $__timeTo()::timestamptz - interval '1 day')
      ORDER BY asn, access, rung, at DESC) newest
JOIN (SELECT asn AS number, network FROM grafana.network WHERE cc = '$cc') n ON n.number = asn
WHERE {here} GROUP BY 1, 2, 3 ORDER BY 1, 2

-- :failing_by_layer
SELECT at AS time, layer AS metric, (sum(failing) / sum(households))::float8 AS value
FROM grafana.target_hours($__timeFrom()::timestamptz, $__timeTo()::timestamptz, '$cc')
WHERE {here} GROUP BY 1, 2 ORDER BY 1, 2

-- :targets_by_layer
SELECT target,
       (sum(failing) / sum(households))::float8 AS all,
       (sum(failing) FILTER (WHERE layer = 'dns') / sum(households) FILTER (WHERE layer = 'dns'))::float8 AS dns,
       (sum(failing) FILTER (WHERE layer = 'tcp') / sum(households) FILTER (WHERE layer = 'tcp'))::float8 AS tcp,
       (sum(failing) FILTER (WHERE layer = 'tls') / sum(households) FILTER (WHERE layer = 'tls'))::float8 AS tls,
       (sum(failing) FILTER (WHERE layer = 'http') / sum(households) FILTER (WHERE layer = 'http'))::float8 AS http,
       (sum(failing) FILTER (WHERE layer = 'quic') / sum(households) FILTER (WHERE layer = 'quic'))::float8 AS quic,
       max(households)::float8 AS households, sum(measurements)::float8 AS measurements
FROM grafana.target_hours($__timeFrom()::timestamptz, $__timeTo()::timestamptz, '$cc')
WHERE {here} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 300

-- :events_in_this_time
SELECT event, title, status, level, confidence, began_at AS began, ended_at AS ended,
       households_down AS down, households_observed AS observed, severity_depth AS depth, networks,
       targets, held, reviewed_by AS reviewed
FROM grafana.event
WHERE cc = '$cc' AND onset_earliest <= $__timeTo()::timestamptz
  AND (ended_at IS NULL OR ended_at >= $__timeFrom()::timestamptz)
ORDER BY began_at DESC LIMIT 200
