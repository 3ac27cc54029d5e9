-- What library applications ask of the database besides the event store's own statements.

-- application_lane --
-- The application's lane, given out at its first start.
SELECT log.application_lane($1)

-- last_version --
-- Newest version of a stream; no row for an unknown one.
SELECT e.version
FROM log.events e
WHERE e.lane = $1 AND e.stream_id = $2 AND e.category = $3
ORDER BY e.version DESC
LIMIT 1

-- last_position --
-- Newest event of an application; in a lane of its own that is the first row looked at.
SELECT e.position
FROM log.events e
WHERE e.lane = $1 AND e.workspace_id = $2 AND e.category = ANY ($3)
ORDER BY e.position DESC
LIMIT 1

-- track --
-- No row where the upstream notification, or a later one, was processed before.
INSERT INTO log.tracking AS t (tracker, application_name, notification_id)
VALUES ($1, $2, $3)
ON CONFLICT (tracker, application_name) DO UPDATE
SET notification_id = excluded.notification_id
WHERE t.notification_id < excluded.notification_id
RETURNING t.notification_id

-- max_tracking_id --
SELECT t.notification_id
FROM log.tracking t
WHERE t.tracker = $1 AND t.application_name = $2

-- insert_snapshots --
INSERT INTO log.application_snapshots (lane, stream_id, version, topic, state)
SELECT $1, s.stream_id, s.version, s.topic, s.state
FROM unnest($2::uuid[], $3::integer[], $4::text[], $5::bytea[]) AS s (stream_id, version, topic, state)

-- select_snapshots --
-- Newest first, as a repository asks for the last one up to a version.
SELECT s.stream_id, s.version, s.topic, s.state
FROM log.application_snapshots s
WHERE s.lane = $1 AND s.stream_id = $2 AND s.version > $3 AND s.version <= $4
ORDER BY s.version DESC
LIMIT $5

-- select_snapshots_ascending --
SELECT s.stream_id, s.version, s.topic, s.state
FROM log.application_snapshots s
WHERE s.lane = $1 AND s.stream_id = $2 AND s.version > $3 AND s.version <= $4
ORDER BY s.version
LIMIT $5
