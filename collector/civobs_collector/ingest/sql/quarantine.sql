INSERT INTO rejected_batch (
  received_at, last_at, n, topic, probe_id, batch_seq, reason, detail, payload_sha256, payload, receipted
)
SELECT received_at, received_at, n, topic, probe_id, batch_seq, reason, detail, payload_sha256, payload, receipted
FROM unnest(
  %s::timestamptz[], %s::int8[], %s::text[], %s::text[], %s::int8[], %s::text[], %s::text[], %s::bytea[], %s::bytea[],
  %s::bool[]
) AS refused (received_at, n, topic, probe_id, batch_seq, reason, detail, payload_sha256, payload, receipted)
ON CONFLICT (payload_sha256, topic) DO UPDATE SET
  n = rejected_batch.n + excluded.n,
  last_at = excluded.last_at,
  payload = coalesce(rejected_batch.payload, excluded.payload),
  receipted = rejected_batch.receipted OR excluded.receipted
