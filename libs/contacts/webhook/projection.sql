-- Writes of the webhook read model. Names are unqualified: the projector sets search_path to the build.

-- load --
SELECT w.webhook_id, w.start_version, w.start_position, w.state
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (workspace_id, webhook_id)
JOIN webhook AS w ON w.workspace_id = wanted.workspace_id AND w.webhook_id = wanted.webhook_id

-- upsert --
INSERT INTO webhook AS w (
    workspace_id, webhook_id, version, present, enabled, lane, start_version, start_position, state
)
SELECT r.workspace_id, r.webhook_id, r.version, r.present, r.enabled, r.lane, r.start_version, r.start_position, r.state
FROM unnest(
    $1::uuid[], $2::uuid[], $3::integer[], $4::boolean[], $5::boolean[], $6::smallint[], $7::integer[], $8::bigint[],
    $9::bytea[]
) AS r (workspace_id, webhook_id, version, present, enabled, lane, start_version, start_position, state)
ON CONFLICT (workspace_id, webhook_id) DO UPDATE SET
    version = excluded.version,
    present = excluded.present,
    enabled = excluded.enabled,
    start_version = excluded.start_version,
    start_position = excluded.start_position,
    state = excluded.state
