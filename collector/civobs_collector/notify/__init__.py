"""Who is told of events, and how: an outbox in the database, webhooks and e-mail."""
