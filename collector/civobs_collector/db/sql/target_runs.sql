-- One row a run: what one probe found of one target over one family in one slot, with what was said of what failed and
-- the first page that came in place of the target's. Of a run that only partly lies in these times, that part.
-- A row of a family that did not work at all at the time, of a captive portal or of a tunnel says nothing of the target.
SELECT m.target_key, m.probe_key, m.kind, m.family, (extract(epoch FROM m.slot_at) * 1000000)::int8,
       (extract(epoch FROM min(m.ts)) * 1000000)::int8,
       -- When the last of its rows was over: it began at `ts`.
       (max(extract(epoch FROM m.ts) * 1000 + coalesce((m.detail->>'duration_ms')::float8, m.ms, 0)) * 1000)::int8,
       count(*) FILTER (WHERE m.outcome = 0), max(m.value) FILTER (WHERE m.outcome = 0),
       -- In the order of FACTS. Where no name is said it was the target's.
       jsonb_agg(jsonb_build_array(
           m.detail->'failure', m.detail->'stage', m.detail->'address', coalesce(m.detail->'named', '"target"'),
           m.detail->'resolver', m.detail->'qtype', m.detail->'transport', m.detail->'tcp_failure')
         ORDER BY m.ts, m.seq) FILTER (WHERE m.outcome = 1)::text,
       (array_agg(m.detail ORDER BY m.ts, m.seq)
         FILTER (WHERE m.outcome = 0 AND m.kind = %(http)s AND m.detail->>'sample' IS NOT NULL))[1]
FROM unnest(%(targets)s::int4[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS s (target_key, start_at, end_at)
JOIN measurement m ON m.target_key = s.target_key AND m.ts >= s.start_at AND m.ts < s.end_at
WHERE m.kind = ANY(%(kinds)s) AND m.outcome < 2 AND m.clock_err_ms <= %(clock_ms)s
  AND m.ts >= %(first)s AND m.ts < %(last)s
  AND NOT (m.outcome = 1 AND (
    (m.family = 4 AND (m.validity >> 2) & 3 IN (1, 2)) OR (m.family = 6 AND (m.validity >> 4) & 3 IN (1, 2))
    OR (m.validity >> 6) & 3 = 2 OR (m.validity >> 10) & 3 = 2 OR m.detail IS NULL))
GROUP BY m.target_key, m.probe_key, m.kind, m.family, m.slot_at
