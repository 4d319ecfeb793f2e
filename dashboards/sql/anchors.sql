-- :targets_asked_by_anchors
SELECT count(DISTINCT target)::float8 AS value
FROM grafana.target_hours($__timeTo()::timestamptz - interval '1 day', $__timeTo()::timestamptz, NULL, true)

-- :targets_that_fail_at_anchors
SELECT count(*)::float8 AS value FROM (
  SELECT target
  FROM grafana.target_hours($__timeTo()::timestamptz - interval '1 day', $__timeTo()::timestamptz, NULL, true)
  GROUP BY target HAVING 2 * sum(failing) > sum(households)) broken

-- :failing_at_anchors_by_layer
SELECT at AS time, layer AS metric, (sum(failing) / sum(households))::float8 AS value
FROM grafana.target_hours($__timeFrom()::timestamptz, $__timeTo()::timestamptz, NULL, true)
GROUP BY 1, 2 ORDER BY 1, 2

-- :failing_targets
SELECT target, layer, (sum(failing) / sum(households))::float8 AS failing, sum(measurements)::float8 AS measurements
FROM grafana.target_hours($__timeFrom()::timestamptz, $__timeTo()::timestamptz, NULL, true)
GROUP BY 1, 2 HAVING sum(failing) > 0 ORDER BY 3 DESC, 1, 2 LIMIT 200

-- :countries_by_way_to_the_nearest_server
SELECT c.country, cc, c.households, near.server AS "nearest server", near.rtt_s AS "round trip",
       near.transfers
FROM grafana.country c LEFT JOIN (
  SELECT DISTINCT ON (cc) * FROM (
    SELECT cc, server, percentile_cont(0.5) WITHIN GROUP (ORDER BY rtt_s) AS rtt_s, count(*)::float8 AS transfers
    FROM grafana.transfer WHERE $__timeFilter(at) AND kind = 'throughput' GROUP BY 1, 2) way
  ORDER BY cc, rtt_s) near USING (cc)
WHERE c.households > 0 ORDER BY near.rtt_s DESC NULLS FIRST, c.country LIMIT 200

-- :servers_that_homes_measured_against
SELECT server, count(*)::float8 AS transfers, count(DISTINCT cc)::float8 AS countries,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS speed,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY rtt_s) AS "round trip"
FROM grafana.transfer WHERE $__timeFilter(at) AND kind = 'throughput' AND direction = 'download'
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100
