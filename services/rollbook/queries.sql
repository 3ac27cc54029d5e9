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

-- projection_states --
-- Every build with the place of its slowest slice range in each lane. Lag in seconds is the age of the first event that
-- is not applied; 0 where there is none.
SELECT
    p.name,
    p.build,
    p.code_version,
    p.state,
    c.lane,
    c.position,
    c.owners,
    c.trouble,
    coalesce(k.parked, 0) AS parked,
    coalesce(extract(epoch FROM clock_timestamp() - b.recorded_at), 0)::float8 AS lag_s
FROM projector.projections AS p
LEFT JOIN LATERAL (
    SELECT
        c.lane,
        min(c.position) AS position,
        count(*) FILTER (WHERE c.leased_until > clock_timestamp())::int AS owners,
        max(c.trouble) AS trouble
    FROM projector.checkpoints AS c
    WHERE c.name = p.name AND c.build = p.build
    GROUP BY c.lane
) AS c ON true
LEFT JOIN LATERAL (
    SELECT b.recorded_at
    FROM log.batches AS b
    WHERE b.lane = c.lane AND b.last_position > c.position
    ORDER BY b.last_position
    LIMIT 1
) AS b ON true
LEFT JOIN LATERAL (
    SELECT count(*)::int AS parked
    FROM projector.parked AS k
    WHERE k.name = p.name AND k.build = p.build AND k.lane = c.lane
) AS k ON true
ORDER BY p.name, p.build DESC, c.lane

-- parked_keys --
-- What waits for a cure: which key, since when, at which event, why.
SELECT k.name, k.lane, k.key, k.position, k.attempts, k.since, k.error
FROM projector.parked AS k
JOIN projector.projections AS p ON p.name = k.name AND p.build = k.build AND p.state = 'live'
WHERE $1::text IS NULL OR k.name = $1
ORDER BY k.since
LIMIT 100
