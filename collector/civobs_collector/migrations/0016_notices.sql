-- What is to be told to whom: one row for each subscriber and version, made with the version's own place in the order,
-- so that a restart neither forgets nor repeats.
CREATE TABLE notice (
  notice_key int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  subscriber text NOT NULL,
  event_key  uuid NOT NULL,
  version    int4 NOT NULL,
  change     text NOT NULL,                          -- opened, worsened, confirmed, closed, retracted, …
  made_at    timestamptz NOT NULL,
  not_before timestamptz NOT NULL,                   -- quiet hours, and the pause after a failure
  attempts   int4 NOT NULL DEFAULT 0,
  state      text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead', 'dropped')),
  sent_at    timestamptz,
  last_error text,
  UNIQUE (subscriber, event_key, version),
  FOREIGN KEY (event_key, version) REFERENCES event_version
);
CREATE INDEX notice_waiting ON notice (not_before) WHERE state = 'waiting';
