-- What the broker said of the probes, and of a will also the last sign of life before it: when a batch that came before it
-- was sealed. When it was received tells less: it may have waited for a collector that was busy or away.
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
  SELECT max(least(b.received_at, b.sealed_at - make_interval(secs => b.clock_err_ms / 1000.0))) AS at FROM batch b
  WHERE said.state = 'offline' AND b.probe_key = said.probe_key AND b.received_at < said.received_at
    -- A will that waited for the collector may be as old as the collector's absence.
    AND b.received_at > said.received_at - CASE WHEN said.late THEN interval '1 day'
                                                ELSE make_interval(secs => 1.5 * said.keepalive_s) END
) live ON true
ORDER BY said.received_at, said.probe_key
