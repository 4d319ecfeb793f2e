-- What Grafana reads, and all it can read: views that stay as they are when the tables change. No view has a household's
-- key, a claim, staff, a signature or a byte that a probe sent. Grants and the role: db/sql/grafana.sql. The comments are
-- the documentation: docs/operating/grafana-views.md is made of them.
DO $$
BEGIN
  IF to_regnamespace('grafana') IS NULL THEN
    CREATE SCHEMA grafana;
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE EXCEPTION 'this role may not create the schema grafana: let a superuser run CREATE SCHEMA grafana AUTHORIZATION %',
                  quote_ident(current_user) USING ERRCODE = 'insufficient_privilege';
END $$;

-- Events. Those of one household are for nobody here; the barrier keeps conditions of others from seeing them first.

CREATE VIEW grafana.event WITH (security_barrier) AS
SELECT v.event_key::text AS event_key, coalesce(v.public_id, v.event_key::text) AS event, v.version, v.published_at,
       first.first_published_at, v.status, v.kind,
       CASE v.kind WHEN 'outage' THEN 'Internet outage'
                   WHEN 'shutdown_suspected' THEN 'Suspected Internet shutdown'
                   WHEN 'collector_blocked' THEN 'Probes cut off from the observatory'
                   WHEN 'power' THEN 'Power loss'
                   WHEN 'throttling_targeted' THEN 'Throttling of ' || services.named
                   WHEN 'throttling_general' THEN 'General slow-down'
                   WHEN 'blocking' THEN 'Blocking of ' || services.named
                   ELSE v.kind END || ', ' || coalesce(nullif(r.scope->>'country', ''), v.cc) AS title,
       v.level, v.cc, coalesce(nullif(r.scope->>'country', ''), v.cc) AS country,
       ARRAY(SELECT jsonb_array_elements_text(r.scope->'asns')::int8) AS asns,
       coalesce((SELECT string_agg(coalesce(nullif(r.scope->'names'->>one, '') || ' ', '') || '(AS' || one || ')', ', '
                                   ORDER BY one::int8)
                   FROM jsonb_array_elements_text(r.scope->'asns') t (one)), '') AS networks,
       coalesce(services.listed, '') AS targets, r.scope->>'access' AS access,
       v.onset_earliest, v.onset_latest,
       coalesce((r.onset->>'likely')::timestamptz, v.onset_earliest + (v.onset_latest - v.onset_earliest) / 2) AS began_at,
       v.resolution_earliest, v.resolution_latest,
       CASE WHEN v.status <> 'open' THEN coalesce(
         (r.resolution->>'likely')::timestamptz,
         v.resolution_earliest + (v.resolution_latest - v.resolution_earliest) / 2,
         v.onset_latest + (r.severity->>'hours')::float8 * interval '1 hour', v.onset_latest) END AS ended_at,
       r.depth, r.confidence->>'label' AS confidence, (r.confidence->>'posterior')::float8 AS posterior,
       (r.severity->>'depth')::float8 AS severity_depth, (r.severity->>'hours')::float8 AS severity_hours,
       (r.severity->>'area')::float8 AS severity_area,
       (r.affected->>'n_households')::int4 AS households_affected, (r.affected->>'n_observed')::int4 AS households_observed,
       (r.affected->>'n_down')::int4 AS households_down, (r.affected->>'fraction_lo')::float8 AS fraction_lo,
       (r.affected->>'fraction_hi')::float8 AS fraction_hi,
       r.likeliest, r.cause->>'value' AS cause, coalesce(r.cause->'sources'->>0, '') AS cause_source,
       coalesce(r.provisional, false) AS provisional, coalesce(r.held, '') AS held, coalesce(r.reviewed_by, '') AS reviewed_by,
       coalesce(r.coverage_note, '') AS coverage_note, coalesce(r.evidence->>'query', '') AS measurements, v.detector_version
  FROM event_current v
 CROSS JOIN LATERAL jsonb_to_record(v.record) AS r (
   scope jsonb, onset jsonb, resolution jsonb, severity jsonb, affected jsonb, confidence jsonb, cause jsonb, depth text,
   likeliest text, provisional bool, held text, reviewed_by text, coverage_note text,
   evidence jsonb)
 CROSS JOIN LATERAL (SELECT min(published_at) AS first_published_at FROM event_version o WHERE o.event_key = v.event_key) first
 CROSS JOIN LATERAL (
   SELECT string_agg(name, ', ' ORDER BY place) AS listed,
          CASE count(*) WHEN 0 THEN 'services' WHEN 1 THEN min(name) ELSE count(*) || ' services' END AS named
     FROM jsonb_array_elements_text(r.scope->'targets') WITH ORDINALITY t (name, place)) services
 WHERE v.level <> 'probe';
