-- What deleting leaves behind in the files of PostgreSQL, and how it goes. Not for every day: tables are rewritten.

-- tables --
-- Whatever held readable data or keys. The statistics hold samples of it.
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND (n.nspname LIKE 'rm\_%' OR n.nspname = 'keys' OR c.oid = 'pg_statistic'::regclass)
ORDER BY 1

-- forget_statistics --
-- ANALYZE keeps what it last knew of a table that is empty by now.
SELECT pg_clear_attribute_stats(s.schemaname::text, s.tablename::text, s.attname::text, s.inherited)
FROM pg_stats s
WHERE s.schemaname LIKE 'rm\_%' OR s.schemaname IN ('keys', 'log')

-- is_superuser --
SELECT r.rolsuper
FROM pg_roles r
WHERE r.rolname = current_user

-- delete_old_wal --
ALTER SYSTEM SET wal_recycle = off

-- reuse_old_wal --
ALTER SYSTEM RESET wal_recycle

-- reload --
SELECT pg_reload_conf()

-- next_wal --
SELECT pg_switch_wal()
