INSERT INTO batch (
  probe_key, batch_seq, boot_id, sealed_at, received_at, n, first_seq, last_seq,
  clock, clock_err_ms, agent, plan_id, payload_sha256, archive_file, archive_offset
)
SELECT * FROM unnest(
  %s::int4[], %s::int8[], %s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::int4[], %s::int8[], %s::int8[],
  %s::text[], %s::int4[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::int8[]
)
-- Two writers that take the same keys in opposite order would wait for each other.
ORDER BY 1, 2
ON CONFLICT (probe_key, batch_seq) DO NOTHING
RETURNING probe_key, batch_seq