COMMENT ON VIEW grafana.event IS 'Events, a row each, as their newest versions say, also those that are held back from the public.';
COMMENT ON COLUMN grafana.event.event_key IS 'Internal key, the same for ever.';
COMMENT ON COLUMN grafana.event.event IS 'Public id, such as CIV-2026-KE-0001; the internal key of one that has none.';
COMMENT ON COLUMN grafana.event.version IS 'Number of the newest version, from 1.';
COMMENT ON COLUMN grafana.event.published_at IS 'When the newest version was written.';
COMMENT ON COLUMN grafana.event.first_published_at IS 'When the first version was written.';
COMMENT ON COLUMN grafana.event.status IS 'open, closed or retracted.';
COMMENT ON COLUMN grafana.event.kind IS 'outage, shutdown_suspected, collector_blocked, power, throttling_targeted, throttling_general or blocking.';
COMMENT ON COLUMN grafana.event.title IS 'Kind and country in words.';
COMMENT ON COLUMN grafana.event.level IS 'network, region or country. Events of one household are not here.';
COMMENT ON COLUMN grafana.event.cc IS 'Country, two letters.';
COMMENT ON COLUMN grafana.event.country IS 'Name of the country as it was known at publication.';
COMMENT ON COLUMN grafana.event.asns IS 'Networks affected, by number.';
COMMENT ON COLUMN grafana.event.networks IS 'The same with names, as one text.';
COMMENT ON COLUMN grafana.event.targets IS 'Services that were blocked or slow, as one text; empty where the line was lost.';
COMMENT ON COLUMN grafana.event.access IS 'What the affected have: fixed, mobile, both or unknown.';
COMMENT ON COLUMN grafana.event.onset_earliest IS 'Start, lower bound.';
COMMENT ON COLUMN grafana.event.onset_latest IS 'Start, upper bound.';
COMMENT ON COLUMN grafana.event.began_at IS 'One moment within the bounds of the start, for drawing: the likeliest, else the middle.';
COMMENT ON COLUMN grafana.event.resolution_earliest IS 'End, lower bound; empty while none was seen.';
COMMENT ON COLUMN grafana.event.resolution_latest IS 'End, upper bound; empty while none was seen.';
COMMENT ON COLUMN grafana.event.ended_at IS 'One moment of the end, for drawing; until when it was watched where no end was seen; empty while it is open.';
COMMENT ON COLUMN grafana.event.depth IS 'full, international_only, whitelist, partial or unknown.';
COMMENT ON COLUMN grafana.event.confidence IS 'unconfirmed, probable or confirmed; the last is given by a named reviewer only.';
COMMENT ON COLUMN grafana.event.posterior IS 'Posterior probability at the deepest point, 0 to 1.';
COMMENT ON COLUMN grafana.event.severity_depth IS 'Share of households lost, 0 to 1.';
COMMENT ON COLUMN grafana.event.severity_hours IS 'How long, hours.';
COMMENT ON COLUMN grafana.event.severity_area IS 'Depth × affected fraction × hours.';
COMMENT ON COLUMN grafana.event.households_affected IS 'Households affected at any time.';
COMMENT ON COLUMN grafana.event.households_observed IS 'Households whose state was known at the deepest point.';
COMMENT ON COLUMN grafana.event.households_down IS 'Those of them that were down.';
COMMENT ON COLUMN grafana.event.fraction_lo IS 'Affected fraction of the group, lower 95 % bound, 0 to 1.';
COMMENT ON COLUMN grafana.event.fraction_hi IS 'The same, upper bound.';
COMMENT ON COLUMN grafana.event.likeliest IS 'Where the fault may lie, or undetermined. It never says who.';
COMMENT ON COLUMN grafana.event.cause IS 'Cause as a source has it, otherwise unknown.';
COMMENT ON COLUMN grafana.event.cause_source IS 'Link of the first source of the cause; empty without one.';
COMMENT ON COLUMN grafana.event.provisional IS 'Rows of the affected probes have not all arrived.';
COMMENT ON COLUMN grafana.event.held IS 'Why it is held back from the public; empty if it is not.';
COMMENT ON COLUMN grafana.event.reviewed_by IS 'Who reviewed it; empty if nobody has.';
COMMENT ON COLUMN grafana.event.coverage_note IS 'What was observed and what was not, in a sentence.';
COMMENT ON COLUMN grafana.event.measurements IS 'Path of its measurements in the API of the public site.';
COMMENT ON COLUMN grafana.event.detector_version IS 'Which detector wrote the newest version.';

CREATE VIEW grafana.event_version WITH (security_barrier) AS
SELECT v.event_key::text AS event_key, coalesce(e.public_id, v.event_key::text) AS event, v.version, v.published_at,
       v.change_kind, v.reason, v.status, v.kind, v.level, e.cc, v.asn, v.onset_earliest, v.onset_latest, v.resolution_latest,
       r.depth, r.confidence->>'label' AS confidence, (r.confidence->>'posterior')::float8 AS posterior,
       (r.severity->>'depth')::float8 AS severity_depth, (r.severity->>'area')::float8 AS severity_area,
       (r.affected->>'n_households')::int4 AS households_affected, (r.affected->>'n_observed')::int4 AS households_observed,
       (r.affected->>'n_down')::int4 AS households_down, coalesce(r.likeliest, 'undetermined') AS likeliest,
       r.cause->>'value' AS cause, coalesce(r.held, '') AS held, v.detector_version
  FROM event_version v JOIN event e USING (event_key)
 CROSS JOIN LATERAL jsonb_to_record(v.record) AS r (
   confidence jsonb, severity jsonb, affected jsonb, cause jsonb, depth text, likeliest text, held text)
 WHERE v.level <> 'probe';
COMMENT ON VIEW grafana.event_version IS 'Every version of every event, a row each: what was published when, and why.';
COMMENT ON COLUMN grafana.event_version.event_key IS 'Internal key of the event.';
COMMENT ON COLUMN grafana.event_version.event IS 'Public id of the event; its internal key where it has none.';
COMMENT ON COLUMN grafana.event_version.version IS 'Number of the version, from 1.';
COMMENT ON COLUMN grafana.event_version.published_at IS 'When it was written.';
COMMENT ON COLUMN grafana.event_version.change_kind IS 'new, extended, closed, corrected, reclassified, retracted or reviewed.';
COMMENT ON COLUMN grafana.event_version.reason IS 'detected, late_data, human_review or detector_version.';
COMMENT ON COLUMN grafana.event_version.status IS 'open, closed or retracted.';
COMMENT ON COLUMN grafana.event_version.kind IS 'As in grafana.event.';
COMMENT ON COLUMN grafana.event_version.level IS 'network, region or country.';
COMMENT ON COLUMN grafana.event_version.cc IS 'Country, two letters.';
COMMENT ON COLUMN grafana.event_version.asn IS 'The network, of an event of one.';
COMMENT ON COLUMN grafana.event_version.onset_earliest IS 'Start, lower bound.';
COMMENT ON COLUMN grafana.event_version.onset_latest IS 'Start, upper bound.';
COMMENT ON COLUMN grafana.event_version.resolution_latest IS 'End, upper bound; empty while none was seen.';
COMMENT ON COLUMN grafana.event_version.depth IS 'full, international_only, whitelist, partial or unknown.';
COMMENT ON COLUMN grafana.event_version.confidence IS 'unconfirmed, probable or confirmed.';
COMMENT ON COLUMN grafana.event_version.posterior IS 'Posterior probability at the deepest point, 0 to 1.';
COMMENT ON COLUMN grafana.event_version.severity_depth IS 'Share of households lost, 0 to 1.';
COMMENT ON COLUMN grafana.event_version.severity_area IS 'Depth × affected fraction × hours.';
COMMENT ON COLUMN grafana.event_version.households_affected IS 'Households affected at any time.';
COMMENT ON COLUMN grafana.event_version.households_observed IS 'Households whose state was known at the deepest point.';
COMMENT ON COLUMN grafana.event_version.households_down IS 'Those of them that were down.';
COMMENT ON COLUMN grafana.event_version.likeliest IS 'Where the fault may lie, or undetermined.';
COMMENT ON COLUMN grafana.event_version.cause IS 'Cause as a source has it, otherwise unknown.';
COMMENT ON COLUMN grafana.event_version.held IS 'Why it is held back from the public; empty if it is not.';
COMMENT ON COLUMN grafana.event_version.detector_version IS 'Which detector wrote it.';

