"""The database: connecting, migrating, and one function a query."""
