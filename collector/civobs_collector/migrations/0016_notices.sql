-- What is to be told to whom: one row for each subscriber and version, so that a restart neither forgets nor repeats.
CREATE TABLE notice (
  notice_key int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  subscriber text NOT NULL,
  event_key  uuid NOT NULL,
  version    int4 NOT NULL,
  told       int4,                                   -- the version it was told of before; null: of none
  change     text NOT NULL,                          -- opened, worsened, confirmed, closed, retracted, …
  made_at    timestamptz NOT NULL,
  not_before timestamptz NOT NULL,                   -- quiet hours, and the pause after a failure
  urgent     bool NOT NULL DEFAULT false,            -- told also in quiet hours
  message    uuid,                                   -- set before the first attempt, the same in all: a digest has several
  tried_at   timestamptz,                            -- the first attempt
  attempts   int4 NOT NULL DEFAULT 0,
  state      text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead', 'dropped')),
  sent_at    timestamptz,
  last_error text,
  UNIQUE (subscriber, event_key, version),
  FOREIGN KEY (event_key, version) REFERENCES event_version
);
CREATE INDEX notice_waiting ON notice (subscriber, not_before) WHERE state = 'waiting';
CREATE INDEX notice_tried ON notice (subscriber, tried_at);
CREATE INDEX notice_message ON notice (message);

-- Since when a subscriber is one: what was published before is history, and is not sent.
CREATE TABLE notice_subscriber (
  subscriber text PRIMARY KEY,
  since      timestamptz NOT NULL,
  after_due  int8 NOT NULL                           -- what was on the list of notice_due at that moment is history, too
);

-- Versions that nobody has been told of yet. Written in the transaction of the version itself, whoever publishes it: a
-- mark of the last one seen would miss versions that are committed in another order than they are dated.
CREATE TABLE notice_due (
  due_key   int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_key uuid NOT NULL,
  version   int4 NOT NULL
);
CREATE FUNCTION note_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO notice_due (event_key, version) VALUES (NEW.event_key, NEW.version);
  RETURN NULL;
END $$;
CREATE TRIGGER event_version_due AFTER INSERT ON event_version
  FOR EACH ROW WHEN (NEW.level <> 'probe') EXECUTE FUNCTION note_version();