CREATE VIEW grafana.event_bin WITH (security_barrier) AS
SELECT coalesce(v.public_id, v.event_key::text) AS event, v.cc,
       (r.grid->>'start')::timestamptz + (bin.place - 1) * (r.grid->>'bin_s')::float8 * interval '1 second' AS at,
       g.label, g.asn, coalesce(g.target, '') AS target, g.n AS households, bin.up, bin.down, bin.unknown,
       CASE bin.state WHEN 'u' THEN 'up' WHEN 'g' THEN 'degraded' WHEN 'd' THEN 'down' ELSE 'not known' END AS state
  FROM event_current v
 CROSS JOIN LATERAL jsonb_to_record(v.record) AS r (grid jsonb)
 CROSS JOIN LATERAL jsonb_to_recordset(r.grid->'rows') AS g (
   label text, asn int8, target text, n int4, up int4[], down int4[], unknown int4[], state text)
 CROSS JOIN LATERAL unnest(g.up, g.down, g.unknown, string_to_array(g.state, NULL)) WITH ORDINALITY
                    AS bin (up, down, unknown, state, place)
 WHERE v.level <> 'probe';
COMMENT ON VIEW grafana.event_bin IS 'The time grid of an event, as its newest version has it: a row for each group and bin. Ask for one event.';
COMMENT ON COLUMN grafana.event_bin.event IS 'Public id of the event; its internal key where it has none.';
COMMENT ON COLUMN grafana.event_bin.cc IS 'Country, two letters.';
COMMENT ON COLUMN grafana.event_bin.at IS 'Start of the bin.';
COMMENT ON COLUMN grafana.event_bin.label IS 'The group: the country, a network, a service.';
COMMENT ON COLUMN grafana.event_bin.asn IS 'The network, of a group of one.';
COMMENT ON COLUMN grafana.event_bin.target IS 'The service, of a group of one; else empty.';
COMMENT ON COLUMN grafana.event_bin.households IS 'Households of the group.';
COMMENT ON COLUMN grafana.event_bin.up IS 'Those that were up.';
COMMENT ON COLUMN grafana.event_bin.down IS 'Those that were down, or for which the service failed.';
COMMENT ON COLUMN grafana.event_bin.unknown IS 'Those of which nothing is known in this bin.';
COMMENT ON COLUMN grafana.event_bin.state IS 'up, degraded (a quarter down or more), down (half or more) or not known.';

-- Where the public site is, for links: one row, kept by `civobs migrate`.
CREATE TABLE observatory (one bool PRIMARY KEY DEFAULT true CHECK (one), public_url text NOT NULL);
CREATE VIEW grafana.observatory AS SELECT public_url FROM observatory;
COMMENT ON VIEW grafana.observatory IS 'The observatory itself: one row, none before `civobs migrate` was run with settings.';
COMMENT ON COLUMN grafana.observatory.public_url IS 'Address of the public site, without a slash at its end; pages for staff are below it.';

-- Countries and networks.

CREATE FUNCTION grafana.presence_at(moment timestamptz, only_cc text DEFAULT NULL)
RETURNS TABLE (cc text, asn int8, access text, households int8, online int8, offline int8, unknown int8)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path FROM CURRENT SET jit = off
BEGIN ATOMIC
  WITH heard AS (
    SELECT EXISTS (SELECT FROM collector_beat WHERE at > moment - interval '5 minutes' AND at <= moment
                                                AND role = 'ingest' AND ok) AS at_work
  ), home AS (
    SELECT p.cc, p.asn, coalesce(p.access, 'unknown') AS access, p.household_key,
           bool_or(said.state = 'online') AS online, bool_and(said.state = 'offline') AS offline
      FROM probe p
      LEFT JOIN LATERAL (SELECT s.state FROM presence s WHERE s.probe_key = p.probe_key AND s.received_at <= moment
                          ORDER BY s.received_at DESC LIMIT 1) said ON true
     WHERE p.status = 'active' AND NOT p.is_anchor AND p.enrolled_at <= moment AND (only_cc IS NULL OR p.cc = only_cc)
     GROUP BY 1, 2, 3, 4
  )
  SELECT home.cc, home.asn, home.access, count(*),
         count(*) FILTER (WHERE home.online AND at_work), count(*) FILTER (WHERE home.offline AND at_work),
         count(*) FILTER (WHERE NOT at_work OR NOT coalesce(home.online OR home.offline, false))
    FROM home CROSS JOIN heard GROUP BY 1, 2, 3;
