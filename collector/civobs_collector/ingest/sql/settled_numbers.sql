-- Numbers that were receipted as rejected, with the digests of the bytes they were receipted for.
SELECT sent.probe_key, sent.batch_seq, r.payload_sha256
FROM unnest(%s::int4[], %s::text[], %s::int8[]) AS sent (probe_key, probe_id, batch_seq)
JOIN receipt ON receipt.probe_key = sent.probe_key AND receipt.rejected @> sent.batch_seq
JOIN rejected_batch r ON r.probe_id = sent.probe_id AND r.batch_seq = sent.batch_seq AND r.receipted
