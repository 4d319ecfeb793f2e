"""HTTP: the public API, enrolment and time for probes, health, and the routes of the pages."""
