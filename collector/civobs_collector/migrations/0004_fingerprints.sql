-- Fingerprints of block pages and known false positives, imported from lists of others, each under its own name.
-- One that its list no longer has is withdrawn and not deleted: an event may name it.
CREATE TABLE fingerprint (
  fingerprint_key int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source         text NOT NULL CHECK (source <> ''),
  fingerprint_id text NOT NULL CHECK (fingerprint_id <> ''),
  role           text NOT NULL CHECK (role IN ('block', 'innocent')),
  scope          text NOT NULL,
  location       text NOT NULL CHECK (location IN ('any', 'body', 'header') OR location LIKE 'header._%'),
  form           text NOT NULL CHECK (form IN ('contains', 'prefix', 'full', 'regexp')),
  pattern        text NOT NULL CHECK (length(pattern) BETWEEN 1 AND 4096),
  countries      text[] NOT NULL DEFAULT '{}',
  confidence     int2 CHECK (confidence BETWEEN 0 AND 10),
  note           text NOT NULL DEFAULT '',   -- where its author saw it, and what is said of it
  imported_at    timestamptz NOT NULL DEFAULT now(),
  withdrawn_at   timestamptz
);
-- The pattern is part of what it is: lists use one name for several. By its digest, because an index entry is bounded.
CREATE UNIQUE INDEX fingerprint_one ON fingerprint (source, fingerprint_id, role, location, form, md5(pattern));
