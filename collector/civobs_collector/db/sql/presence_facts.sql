-- What the broker said of the probes, and of a will also when the last batch before it was received: a sign of life.
-- The last statement before the window tells how each probe entered it.
WITH said AS (
  SELECT * FROM presence WHERE received_at >= %(since)s AND received_at <= %(now)s
  UNION ALL
  SELECT entered.* FROM probe CROSS JOIN LATERAL (
    SELECT * FROM presence p WHERE p.probe_key = probe.probe_key AND p.received_at < %(since)s
    ORDER BY p.received_at DESC LIMIT 1
  ) entered
)
SELECT said.probe_key, said.received_at, said.state, said.session, said.boot_id, said.keepalive_s, said.late, live.at,
       said.broker
FROM said
LEFT JOIN LATERAL (
  SELECT max(b.received_at) AS at FROM batch b
  WHERE said.state = 'offline' AND b.probe_key = said.probe_key AND b.received_at < said.received_at
    -- A will that waited for the collector may be as old as the collector's absence.
    AND b.received_at > said.received_at - CASE WHEN said.late THEN interval '1 day'
                                                ELSE make_interval(secs => 1.5 * said.keepalive_s) END
) live ON true
ORDER BY said.received_at, said.probe_key
