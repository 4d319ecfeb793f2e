-- The role that Grafana's login is a member of: it may read the views of schema grafana and nothing else.
-- Run by every `civobs migrate`, after the files. A role that may not make roles leaves it out.
DO $$
DECLARE
  one record;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'civobs_grafana') THEN
    BEGIN
      CREATE ROLE civobs_grafana NOLOGIN;
    EXCEPTION
      WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this server was faster
      WHEN insufficient_privilege THEN RETURN;
    END;
  END IF;
  GRANT USAGE ON SCHEMA grafana TO civobs_grafana;
  GRANT SELECT ON ALL TABLES IN SCHEMA grafana TO civobs_grafana;
  -- Its functions run as the owner of the tables: they are for this role only.
  REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA grafana FROM PUBLIC;
  GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA grafana TO civobs_grafana;
  -- A time limit is not inherited from a group, so each login has its own; those who can read more than the views are
  -- not Grafana's.
  FOR one IN
    SELECT rolname FROM pg_roles
     WHERE rolcanlogin AND NOT rolsuper AND pg_has_role(oid, 'civobs_grafana', 'MEMBER')
       AND NOT has_table_privilege(oid, 'measurement', 'SELECT')
       AND NOT EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) said
                        WHERE setrole = pg_roles.oid AND said LIKE 'statement_timeout=%')
  LOOP
    BEGIN
      EXECUTE format('ALTER ROLE %I SET statement_timeout = ''15s''', one.rolname);
      EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', one.rolname);
      -- Compiling takes longer than what is compiled here.
      EXECUTE format('ALTER ROLE %I SET jit = off', one.rolname);
    EXCEPTION WHEN insufficient_privilege THEN NULL;  -- an administrator sets it: docs/operating/grafana.md
    END;
  END LOOP;
END $$;
