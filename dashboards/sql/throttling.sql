-- :download_median
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value FROM grafana.transfer
WHERE cc = '$cc' AND $__timeFilter(at) AND kind = 'throughput' AND direction = 'download' AND {here}

-- :upload_median
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value FROM grafana.transfer
WHERE cc = '$cc' AND $__timeFilter(at) AND kind = 'throughput' AND direction = 'upload' AND {here}

-- :lowest_round_trip_median
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY rtt_s) AS value FROM grafana.transfer
WHERE cc = '$cc' AND $__timeFilter(at) AND kind = 'throughput' AND {here}

-- :round_trips_under_load
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value FROM grafana.transfer
WHERE cc = '$cc' AND $__timeFilter(at) AND kind = 'responsiveness' AND {here}

-- :transfers
SELECT count(*)::float8 AS value FROM grafana.transfer
WHERE cc = '$cc' AND $__timeFilter(at) AND {here}

-- :download_by_network_median_of_six_hours
SELECT date_bin('6 hours', at, '2000-01-01Z') AS time, network AS metric,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value
FROM grafana.transfer
WHERE cc = '$cc' AND $__timeFilter(at) AND kind = 'throughput' AND direction = 'download' AND {here}
GROUP BY 1, 2 ORDER BY 1, 2

-- :lowest_round_trip_by_network_median_of_six_hours
SELECT date_bin('6 hours', at, '2000-01-01Z') AS time, network AS metric,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY rtt_s) AS value
FROM grafana.transfer
WHERE cc = '$cc' AND $__timeFilter(at) AND kind = 'throughput' AND {here}
GROUP BY 1, 2 ORDER BY 1, 2

-- :under_the_name_against_neutral
SELECT date_bin('6 hours', at, '2000-01-01Z') AS time, target AS metric,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE arm = 'target')
       / nullif(percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE arm = 'neutral'), 0)
       AS value
FROM grafana.transfer
WHERE cc = '$cc' AND $__timeFilter(at) AND kind = 'throttling' AND {here}
GROUP BY 1, 2 ORDER BY 1, 2

-- :pairs_by_service_and_network
SELECT target, network, transport, count(*) FILTER (WHERE arm = 'target')::float8 AS pairs,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE arm = 'target') AS name,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE arm = 'neutral') AS neutral,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE arm = 'target')
       / nullif(percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE arm = 'neutral'), 0)
       AS ratio
FROM grafana.transfer
WHERE cc = '$cc' AND $__timeFilter(at) AND kind = 'throttling' AND {here}
GROUP BY 1, 2, 3 ORDER BY ratio NULLS LAST, 1, 2 LIMIT 200

-- :open
SELECT count(*)::float8 AS value FROM grafana.event
WHERE status = 'open' AND held IN ('', 'review') AND cc = '$cc' AND kind IN ('throttling_targeted', 'throttling_general')

-- :events
SELECT event, title, status, level, confidence, began_at AS began, ended_at AS ended,
       households_down AS down, households_observed AS observed, networks, targets, held, reviewed_by AS reviewed
FROM grafana.event
WHERE cc = '$cc' AND onset_earliest <= $__timeTo()::timestamptz
  AND (ended_at IS NULL OR ended_at >= $__timeFrom()::timestamptz)
  AND kind IN ('throttling_targeted', 'throttling_general')
ORDER BY began_at DESC LIMIT 200
