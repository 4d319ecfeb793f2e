-- The spine: probes, batches, measurements, presence, quarantine, receipts, rollups, events.
-- One schema for TimescaleDB (either edition) and plain PostgreSQL 15 or newer; queries use date_bin, which all have.

-- Look-up tables. Kinds and failures are filled from the wire's tables by `civobs migrate`.
CREATE TABLE kind    (kind int2 PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE failure (failure int2 PRIMARY KEY, name text NOT NULL UNIQUE, outcome text NOT NULL, source text NOT NULL, meaning text NOT NULL);
CREATE TABLE target  (target_key int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE country (cc text PRIMARY KEY CHECK (cc ~ '^[A-Z]{2}$'), name text NOT NULL);
CREATE TABLE network (asn int8 PRIMARY KEY CHECK (asn BETWEEN 0 AND 4294967295), name text NOT NULL, cc text,
                      user_share real CHECK (user_share BETWEEN 0 AND 1));  -- of the country's users; null where not known

CREATE TABLE household (household_key int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now());

CREATE TABLE probe (
  probe_key     int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  probe_id      text NOT NULL UNIQUE,
  household_key int4 NOT NULL REFERENCES household,
  signing_key   bytea NOT NULL UNIQUE CHECK (length(signing_key) = 32),
  csr_pem       text NOT NULL,
  cc            text NOT NULL CHECK (cc ~ '^[A-Z]{2}$'),
  asn           int8 NOT NULL DEFAULT 0 CHECK (asn BETWEEN 0 AND 4294967295),
  admin1        text,
  is_anchor     bool NOT NULL DEFAULT false,
  status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'quarantined', 'revoked')),
  consent_tier  int2 NOT NULL DEFAULT 0 CHECK (consent_tier BETWEEN 0 AND 3),
  board         text,
  agent         text NOT NULL,
  enrolled_at   timestamptz NOT NULL DEFAULT now()
);

-- Single-use claim codes, kept as digests. A code used again with the same key gives the same probe.
CREATE TABLE claim (
  claim_sha256  bytea PRIMARY KEY,
  household_key int4 NOT NULL REFERENCES household,
  cc            text NOT NULL CHECK (cc ~ '^[A-Z]{2}$'),
  asn           int8 NOT NULL DEFAULT 0 CHECK (asn BETWEEN 0 AND 4294967295),
  admin1        text,
  is_anchor     bool NOT NULL DEFAULT false,
  expires_at    timestamptz NOT NULL,
  probe_key     int4 REFERENCES probe
);

-- Signed plans, newest serial per country counts; 'ZZ' serves every country without one of its own.
CREATE TABLE plan (
  plan_id    text PRIMARY KEY,
  serial     int8 NOT NULL,
  cc         text NOT NULL CHECK (cc ~ '^[A-Z]{2}$'),
  issued_at  timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  message    bytea NOT NULL,
  UNIQUE (cc, serial)
);

-- The inbox: one row a batch. Its primary key is what makes ingest exactly-once.
CREATE TABLE batch (
  probe_key      int4 NOT NULL REFERENCES probe,
  batch_seq      int8 NOT NULL CHECK (batch_seq >= 1),
  boot_id        uuid NOT NULL,
  sealed_at      timestamptz NOT NULL,
  received_at    timestamptz NOT NULL,
  n              int4 NOT NULL,
  first_seq      int8 NOT NULL,
  last_seq       int8 NOT NULL,
  clock          text NOT NULL,
  clock_err_ms   int4 NOT NULL,
  agent          text NOT NULL,
  plan_id        text,
  payload_sha256 bytea NOT NULL CHECK (length(payload_sha256) = 32),
  archive_file   text NOT NULL,   -- the exact bytes as received: file below the archive's folder, and where in it
  archive_offset int8 NOT NULL,
  PRIMARY KEY (probe_key, batch_seq)
);
CREATE INDEX batch_received ON batch (received_at);

-- One row a measurement. No row-level unique index: the inbox above makes it unnecessary, and it would cost half the speed.
DO $$
BEGIN
  EXECUTE format($t$
    CREATE TABLE measurement (
      ts           timestamptz NOT NULL,   -- wall time of the run, re-anchored by the probe
      slot_at      timestamptz NOT NULL,
      probe_key    int4 NOT NULL,
      target_key   int4 NOT NULL,
      seq          int8 NOT NULL,
      value        float8,                 -- the kind's principal number (docs/ontology.md)
      ms           real,                   -- the kind's principal duration, milliseconds
      clock_err_ms int4 NOT NULL,
      kind         int2 NOT NULL,
      failure      int2,                   -- null when ok
      outcome      int2 NOT NULL CHECK (outcome BETWEEN 0 AND 2),  -- 0 ok, 1 failed, 2 not_run
      family       int2 NOT NULL CHECK (family IN (0, 4, 6)),
      validity     int2 NOT NULL,          -- bits: clock (0-1), ipv4 (2-3), ipv6 (4-5); docs/ontology.md
      detail       jsonb                   -- the whole row when it did not end well, and once an hour otherwise
    ) %s
  $t$, CASE WHEN EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN '' ELSE 'PARTITION BY RANGE (ts)' END);
  IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
    PERFORM create_hypertable('measurement', 'ts', chunk_time_interval => interval '1 day', create_default_indexes => false);
  END IF;
