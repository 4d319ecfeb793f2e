-- The last statement of a probe before a time and its last batch before a will, found without reading those of others.
CREATE INDEX presence_probe ON presence (probe_key, received_at);
CREATE INDEX batch_probe ON batch (probe_key, received_at);
