-- The role of the program's every day: it may do with the tables what it likes, but to what was published, decided or
-- logged only add.
-- Run by every `civobs migrate`, after the files, so that it covers the tables of all of them. A role that may not make
-- roles leaves it out; `civobs doctor` then says what to do.
DO $$
DECLARE
  one record;
BEGIN
  -- What runs as the owner, as dropping days does, is for nobody else who may log in here.
  FOR one IN
    SELECT oid::regprocedure AS name FROM pg_proc
     WHERE pronamespace = current_schema::regnamespace AND prosecdef AND pg_has_role(proowner, 'USAGE')
       AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', one.name);
  END LOOP;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'civobs_publisher') THEN
    BEGIN
      CREATE ROLE civobs_publisher NOLOGIN;
    EXCEPTION
      WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this server was faster
      WHEN insufficient_privilege THEN RETURN;
    END;
  END IF;
  IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    BEGIN
      EXECUTE format('GRANT civobs_publisher TO %I', current_user);
    EXCEPTION WHEN insufficient_privilege THEN NULL;  -- an administrator grants it
    END;
  END IF;
  FOR one IN
    SELECT relname FROM pg_class
     WHERE relnamespace = current_schema::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition
       AND pg_has_role(relowner, 'USAGE')
       AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
  LOOP
    EXECUTE format('GRANT SELECT ON %I TO civobs_publisher', one.relname);
    IF one.relname IN ('event', 'event_version', 'review', 'audit') THEN
      EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %I FROM civobs_publisher', one.relname);
      EXECUTE format('GRANT INSERT ON %I TO civobs_publisher', one.relname);
    ELSIF one.relname <> 'migration' THEN
      EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %I TO civobs_publisher', one.relname);
    END IF;
  END LOOP;
  FOR one IN
    SELECT oid::regprocedure AS name FROM pg_proc
     WHERE pronamespace = current_schema::regnamespace AND prosecdef AND pg_has_role(proowner, 'USAGE')
       AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO civobs_publisher', one.name);
  END LOOP;
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO civobs_publisher', current_schema);
END $$;
