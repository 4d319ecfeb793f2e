"""Ingest: from a message of the broker to committed rows, a receipt and only then an acknowledgement."""
