-- Who may work at the desk, who is signed in, and everything that was done or refused there.
CREATE TABLE staff (
  staff_key     int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  login         text NOT NULL UNIQUE CHECK (login ~ '^[a-z0-9][a-z0-9._-]{1,31}$'),
  name          text NOT NULL CHECK (name <> ''),    -- as it stands in records that they confirm
  role          text NOT NULL CHECK (role IN ('viewer', 'reviewer', 'admin')),
  password_hash text NOT NULL,                       -- argon2id
  totp_sealed   bytea NOT NULL,                      -- the secret of the one-time codes, sealed with the desk's key
  totp_step     int8 NOT NULL DEFAULT 0,             -- of the last code that was used: each works once
  created_at    timestamptz NOT NULL DEFAULT now(),
  disabled_at   timestamptz
);
ALTER TABLE review ADD FOREIGN KEY (staff_key) REFERENCES staff;

-- Sessions are kept by the digest of what the browser has: a copy of the table opens none.
CREATE TABLE staff_session (
  session_sha256 bytea PRIMARY KEY CHECK (length(session_sha256) = 32),
  staff_key      int4 NOT NULL REFERENCES staff,
  browser_sha256 bytea NOT NULL CHECK (length(browser_sha256) = 32), -- what the browser calls itself, keyed
  csrf           text NOT NULL,
  created_at     timestamptz NOT NULL,
  seen_at        timestamptz NOT NULL,
  expires_at     timestamptz NOT NULL,
  ended_at       timestamptz                         -- kept for a while, so that a stolen cookie is known for what it is
);
CREATE INDEX staff_session_staff ON staff_session (staff_key);

CREATE TABLE audit (
  audit_key int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at        timestamptz NOT NULL,
  staff_key int4 REFERENCES staff,                   -- null where nobody is signed in, and at the command line
  login     text NOT NULL,
  action    text NOT NULL,
  outcome   text NOT NULL CHECK (outcome IN ('done', 'refused')),
  event_key uuid REFERENCES event,
  detail    text NOT NULL DEFAULT ''
);
CREATE INDEX audit_at ON audit (at);
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
