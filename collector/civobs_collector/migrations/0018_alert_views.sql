-- What alert rules ask besides: as of any moment, so that a rule can be played over what has been. As all views of this
-- schema, they stay as they are when the tables change.

CREATE VIEW grafana.alert_event WITH (security_barrier) AS
SELECT e.public_id AS event,
       coalesce((SELECT public_url FROM observatory), '') || '/staff/events/' || e.public_id AS page,
       e.cc, coalesce(nullif(v.record->'scope'->>'country', ''), e.cc) AS country, v.kind, v.version,
       v.published_at, first.at AS first_published_at, next.at AS replaced_at, v.status,
       -- Records are large: they are looked at only where the columns leave it open.
       CASE WHEN v.reason = 'human_review' AND before.record IS NOT NULL
            THEN v.record->'confidence'->>'label' = 'confirmed'
                 AND before.record->'confidence'->>'label' IS DISTINCT FROM 'confirmed'
            ELSE false END AS newly_confirmed,
       -- The first minutes do not count: homes are lost one after the other.
       CASE WHEN v.status <> 'open' OR v.published_at < first.at + interval '15 minutes' THEN false
            WHEN v.level <> before.level THEN array_position('{network,region,country}', v.level)
                                              > array_position('{network,region,country}', before.level)
            WHEN v.change_kind = 'new' THEN false
            ELSE jsonb_array_length(v.record->'scope'->'asns') > jsonb_array_length(before.record->'scope'->'asns')
       END AS worsened
  FROM event_version v JOIN event e USING (event_key)
 CROSS JOIN LATERAL (SELECT p.published_at AS at FROM event_version p
                      WHERE p.event_key = v.event_key AND NOT p.held ORDER BY p.version LIMIT 1) first
  LEFT JOIN LATERAL (SELECT p.published_at AS at FROM event_version p
                      WHERE p.event_key = v.event_key AND NOT p.held AND p.version > v.version
                      ORDER BY p.version LIMIT 1) next ON true
  LEFT JOIN LATERAL (SELECT p.level, p.record FROM event_version p
                      WHERE p.event_key = v.event_key AND NOT p.held AND p.version < v.version
                      ORDER BY p.version DESC LIMIT 1) before ON true
 WHERE e.public_id IS NOT NULL AND v.level <> 'probe' AND NOT v.held;
COMMENT ON VIEW grafana.alert_event IS 'Versions of events as the public could see them, with the span of time in which each was the newest. Ask for a span of published_at.';
COMMENT ON COLUMN grafana.alert_event.event IS 'Public id.';
COMMENT ON COLUMN grafana.alert_event.page IS 'Address of its page for staff.';
COMMENT ON COLUMN grafana.alert_event.cc IS 'Country, two letters.';
COMMENT ON COLUMN grafana.alert_event.country IS 'Its name as it was known at publication.';
COMMENT ON COLUMN grafana.alert_event.kind IS 'outage, shutdown_suspected, collector_blocked, power, blocking, throttling_targeted or throttling_general.';
COMMENT ON COLUMN grafana.alert_event.version IS 'Number of the version, from 1.';
COMMENT ON COLUMN grafana.alert_event.published_at IS 'From when on it was the newest.';
COMMENT ON COLUMN grafana.alert_event.first_published_at IS 'When the first version of the event was published.';
COMMENT ON COLUMN grafana.alert_event.replaced_at IS 'When the next version was published; empty for the newest.';
COMMENT ON COLUMN grafana.alert_event.status IS 'open, closed or retracted.';
COMMENT ON COLUMN grafana.alert_event.newly_confirmed IS 'A reviewer confirmed it with this version.';
COMMENT ON COLUMN grafana.alert_event.worsened IS 'It is open, a quarter of an hour old, and reaches further than the version before: a higher level, or more networks.';

CREATE VIEW grafana.alert_country AS
SELECT c.cc, c.name AS country FROM country c
 WHERE EXISTS (SELECT FROM probe p WHERE p.cc = c.cc AND p.status = 'active' AND NOT p.is_anchor);
COMMENT ON VIEW grafana.alert_country IS 'Countries with a household that measures.';
COMMENT ON COLUMN grafana.alert_country.cc IS 'Country, two letters.';
COMMENT ON COLUMN grafana.alert_country.country IS 'Its name.';

CREATE VIEW grafana.alert_beat AS SELECT at, role, ok FROM collector_beat;
COMMENT ON VIEW grafana.alert_beat IS 'Signs of life of the collector''s roles.';
COMMENT ON COLUMN grafana.alert_beat.at IS 'When it was given.';
COMMENT ON COLUMN grafana.alert_beat.role IS 'ingest or detect.';
COMMENT ON COLUMN grafana.alert_beat.ok IS 'Of ingest: it was connected to its broker.';

CREATE VIEW grafana.alert_gauge AS SELECT at, role, instance, name, label, value FROM gauge_sample;
COMMENT ON VIEW grafana.alert_gauge IS 'What the roles measure of themselves and their surroundings once a minute. Names and units: gauges.md.';
COMMENT ON COLUMN grafana.alert_gauge.at IS 'When it was measured.';
COMMENT ON COLUMN grafana.alert_gauge.role IS 'By which role.';
COMMENT ON COLUMN grafana.alert_gauge.instance IS 'By which process of the role.';
COMMENT ON COLUMN grafana.alert_gauge.name IS 'What.';
COMMENT ON COLUMN grafana.alert_gauge.label IS 'Which one, where there are several: a certificate''s file, a folder; else empty.';
COMMENT ON COLUMN grafana.alert_gauge.value IS 'How much, in the unit of the name.';

CREATE VIEW grafana.alert_batch AS
SELECT received_at, false AS rejected FROM batch
UNION ALL SELECT received_at, true FROM rejected_batch;
COMMENT ON VIEW grafana.alert_batch IS 'Batches that came, a row each, stored or refused. Ask for minutes.';
COMMENT ON COLUMN grafana.alert_batch.received_at IS 'When it came.';
COMMENT ON COLUMN grafana.alert_batch.rejected IS 'It was refused and is in quarantine.';
