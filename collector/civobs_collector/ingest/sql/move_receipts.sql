INSERT INTO receipt (probe_key, committed, rejected, updated_at)
SELECT probe_key, committed, rejected - committed, %s
FROM unnest(%s::int4[], %s::text[]::int8multirange[], %s::text[]::int8multirange[]) AS moved (probe_key, committed, rejected)
ORDER BY probe_key
ON CONFLICT (probe_key) DO UPDATE SET
  committed = receipt.committed + excluded.committed,
  rejected = (receipt.rejected + excluded.rejected) - (receipt.committed + excluded.committed),
  updated_at = excluded.updated_at
RETURNING probe_key, committed, rejected
