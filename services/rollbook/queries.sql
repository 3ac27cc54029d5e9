-- sample_data_key --
-- One wrapped data key, to see whether the configured master key is the one of this database.
SELECT k.subject_id, k.wrapped
FROM keys.subject_keys AS k
LIMIT 1

-- database_facts --
-- What the doctor looks at: version, clock, durability, room for connections.
SELECT
    current_setting('server_version_num')::int AS version,
    current_setting('server_version') AS version_text,
    clock_timestamp() AS now,
    current_setting('fsync') AS fsync,
    current_setting('max_connections')::int AS connections_max,
    (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    pg_encoding_to_char((SELECT d.encoding FROM pg_database AS d WHERE d.datname = current_database())) AS encoding,
    (SELECT r.rolsuper OR r.rolcreaterole FROM pg_roles AS r WHERE r.rolname = current_user) AS can_create_roles,
    has_database_privilege(current_database(), 'CREATE') AS can_create_schemas

-- revision --
-- Revision of the log's schema; the table is Alembic's own.
SELECT version_num
FROM rollbook_schema_version

-- lane_heads --
-- How long the log is, and when it was last written to.
SELECT l.lane, coalesce(h.last_position, 0) AS position, h.recorded_at
FROM log.lanes AS l
LEFT JOIN LATERAL (
    SELECT b.last_position, b.recorded_at
    FROM log.batches AS b
    WHERE b.lane = l.lane
    ORDER BY b.last_position DESC
    LIMIT 1
) AS h ON true
ORDER BY l.lane

-- merged_contacts --
-- What merged contacts say themselves.
SELECT m.workspace_id, m.contact_id, m.state
FROM rm_contact.contact_member AS m

-- has_database --
-- Whether a cluster of ours has its database already.
SELECT EXISTS (SELECT FROM pg_database AS d WHERE d.datname = $1)
