"""What is published, as pure functions of the event record: sentences, JSON, CSV, chart specifications, citation."""