END $$;
CREATE INDEX measurement_probe_kind ON measurement (probe_key, kind, ts DESC);

-- Plain PostgreSQL has a partition a day, made before the first row of that day; TimescaleDB makes its chunks itself.
CREATE FUNCTION ensure_day(day date) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT relkind FROM pg_class WHERE oid = 'measurement'::regclass) = 'p'
     AND to_regclass(format('measurement_%s', to_char(day, 'YYYYMMDD'))) IS NULL THEN
    PERFORM pg_advisory_xact_lock(hashtext('civobs.ensure_day'));
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF measurement FOR VALUES FROM (%L) TO (%L)',
                   'measurement_' || to_char(day, 'YYYYMMDD'), day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
  END IF;
END $$;

-- Whatever could not be stored, with its reason and its bytes.
CREATE TABLE rejected_batch (
  rejected_key   int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  received_at    timestamptz NOT NULL,
  last_at        timestamptz NOT NULL,
  n              int8 NOT NULL DEFAULT 1,       -- how often the same bytes came on the same topic
  topic          text NOT NULL,
  probe_id       text,
  batch_seq      int8,
  reason         text NOT NULL,
  detail         text NOT NULL,
  payload_sha256 bytea NOT NULL,
  payload        bytea,                         -- null once the quarantine is full
  receipted      bool NOT NULL,
  UNIQUE (payload_sha256, topic)
);

-- Everything a probe need not send again.
CREATE TABLE receipt (
  probe_key  int4 PRIMARY KEY REFERENCES probe,
  committed  int8multirange NOT NULL DEFAULT '{}',
  rejected   int8multirange NOT NULL DEFAULT '{}',
  updated_at timestamptz NOT NULL
);

-- What the broker said of a probe, in the order it came. `late`: it may have waited while the collector was away,
-- so `received_at` is only an upper bound.
CREATE TABLE presence (
  probe_key    int4 NOT NULL REFERENCES probe,
  received_at  timestamptz NOT NULL,
  state        text NOT NULL CHECK (state IN ('online', 'offline', 'stopped')),
  session      text NOT NULL,
  boot_id      uuid NOT NULL,
  said_at      timestamptz NOT NULL,   -- the probe's clock when it signed
  clock_err_ms int4 NOT NULL,
  keepalive_s  int4 NOT NULL,
  late         bool NOT NULL,
  PRIMARY KEY (probe_key, session, state)
);
CREATE INDEX presence_time ON presence (received_at);

-- Sign of life of each collector role: where there is none, absence of probes says nothing.
CREATE TABLE collector_beat (
  at       timestamptz NOT NULL,
  role     text NOT NULL,
  instance text NOT NULL,
  ok       bool NOT NULL,
  PRIMARY KEY (role, instance, at)
);

CREATE TABLE dirty_bucket (bucket timestamptz NOT NULL, probe_key int4 NOT NULL, PRIMARY KEY (bucket, probe_key));
CREATE TABLE rollup_5m (
  bucket timestamptz NOT NULL, probe_key int4 NOT NULL, kind int2 NOT NULL, target_key int4 NOT NULL, family int2 NOT NULL,
  n int4 NOT NULL, n_ok int4 NOT NULL, n_not_run int4 NOT NULL,
  ms_min real, ms_max real, ms_sum float8, ms_hist int4[] NOT NULL,
  PRIMARY KEY (bucket, probe_key, kind, target_key, family)
);
CREATE TABLE rollup_1h (LIKE rollup_5m INCLUDING ALL);

-- Events are chains of immutable versions. The public id is minted with the first version and never changes.
CREATE TABLE event (
  event_key  uuid PRIMARY KEY,
  public_id  text UNIQUE CHECK (public_id ~ '^CIV-[0-9]{4}-[A-Z]{2}-[0-9]{4,}$'),
  cc         text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE event_version (
  event_key        uuid NOT NULL REFERENCES event,
  version          int4 NOT NULL CHECK (version >= 1),
  published_at     timestamptz NOT NULL,
  change_kind      text NOT NULL CHECK (change_kind IN ('new', 'extended', 'closed', 'corrected', 'reclassified', 'retracted')),
  reason           text NOT NULL CHECK (reason IN ('detected', 'late_data', 'human_review', 'detector_version')),
  detector_version text NOT NULL,
  status           text NOT NULL CHECK (status IN ('open', 'closed', 'retracted')),
  kind             text NOT NULL,
  level            text NOT NULL CHECK (level IN ('probe', 'network', 'country')),
  cc               text NOT NULL,
  asn              int8,
  onset_earliest   timestamptz NOT NULL,
  onset_latest     timestamptz NOT NULL,
  resolution_earliest timestamptz,
  resolution_latest   timestamptz,
  record           jsonb NOT NULL,   -- the whole record as published (detect/record.py)
  PRIMARY KEY (event_key, version)
);
CREATE INDEX event_version_cc ON event_version (cc, onset_earliest);
CREATE VIEW event_current AS
  SELECT DISTINCT ON (v.event_key) e.public_id, v.* FROM event_version v JOIN event e USING (event_key)
  ORDER BY v.event_key, v.version DESC;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'published rows are never changed: write a new version' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER event_version_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event_version
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
