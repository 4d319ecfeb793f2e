"""Dashboards and alert rules as code: what builds them, and beside it what was built, committed."""
