"""Grafana: the alert rules, and keeping a Grafana as this version has it."""
