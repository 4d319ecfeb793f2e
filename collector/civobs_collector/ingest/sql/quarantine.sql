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
  -- The same bytes may be judged anew: a stranger's become a probe's once it is enrolled.
  probe_id = coalesce(rejected_batch.probe_id, excluded.probe_id),
  batch_seq = coalesce(rejected_batch.batch_seq, excluded.batch_seq),
  reason = CASE WHEN excluded.receipted AND NOT rejected_batch.receipted THEN excluded.reason ELSE rejected_batch.reason END,
  detail = CASE WHEN excluded.receipted AND NOT rejected_batch.receipted THEN excluded.detail ELSE rejected_batch.detail END,
  payload = coalesce(rejected_batch.payload, excluded.payload),
  receipted = rejected_batch.receipted OR excluded.receipted
