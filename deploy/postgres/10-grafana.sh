#!/bin/sh
# Run once, by the database's container, when its folder is empty: the login that Grafana has. What it may read is granted
# by every "civobs migrate".
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set password `cat /run/secrets/database_grafana`
CREATE ROLE civobs_grafana NOLOGIN;
CREATE ROLE grafana LOGIN PASSWORD :'password' IN ROLE civobs_grafana;
ALTER ROLE grafana SET statement_timeout = '15s';
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET jit = off;
SQL
