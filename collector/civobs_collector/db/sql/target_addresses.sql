-- What is known of the addresses that a target's name led to, and in which networks; the words are those of Told.
WITH told AS (
  -- The target itself was met over verified TLS, or something answered a connect, or nothing that was hoped for came.
  SELECT target_key, probe_key, detail->>'address' AS address,
         CASE WHEN (detail->>'verified')::bool THEN 'verified' WHEN outcome = 1 THEN 'failed'
              WHEN kind = %(tcp)s THEN 'open' ELSE 'verified' END AS told
  FROM measurement
  WHERE target_key = ANY(%(targets)s) AND ts >= %(since)s AND ts < %(until)s AND outcome < 2
    AND kind = ANY(%(kinds)s) AND detail ? 'address'
    AND CASE WHEN kind = %(tls)s THEN coalesce(detail->>'named', 'target') = 'target'
             WHEN kind = %(tcp)s OR outcome = 1 THEN true
             ELSE (detail->>'verified')::bool END
  UNION ALL
  -- Resolvers that the household was given are called resolver, resolver.2 and so on.
  SELECT target_key, probe_key, detail->>'address', CASE WHEN starts_with(r, 'resolver') THEN 'given' ELSE 'independent' END
  FROM measurement, jsonb_array_elements_text(detail->'resolvers') r
  WHERE target_key = ANY(%(targets)s) AND ts >= %(since)s AND ts < %(until)s AND outcome < 2
    AND kind IN (%(tcp)s, %(tls)s)
  UNION ALL
  SELECT target_key, probe_key, a, CASE WHEN starts_with(detail->>'resolver', 'resolver') THEN 'given' ELSE 'independent' END
  FROM measurement, jsonb_array_elements_text(detail->'answers') a
  WHERE target_key = ANY(%(targets)s) AND ts >= %(since)s AND ts < %(until)s AND outcome < 2 AND kind = %(dns)s
  UNION ALL
  SELECT target_key, probe_key, a, 'doubled'
  FROM measurement, jsonb_array_elements(detail->'others') other,
       jsonb_array_elements_text((other->'answers') || (detail->'answers')) a
  WHERE target_key = ANY(%(targets)s) AND ts >= %(since)s AND ts < %(until)s AND outcome < 2 AND kind = %(dns)s
    AND NOT other ? 'failure' AND jsonb_array_length(other->'answers') > 0
    AND NOT EXISTS (
      SELECT FROM jsonb_array_elements_text(other->'answers') b WHERE jsonb_exists(detail->'answers', b)
    )
)
SELECT DISTINCT target_key, cc, asn, address, told FROM told JOIN probe USING (probe_key)