END;
COMMENT ON FUNCTION grafana.presence_at IS 'Households of each network and kind of access at one moment, by what the broker last said of their probes: households, online, offline and unknown (the collector was away, the probe was stopped, or nothing was ever said). online + offline + unknown = households. only_cc leaves out other countries.';

CREATE VIEW grafana.network AS
SELECT p.cc, coalesce(c.name, p.cc) AS country, p.asn, coalesce(n.name, '') AS name,
       coalesce(n.name || ' ', '') || '(AS' || p.asn || ')' AS network, n.user_share::float8 AS user_share,
       count(DISTINCT p.household_key) FILTER (WHERE p.status = 'active') AS households,
       count(DISTINCT p.household_key) FILTER (WHERE p.status = 'active' AND p.access = 'fixed') AS fixed,
       count(DISTINCT p.household_key) FILTER (WHERE p.status = 'active' AND p.access = 'mobile') AS mobile,
       count(DISTINCT p.household_key) FILTER (WHERE p.status = 'active' AND said.state = 'online') AS online,
       count(DISTINCT p.household_key) FILTER (WHERE p.status = 'active' AND last.received_at > now() - interval '1 hour') AS heard,
       max(last.received_at) AS last_batch_at
  FROM probe p LEFT JOIN country c USING (cc) LEFT JOIN network n USING (asn)
  LEFT JOIN LATERAL (SELECT s.state FROM presence s WHERE s.probe_key = p.probe_key
                      ORDER BY s.received_at DESC LIMIT 1) said ON true
  LEFT JOIN LATERAL (SELECT b.received_at FROM batch b WHERE b.probe_key = p.probe_key
                      ORDER BY b.received_at DESC LIMIT 1) last ON true
 WHERE NOT p.is_anchor
 GROUP BY p.cc, c.name, p.asn, n.name, n.user_share;
COMMENT ON VIEW grafana.network IS 'Networks with probes, a row for each country and network, as they stand now. Anchors are left out.';
COMMENT ON COLUMN grafana.network.cc IS 'Country, two letters.';
COMMENT ON COLUMN grafana.network.country IS 'Its name.';
COMMENT ON COLUMN grafana.network.asn IS 'Number of the network; 0 where it is not known.';
COMMENT ON COLUMN grafana.network.name IS 'Its name; empty where it is not known.';
COMMENT ON COLUMN grafana.network.network IS 'Name and number, for showing.';
COMMENT ON COLUMN grafana.network.user_share IS 'Share of the country''s users, 0 to 1; empty where it is not known.';
COMMENT ON COLUMN grafana.network.households IS 'Households with an active probe.';
COMMENT ON COLUMN grafana.network.fixed IS 'Those of them with a fixed line.';
COMMENT ON COLUMN grafana.network.mobile IS 'Those of them with a mobile line.';
COMMENT ON COLUMN grafana.network.online IS 'Households of which the broker last said online.';
COMMENT ON COLUMN grafana.network.heard IS 'Households from which a batch came in the last hour.';
COMMENT ON COLUMN grafana.network.last_batch_at IS 'When the newest batch came.';

CREATE VIEW grafana.country AS
WITH open AS (
  SELECT cc, count(*) AS n, bool_or(level = 'country') AS whole FROM grafana.event
   WHERE status = 'open' AND held IN ('', 'review') GROUP BY cc
), seen AS (
  SELECT cc, country, count(*) FILTER (WHERE households > 0) AS networks, sum(households)::int8 AS households,
         sum(online)::int8 AS online, sum(heard)::int8 AS heard, max(last_batch_at) AS last_batch_at
    FROM grafana.network GROUP BY cc, country
), both_of AS (
  SELECT cc, coalesce(s.country, c.name, cc) AS country, coalesce(s.networks, 0) AS networks,
         coalesce(s.households, 0) AS households, coalesce(s.online, 0) AS online, coalesce(s.heard, 0) AS heard,
         coalesce(open.n, 0) AS open_events, s.last_batch_at,
         CASE WHEN open.whole THEN 4 WHEN open.n > 0 THEN 3
              WHEN coalesce(s.households, 0) = 0 THEN 0 WHEN s.online = 0 AND s.heard = 0 THEN 2 ELSE 1 END AS state_code
    FROM seen s FULL JOIN open USING (cc) LEFT JOIN country c USING (cc)
)
SELECT cc, country, networks, households, online, heard, open_events, last_batch_at, state_code,
       (ARRAY['no household', 'nothing on record', 'silent', 'event in a part', 'event of the country'])[state_code + 1] AS state
  FROM both_of;
COMMENT ON VIEW grafana.country IS 'Countries with probes or open events, a row each, as they stand now.';
COMMENT ON COLUMN grafana.country.cc IS 'Country, two letters.';
COMMENT ON COLUMN grafana.country.country IS 'Its name.';
COMMENT ON COLUMN grafana.country.networks IS 'Networks with a household that measures.';
COMMENT ON COLUMN grafana.country.households IS 'Households with an active probe. One with lines of two networks counts in each.';
COMMENT ON COLUMN grafana.country.online IS 'Those of which the broker last said online.';
COMMENT ON COLUMN grafana.country.heard IS 'Those from which a batch came in the last hour.';
COMMENT ON COLUMN grafana.country.open_events IS 'Events that are open, also those that a person holds back, and not those that the detector does.';
COMMENT ON COLUMN grafana.country.last_batch_at IS 'When the newest batch came.';
COMMENT ON COLUMN grafana.country.state_code IS '0 no household, 1 nothing on record, 2 silent (no household online, no batch for an hour), 3 an event in a part of it, 4 an event of the whole country.';
COMMENT ON COLUMN grafana.country.state IS 'The same in words.';

-- One event in detail.

