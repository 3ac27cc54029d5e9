-- What the readiness checks of the API ask.

-- revision --
-- Revision of the log's schema; the table is Alembic's own.
SELECT version_num
FROM rollbook_schema_version

-- lag --
-- How long the oldest event has waited that some live read model does not show; NULL where there is no read model yet.
SELECT max(
    CASE WHEN w.recorded_at IS NULL THEN 0 ELSE extract(EPOCH FROM clock_timestamp() - w.recorded_at) END
)::float8 AS lag_s
FROM projector.projections AS p
JOIN projector.checkpoints AS c
    ON c.name = p.name AND c.build = p.build
LEFT JOIN log.events AS w
    ON w.lane = c.lane AND w.position = c.position + 1
WHERE p.state = 'live'
