-- For every panel something to show: twenty hours until %(now)s.
INSERT INTO household DEFAULT VALUES;
INSERT INTO probe (probe_id, household_key, signing_key, csr_pem, cc, asn, agent, enrolled_at, is_anchor)
SELECT 'anchor0000000001', max(household_key), sha256('anchor'), '', 'FJ', 64520, 'civobs-agent/0.1',
       %(now)s - interval '40 days', true FROM household;
INSERT INTO batch SELECT probe_key, 2, gen_random_uuid(), %(now)s - interval '10 minutes',
       %(now)s - interval '9 minutes',
       50, 2, 51, 'unknown', 2147483647, 'civobs-agent/0.2', 'p', sha256('b'), 'f', 0
FROM probe WHERE cc = 'UG' OR is_anchor;
INSERT INTO receipt SELECT probe_key, '{[1,3),[5,9)}', '{[4,5)}', %(now)s FROM probe WHERE cc = 'UG';
UPDATE probe SET access = 'mobile' WHERE asn = 36926;
INSERT INTO presence SELECT probe_key, %(now)s - interval '20 hours', 'online', 's' || probe_key, gen_random_uuid(),
       %(now)s - interval '20 hours', 5, 60, false FROM probe WHERE cc <> 'FJ' OR is_anchor;
INSERT INTO presence SELECT probe_key, %(now)s - interval '3 hours', 'offline', 's' || probe_key, gen_random_uuid(),
       %(now)s - interval '3 hours', 5, 60, false FROM probe WHERE asn = 33771;
INSERT INTO collector_beat SELECT at, role, 'a', true
FROM generate_series(%(now)s - interval '20 hours', %(now)s - interval '1 minute', interval '1 minute') at,
     unnest(ARRAY['ingest', 'detect']) role;
INSERT INTO target (name) VALUES ('site.example'), ('-'), ('L3');
INSERT INTO ladder_1h
SELECT probe_key, at, 1, ARRAY[l3, l4], ARRAY[4, 4]::int2[], ARRAY[0, CASE WHEN asn = 33771 THEN 1 ELSE 0 END]::int2[],
       ARRAY[12, 12], ARRAY[at, at], ARRAY[at, at], ARRAY[5, 5], ARRAY[5, 5]
FROM probe, generate_series(date_trunc('hour', %(now)s::timestamptz, 'UTC') - interval '20 hours',
                            date_trunc('hour', %(now)s::timestamptz, 'UTC') - interval '2 hours', interval '1 hour') at,
     (SELECT (SELECT target_key FROM target WHERE name = 'L3') l3,
             (SELECT target_key FROM target WHERE name = 'L4') l4) t;
INSERT INTO ladder_1d SELECT probe_key, date_trunc('day', start, 'UTC') - interval '1 day', rule, target_key, family,
       said,
       n, first_at, last_at, first_err_ms, last_err_ms
FROM ladder_1h WHERE start = (SELECT min(start) FROM ladder_1h);
INSERT INTO rollup_1h
SELECT at, probe_key, k.kind, target_key, 4, 6, CASE WHEN is_anchor OR asn = 33771 THEN 1 ELSE 6 END, 0, 1, 2, 9, '{}'
FROM probe, target, kind k,
     generate_series(date_trunc('hour', %(now)s::timestamptz, 'UTC') - interval '20 hours', %(now)s,
                     interval '1 hour') at
WHERE target.name = 'site.example' AND k.name IN ('dns', 'tls', 'http');
INSERT INTO measurement (ts, slot_at, probe_key, target_key, seq, value, ms, clock_err_ms, kind, outcome, family,
                         validity, detail)
SELECT at, at, probe_key, target_key, 1, CASE k.name WHEN 'responsiveness' THEN 700 ELSE 2e7 / way.n END, 30, 5,
       k.kind, 0,
       4, 0, jsonb_build_object('server', 'anchor-a', 'direction', way.direction, 'arm', way.arm)
FROM probe, target, kind k,
     generate_series(%(now)s::timestamptz - interval '20 hours', %(now)s, interval '3 hours') at,
     (VALUES (1, 'download', 'neutral'), (2, 'upload', 'target')) way (n, direction, arm)
WHERE target.name = 'site.example' AND k.name IN ('throughput', 'responsiveness', 'throttling') AND NOT is_anchor;
INSERT INTO measurement (ts, slot_at, probe_key, target_key, seq, value, ms, clock_err_ms, kind, outcome, family,
                         validity)
SELECT %(now)s, %(now)s, probe_key, target_key, 2, 1, 30, 5, k.kind, 0, 4, 0
FROM probe, target, kind k WHERE target.name = 'L4' AND k.name = 'ladder';
INSERT INTO observatory (public_url) VALUES ('https://observatory.example');