CREATE VIEW grafana.event_signal WITH (security_barrier) AS
SELECT coalesce(v.public_id, v.event_key::text) AS event, s.signal,
       (s.onset->>'earliest')::timestamptz AS onset_earliest, (s.onset->>'latest')::timestamptz AS onset_latest,
       (s.resolution->>'earliest')::timestamptz AS resolution_earliest,
       (s.resolution->>'latest')::timestamptz AS resolution_latest, s.value, s.baseline
  FROM event_current v
 CROSS JOIN LATERAL jsonb_to_recordset(v.record->'per_signal') AS s (
   signal text, onset jsonb, resolution jsonb, value float8, baseline float8)
 WHERE v.level <> 'probe';
COMMENT ON VIEW grafana.event_signal IS 'Start and end of an event as each signal shows them; signals are never averaged.';
COMMENT ON COLUMN grafana.event_signal.event IS 'Public id of the event; its internal key where it has none.';
COMMENT ON COLUMN grafana.event_signal.signal IS 'presence, ladder.L3, ladder.L4, tls, …: what the times are read from.';
COMMENT ON COLUMN grafana.event_signal.onset_earliest IS 'Start, lower bound.';
COMMENT ON COLUMN grafana.event_signal.onset_latest IS 'Start, upper bound.';
COMMENT ON COLUMN grafana.event_signal.resolution_earliest IS 'End, lower bound; empty while none was seen.';
COMMENT ON COLUMN grafana.event_signal.resolution_latest IS 'End, upper bound; empty while none was seen.';
COMMENT ON COLUMN grafana.event_signal.value IS 'Share of eligible households up during the event, by this signal, 0 to 1.';
COMMENT ON COLUMN grafana.event_signal.baseline IS 'The same share in the hour before.';

CREATE VIEW grafana.event_sentence WITH (security_barrier) AS
SELECT coalesce(v.public_id, v.event_key::text) AS event, said.topic, said.place, said.sentence
  FROM event_current v
 CROSS JOIN LATERAL jsonb_to_record(v.record) AS r (confidence jsonb, limits jsonb, coverage_note text, notes jsonb)
 CROSS JOIN LATERAL (
   SELECT 'why' AS topic, place, text AS sentence
     FROM jsonb_array_elements_text(r.confidence->'reasons') WITH ORDINALITY a (text, place)
   UNION ALL SELECT 'observed', 1, r.coverage_note
   UNION ALL SELECT 'cannot say', place, text FROM jsonb_array_elements_text(r.limits) WITH ORDINALITY a (text, place)
   UNION ALL SELECT 'note', place, note->>'text' FROM jsonb_array_elements(r.notes) WITH ORDINALITY a (note, place)) said
 WHERE v.level <> 'probe' AND said.sentence <> '';
COMMENT ON VIEW grafana.event_sentence IS 'What an event''s record says in words: why it is believed, what was observed, what cannot be said, notes of reviewers.';
COMMENT ON COLUMN grafana.event_sentence.event IS 'Public id of the event; its internal key where it has none.';
COMMENT ON COLUMN grafana.event_sentence.topic IS 'why, observed, cannot say or note.';
COMMENT ON COLUMN grafana.event_sentence.place IS 'Order within the topic, from 1.';
COMMENT ON COLUMN grafana.event_sentence.sentence IS 'A plain sentence.';

CREATE VIEW grafana.event_hypothesis WITH (security_barrier) AS
SELECT coalesce(v.public_id, v.event_key::text) AS event, h.hypothesis, h.weight::float8 AS weight
  FROM event_current v CROSS JOIN LATERAL jsonb_each_text(v.record->'hypotheses') AS h (hypothesis, weight)
 WHERE v.level <> 'probe';
COMMENT ON VIEW grafana.event_hypothesis IS 'How well each place of the fault fits what was seen, compared with the others named only. Where, never who.';
COMMENT ON COLUMN grafana.event_hypothesis.event IS 'Public id of the event; its internal key where it has none.';
COMMENT ON COLUMN grafana.event_hypothesis.hypothesis IS 'power, home_network, isp, national, international_only, …';
COMMENT ON COLUMN grafana.event_hypothesis.weight IS 'Its share of all, 0 to 1.';

CREATE VIEW grafana.review WITH (security_barrier) AS
SELECT coalesce(e.public_id, e.event_key::text) AS event, w.at, w.reviewer, w.action, w.note,
       array_to_string(w.sources, ' ') AS sources
  FROM review w JOIN event e USING (event_key)
 WHERE NOT EXISTS (SELECT FROM event_version v WHERE v.event_key = e.event_key AND v.level = 'probe');
COMMENT ON VIEW grafana.review IS 'What people decided about events, a row a decision.';
COMMENT ON COLUMN grafana.review.event IS 'Public id of the event; its internal key where it has none.';
COMMENT ON COLUMN grafana.review.at IS 'When.';
COMMENT ON COLUMN grafana.review.reviewer IS 'The name that stands in the record.';
COMMENT ON COLUMN grafana.review.action IS 'confirm, retract, reopen, hold, release, annotate, cause, merge or split.';
COMMENT ON COLUMN grafana.review.note IS 'What was said with it.';
COMMENT ON COLUMN grafana.review.sources IS 'Links, a space between them.';

-- What the ladder says, by hours and days: as folded by the roll-up job, and of the last two hours from the rows, where
-- they are not folded yet. A household counts by what most of its turns say.

