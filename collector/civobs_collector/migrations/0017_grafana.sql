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
       coalesce(r.coverage_note, '') AS coverage_note, v.detector_version
  FROM event_current v
 CROSS JOIN LATERAL jsonb_to_record(v.record) AS r (
   scope jsonb, onset jsonb, resolution jsonb, severity jsonb, affected jsonb, confidence jsonb, cause jsonb, depth text,
   likeliest text, provisional bool, held text, reviewed_by text, coverage_note text)
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
COMMENT ON COLUMN grafana.event_version.change_kind IS 'new, extended, closed, corrected, reclassified or retracted.';
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

-- Countries and networks.

CREATE FUNCTION grafana.presence_at(moment timestamptz, only_cc text DEFAULT NULL)
RETURNS TABLE (cc text, asn int8, access text, households int8, online int8, offline int8, unknown int8)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path FROM CURRENT
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
  SELECT cc, count(*) AS n, bool_or(level = 'country') AS whole FROM grafana.event WHERE status = 'open' GROUP BY cc
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
COMMENT ON COLUMN grafana.country.open_events IS 'Events that are open.';
COMMENT ON COLUMN grafana.country.last_batch_at IS 'When the newest batch came.';
COMMENT ON COLUMN grafana.country.state_code IS '0 no household, 1 nothing on record, 2 silent (no household online, no batch for an hour), 3 an event in a part of it, 4 an event of the whole country.';
COMMENT ON COLUMN grafana.country.state IS 'The same in words.';
