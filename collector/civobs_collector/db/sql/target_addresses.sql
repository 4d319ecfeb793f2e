-- What is known of the addresses that a target's name led to, and in which networks; the words are those of Told.
SELECT DISTINCT m.target_key, p.cc, p.asn, said.address, said.told
FROM measurement m
JOIN probe p USING (probe_key)
CROSS JOIN LATERAL (
  -- The target itself was met over verified TLS, or something answered a connect, or nothing that was hoped for came.
  SELECT m.detail->>'address',
         CASE WHEN (m.detail->>'verified')::bool THEN 'verified' WHEN m.outcome = 1 THEN 'failed'
              WHEN m.kind = %(tcp)s THEN 'open' ELSE 'verified' END
  WHERE m.kind <> %(dns)s AND m.detail ? 'address'
    AND CASE WHEN m.kind = %(tls)s THEN coalesce(m.detail->>'named', 'target') = 'target'
             WHEN m.kind = %(tcp)s OR m.outcome = 1 THEN true
             ELSE (m.detail->>'verified')::bool END
  UNION ALL
  -- Resolvers that the household was given are called resolver, resolver.2 and so on.
  SELECT m.detail->>'address', CASE WHEN starts_with(r, 'resolver') THEN 'given' ELSE 'independent' END
  FROM jsonb_array_elements_text(CASE WHEN m.kind IN (%(tcp)s, %(tls)s) THEN m.detail->'resolvers' END) r
  UNION ALL
  SELECT a, CASE WHEN starts_with(m.detail->>'resolver', 'resolver') THEN 'given' ELSE 'independent' END
  FROM jsonb_array_elements_text(CASE WHEN m.kind = %(dns)s THEN m.detail->'answers' END) a
  UNION ALL
  SELECT a, 'doubled'
  FROM jsonb_array_elements(CASE WHEN m.kind = %(dns)s THEN m.detail->'others' END) other,
       jsonb_array_elements_text((other->'answers') || (m.detail->'answers')) a
  WHERE NOT other ? 'failure' AND jsonb_array_length(other->'answers') > 0
    AND NOT EXISTS (
      SELECT FROM jsonb_array_elements_text(other->'answers') b WHERE jsonb_exists(m.detail->'answers', b)
    )
) AS said (address, told)
WHERE m.target_key = ANY(%(targets)s) AND m.ts >= %(since)s AND m.ts <= %(now)s
  AND m.kind = ANY(%(kinds)s) AND m.outcome < 2 AND m.detail IS NOT NULL