CREATE VIEW grafana.ladder_hour AS
SELECT at, cc, asn, access, rung, count(*) AS households, count(*) FILTER (WHERE ok >= greatest(partly, failed)) AS ok,
       count(*) FILTER (WHERE partly > ok AND partly >= failed) AS partly,
       count(*) FILTER (WHERE failed > greatest(ok, partly)) AS failed
  FROM (
    SELECT at, cc, asn, access, rung, household_key, coalesce(sum(n) FILTER (WHERE said = 0), 0) AS ok,
           coalesce(sum(n) FILTER (WHERE said = 6), 0) AS partly, coalesce(sum(n) FILTER (WHERE said = 1), 0) AS failed
      FROM (
        SELECT l.start AS at, p.cc, p.asn, coalesce(p.access, 'unknown') AS access, p.household_key, t.name AS rung,
               run.said, run.n
          FROM probe p JOIN ladder_1h l USING (probe_key)
         CROSS JOIN LATERAL unnest(l.target_key, l.said, l.n) AS run (target_key, said, n)
          JOIN target t ON t.target_key = run.target_key
         WHERE p.status = 'active' AND NOT p.is_anchor AND run.said IN (0, 1, 6)
        UNION ALL
        SELECT date_bin('1 hour', m.ts, '2000-01-01Z'), p.cc, p.asn, coalesce(p.access, 'unknown'), p.household_key, t.name,
               m.outcome, 1
          FROM probe p JOIN measurement m USING (probe_key) JOIN target t USING (target_key)
         WHERE p.status = 'active' AND NOT p.is_anchor AND m.kind = (SELECT kind FROM kind WHERE name = 'ladder')
           AND m.outcome < 2 AND m.ts >= date_trunc('hour', now()) - interval '1 hour' AND m.ts <= now()
           AND NOT EXISTS (SELECT FROM ladder_1h f WHERE f.probe_key = m.probe_key
                                                     AND f.start = date_bin('1 hour', m.ts, '2000-01-01Z'))
      ) turn GROUP BY 1, 2, 3, 4, 5, 6
  ) home GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW grafana.ladder_hour IS 'What households found on each rung of the ladder, hour by hour, 90 days back. Ask for one country and a few days.';
COMMENT ON COLUMN grafana.ladder_hour.at IS 'Start of the hour.';
COMMENT ON COLUMN grafana.ladder_hour.cc IS 'Country, two letters.';
COMMENT ON COLUMN grafana.ladder_hour.asn IS 'Network.';
COMMENT ON COLUMN grafana.ladder_hour.access IS 'What the line is: fixed, mobile or unknown.';
COMMENT ON COLUMN grafana.ladder_hour.rung IS 'L0 power, L1 link, L2 access, L3 domestic, L4 international, L5 services.';
COMMENT ON COLUMN grafana.ladder_hour.households IS 'Households that asked this rung.';
COMMENT ON COLUMN grafana.ladder_hour.ok IS 'Those of which most turns went well.';
COMMENT ON COLUMN grafana.ladder_hour.partly IS 'Those of which most turns were answered by a few only.';
COMMENT ON COLUMN grafana.ladder_hour.failed IS 'Those of which most turns failed.';

CREATE VIEW grafana.ladder_day AS
SELECT at, cc, asn, access, rung, count(*) AS households, count(*) FILTER (WHERE ok >= greatest(partly, failed)) AS ok,
       count(*) FILTER (WHERE partly > ok AND partly >= failed) AS partly,
       count(*) FILTER (WHERE failed > greatest(ok, partly)) AS failed
  FROM (
    SELECT l.start AS at, p.cc, p.asn, coalesce(p.access, 'unknown') AS access, t.name AS rung, p.household_key,
           coalesce(sum(run.n) FILTER (WHERE run.said = 0), 0) AS ok,
           coalesce(sum(run.n) FILTER (WHERE run.said = 6), 0) AS partly,
           coalesce(sum(run.n) FILTER (WHERE run.said = 1), 0) AS failed
      FROM probe p JOIN ladder_1d l USING (probe_key)
     CROSS JOIN LATERAL unnest(l.target_key, l.said, l.n) AS run (target_key, said, n)
      JOIN target t ON t.target_key = run.target_key
     WHERE p.status = 'active' AND NOT p.is_anchor AND run.said IN (0, 1, 6)
     GROUP BY 1, 2, 3, 4, 5, 6
  ) home GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW grafana.ladder_day IS 'The same as grafana.ladder_hour by days that are over, for longer times.';
COMMENT ON COLUMN grafana.ladder_day.at IS 'Start of the day, UTC.';
COMMENT ON COLUMN grafana.ladder_day.cc IS 'Country, two letters.';
COMMENT ON COLUMN grafana.ladder_day.asn IS 'Network.';
COMMENT ON COLUMN grafana.ladder_day.access IS 'What the line is: fixed, mobile or unknown.';
COMMENT ON COLUMN grafana.ladder_day.rung IS 'L0 to L5.';
COMMENT ON COLUMN grafana.ladder_day.households IS 'Households that asked this rung.';
COMMENT ON COLUMN grafana.ladder_day.ok IS 'Those of which most turns went well.';
COMMENT ON COLUMN grafana.ladder_day.partly IS 'Those of which most turns were answered by a few only.';
COMMENT ON COLUMN grafana.ladder_day.failed IS 'Those of which most turns failed.';

-- A function, because the roll-ups are found by hour and probe: a condition on a view would read those of the whole world.
CREATE FUNCTION grafana.target_hours(since timestamptz, until timestamptz, only_cc text, of_anchors bool DEFAULT false)
RETURNS TABLE (at timestamptz, asn int8, access text, target text, layer text, households int8, failing int8,
               measurements int8, failed int8)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 10000 SET search_path FROM CURRENT SET jit = off
BEGIN ATOMIC
  SELECT cell.at, cell.asn, cell.access, t.name, k.name, count(*), count(*) FILTER (WHERE 2 * cell.failed > cell.ran),
         sum(cell.ran)::int8, sum(cell.failed)::int8
    FROM (
      SELECT hour.at, p.asn, coalesce(p.access, 'unknown') AS access, p.household_key, r.target_key, r.kind,
             sum(r.n - r.n_not_run) AS ran, sum(r.n - r.n_not_run - r.n_ok) AS failed
        FROM generate_series(date_trunc('hour', greatest(since, until - interval '3 days'), 'UTC'), until, interval '1 hour')
             AS hour (at)
       CROSS JOIN probe p
       CROSS JOIN LATERAL (
         SELECT * FROM rollup_1h h
          WHERE h.bucket = hour.at AND h.probe_key = p.probe_key AND h.n > h.n_not_run
            AND h.kind = ANY(ARRAY(SELECT kind FROM kind WHERE name IN ('dns', 'tcp', 'tls', 'http', 'quic')))
         OFFSET 0) r
       WHERE p.status = 'active' AND p.is_anchor = of_anchors AND (only_cc IS NULL OR p.cc = only_cc)
       GROUP BY 1, 2, 3, 4, 5, 6) cell
    JOIN target t USING (target_key) JOIN kind k USING (kind)
   GROUP BY 1, 2, 3, 4, 5;
