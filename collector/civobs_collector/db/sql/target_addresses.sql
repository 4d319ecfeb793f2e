-- Addresses at which the target itself was met: over verified TLS (true), or where something answered a connect (false).
SELECT DISTINCT m.target_key, m.detail->>'address', m.kind <> %(tcp)s
FROM measurement m
WHERE m.target_key = ANY(%(targets)s) AND m.ts >= %(since)s AND m.ts <= %(now)s
  AND m.kind = ANY(%(kinds)s) AND m.outcome = 0 AND m.detail ? 'address'
  AND CASE WHEN m.kind = %(tls)s THEN coalesce(m.detail->>'named', 'target') = 'target'
           WHEN m.kind = %(tcp)s THEN true
           ELSE (m.detail->>'verified')::bool END