END;
COMMENT ON FUNCTION grafana.target_hours IS 'What households (or anchors) of a country found of each target on each layer (dns, tcp, tls, http, quic), hour by hour, of at most the last three days before until: households that asked, those of which most turns failed (failing), measurements that ran and those that failed.';

CREATE VIEW grafana.transfer AS
SELECT m.ts AS at, p.cc, p.asn, coalesce(n.name || ' ', '') || '(AS' || p.asn || ')' AS network,
       coalesce(p.access, 'unknown') AS access, k.name AS kind, t.name AS target,
       coalesce(m.detail->>'server', '-') AS server, coalesce(m.detail->>'direction', 'download') AS direction,
       coalesce(m.detail->>'arm', '') AS arm, coalesce(m.detail->>'transport', 'tcp') AS transport,
       m.value, m.ms::float8 / 1000 AS rtt_s
  FROM probe p JOIN measurement m USING (probe_key) JOIN kind k USING (kind) JOIN target t USING (target_key)
  LEFT JOIN network n USING (asn)
 WHERE p.status = 'active' AND NOT p.is_anchor AND m.outcome = 0 AND m.value IS NOT NULL
   AND m.kind = ANY(ARRAY(SELECT kind FROM kind WHERE name IN ('throughput', 'responsiveness', 'throttling')));
COMMENT ON VIEW grafana.transfer IS 'Transfers of households to the observatory''s servers and of pairs for throttling, a row each, 90 days back. Always give a time.';
COMMENT ON COLUMN grafana.transfer.at IS 'When it ran.';
COMMENT ON COLUMN grafana.transfer.cc IS 'Country, two letters.';
COMMENT ON COLUMN grafana.transfer.asn IS 'Network.';
COMMENT ON COLUMN grafana.transfer.network IS 'Its name and number.';
COMMENT ON COLUMN grafana.transfer.access IS 'What the line is: fixed, mobile or unknown.';
COMMENT ON COLUMN grafana.transfer.kind IS 'throughput, responsiveness or throttling.';
COMMENT ON COLUMN grafana.transfer.target IS 'Id of the target in the plan.';
COMMENT ON COLUMN grafana.transfer.server IS 'The server it went to, as the plan names it.';
COMMENT ON COLUMN grafana.transfer.direction IS 'download or upload.';
COMMENT ON COLUMN grafana.transfer.arm IS 'Of a pair: target (under the service''s name) or neutral; else empty.';
COMMENT ON COLUMN grafana.transfer.transport IS 'tcp or quic.';
COMMENT ON COLUMN grafana.transfer.value IS 'Payload, bits a second; of responsiveness round trips a minute.';
COMMENT ON COLUMN grafana.transfer.rtt_s IS 'Lowest round trip, seconds; of responsiveness the one before the load.';

-- The fleet and the observatory itself.

CREATE VIEW grafana.probe AS
SELECT p.probe_id, p.cc, p.asn, coalesce(n.name || ' ', '') || '(AS' || p.asn || ')' AS network,
       coalesce(p.access, 'unknown') AS access, p.is_anchor, p.status, coalesce(last.agent, p.agent) AS agent,
       coalesce(p.board, '') AS board, p.enrolled_at,
       coalesce(said.state, 'never heard') AS state, said.received_at AS state_since,
       coalesce(said.broker, 0) > 0 AS detour, last.received_at AS last_batch_at,
       extract(epoch FROM last.received_at - last.sealed_at)::float8 AS spool_age_s, coalesce(last.clock, '') AS clock,
       CASE WHEN last.clock_err_ms < 2147483647 THEN last.clock_err_ms / 1000.0::float8 END AS clock_error_s,
       coalesce(last.plan_id, '') AS plan, coalesce(had.missing, 0) AS missing_batches, coalesce(had.refused, 0) AS refused_batches
  FROM probe p LEFT JOIN network n USING (asn)
  LEFT JOIN LATERAL (SELECT s.state, s.received_at, s.broker FROM presence s WHERE s.probe_key = p.probe_key
                      ORDER BY s.received_at DESC LIMIT 1) said ON true
  LEFT JOIN LATERAL (SELECT * FROM batch b WHERE b.probe_key = p.probe_key ORDER BY b.received_at DESC LIMIT 1) last ON true
  LEFT JOIN LATERAL (
    SELECT upper(r.committed + r.rejected) - 1
           - (SELECT coalesce(sum(upper(one) - lower(one)), 0)::int8 FROM unnest(r.committed + r.rejected) one) AS missing,
           (SELECT coalesce(sum(upper(one) - lower(one)), 0)::int8 FROM unnest(r.rejected) one) AS refused
      FROM receipt r WHERE r.probe_key = p.probe_key) had ON true;
COMMENT ON VIEW grafana.probe IS 'The fleet, a row a probe, as it stands now. A probe is a home: show these rows to nobody outside.';
COMMENT ON COLUMN grafana.probe.probe_id IS 'The probe''s pseudonym.';
COMMENT ON COLUMN grafana.probe.cc IS 'Country, two letters.';
COMMENT ON COLUMN grafana.probe.asn IS 'Network; 0 where it is not known.';
COMMENT ON COLUMN grafana.probe.network IS 'Its name and number.';
COMMENT ON COLUMN grafana.probe.access IS 'What the line is: fixed, mobile or unknown.';
COMMENT ON COLUMN grafana.probe.is_anchor IS 'An agent of the observatory in an uncensored network, used as control.';
COMMENT ON COLUMN grafana.probe.status IS 'active, quarantined or revoked.';
COMMENT ON COLUMN grafana.probe.agent IS 'Version of the agent, as its newest batch says.';
COMMENT ON COLUMN grafana.probe.board IS 'What device it is; empty where it did not say.';
COMMENT ON COLUMN grafana.probe.enrolled_at IS 'Since when it is one.';
COMMENT ON COLUMN grafana.probe.state IS 'What the broker said last: online, offline, stopped, or never heard.';
COMMENT ON COLUMN grafana.probe.state_since IS 'When that came.';
COMMENT ON COLUMN grafana.probe.detour IS 'It comes by another broker than its first.';
COMMENT ON COLUMN grafana.probe.last_batch_at IS 'When its newest batch came.';
COMMENT ON COLUMN grafana.probe.spool_age_s IS 'How long that batch had waited at the probe, seconds.';
COMMENT ON COLUMN grafana.probe.clock IS 'Its clock, as that batch says: synced, holdover or unknown.';
COMMENT ON COLUMN grafana.probe.clock_error_s IS 'Bound of its clock''s error, seconds; empty where nothing bounds it.';
COMMENT ON COLUMN grafana.probe.plan IS 'The plan that it works by.';
COMMENT ON COLUMN grafana.probe.missing_batches IS 'Numbers of batches below the newest that have not come: gaps.';
COMMENT ON COLUMN grafana.probe.refused_batches IS 'Batches that were refused for good.';

CREATE VIEW grafana.batch AS
SELECT b.received_at, b.sealed_at, p.cc, p.asn, p.is_anchor, b.agent, b.n AS measurements,
       extract(epoch FROM b.received_at - b.sealed_at)::float8 AS age_s, b.clock
  FROM batch b JOIN probe p USING (probe_key);
COMMENT ON VIEW grafana.batch IS 'Batches that were committed, a row each. Always give a time by received_at.';
COMMENT ON COLUMN grafana.batch.received_at IS 'When it came.';
COMMENT ON COLUMN grafana.batch.sealed_at IS 'When the probe sealed it, by its clock.';
COMMENT ON COLUMN grafana.batch.cc IS 'Country, two letters.';
COMMENT ON COLUMN grafana.batch.asn IS 'Network.';
COMMENT ON COLUMN grafana.batch.is_anchor IS 'It is an anchor''s.';
COMMENT ON COLUMN grafana.batch.agent IS 'Version of the agent.';
COMMENT ON COLUMN grafana.batch.measurements IS 'Measurements in it.';
COMMENT ON COLUMN grafana.batch.age_s IS 'From sealed to received, seconds; below 0 where the probe''s clock is ahead.';
COMMENT ON COLUMN grafana.batch.clock IS 'synced, holdover or unknown.';

CREATE VIEW grafana.quarantine AS
SELECT last_at, received_at AS first_at, n, reason, coalesce(probe_id, '') AS probe_id, receipted FROM rejected_batch;
COMMENT ON VIEW grafana.quarantine IS 'What could not be stored, without its bytes.';
COMMENT ON COLUMN grafana.quarantine.last_at IS 'When the same bytes came last.';
COMMENT ON COLUMN grafana.quarantine.first_at IS 'When they came first.';
COMMENT ON COLUMN grafana.quarantine.n IS 'How often they came.';
COMMENT ON COLUMN grafana.quarantine.reason IS 'Why, from a closed vocabulary.';
COMMENT ON COLUMN grafana.quarantine.probe_id IS 'Under whose name; empty where it has none.';
COMMENT ON COLUMN grafana.quarantine.receipted IS 'The probe was told that it need not send them again.';

CREATE VIEW grafana.gauge AS SELECT at, role, instance, name, label, value FROM gauge_sample;
COMMENT ON VIEW grafana.gauge IS 'What each role measured of itself once a minute, 30 days back. Names and units: gauges.md. Always give a name and a time.';
COMMENT ON COLUMN grafana.gauge.at IS 'When.';
COMMENT ON COLUMN grafana.gauge.role IS 'Which role of the collector.';
COMMENT ON COLUMN grafana.gauge.instance IS 'Which process of it.';
COMMENT ON COLUMN grafana.gauge.name IS 'What was measured.';
COMMENT ON COLUMN grafana.gauge.label IS 'Of which, where there are several: a certificate''s file, a folder.';
COMMENT ON COLUMN grafana.gauge.value IS 'The number; its unit is in the name, or in gauges.md.';

CREATE VIEW grafana.beat AS SELECT at, role, instance, ok FROM collector_beat;
COMMENT ON VIEW grafana.beat IS 'Signs of life of the collector''s roles. Always give a time.';
COMMENT ON COLUMN grafana.beat.at IS 'When.';
COMMENT ON COLUMN grafana.beat.role IS 'Which role.';
COMMENT ON COLUMN grafana.beat.instance IS 'Which process of it.';
COMMENT ON COLUMN grafana.beat.ok IS 'It could do its work: of ingest, the broker is connected.';

CREATE VIEW grafana.notice AS
SELECT n.made_at, coalesce(e.public_id, e.event_key::text) AS event, n.change, n.state, n.attempts, n.sent_at
  FROM notice n JOIN event e USING (event_key);
COMMENT ON VIEW grafana.notice IS 'Notifications of events, a row for each and subscriber, without who that is.';
COMMENT ON COLUMN grafana.notice.made_at IS 'When it was due.';
COMMENT ON COLUMN grafana.notice.event IS 'Public id of the event; its internal key where it has none.';
COMMENT ON COLUMN grafana.notice.change IS 'opened, worsened, confirmed, closed, retracted, …';
COMMENT ON COLUMN grafana.notice.state IS 'waiting, sent, dead or dropped.';
COMMENT ON COLUMN grafana.notice.attempts IS 'How often it was tried.';
COMMENT ON COLUMN grafana.notice.sent_at IS 'When it was sent; empty if it was not.';
