-- Writes of the state of deliveries, as rollbook_projector.

-- enabled --
-- Every webhook that is to be delivered to, over all workspaces.
SELECT w.workspace_id, w.webhook_id, w.lane, w.start_version, w.start_position, w.state
FROM rm_webhook.webhook AS w
WHERE w.enabled

-- begin --
-- Where a webhook stands; a later start than the one it follows wins.
INSERT INTO webhooks.progress AS p (workspace_id, webhook_id, start_version, position)
VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace_id, webhook_id) DO UPDATE SET
    start_version = greatest(p.start_version, excluded.start_version),
    position = CASE WHEN excluded.start_version > p.start_version THEN excluded.position ELSE p.position END
RETURNING p.position, p.failing_since

-- save --
UPDATE webhooks.progress AS p
SET position = $4, failing_since = $5
WHERE p.workspace_id = $1 AND p.webhook_id = $2 AND p.start_version = $3

-- record --
INSERT INTO webhooks.delivery (
    workspace_id, webhook_id, event_id, type, position, attempt, outcome, status, reason, duration_ms, at
)
SELECT $1, $2, r.event_id, r.type, r.position, r.attempt, r.outcome, r.status, r.reason, r.duration_ms, r.at
FROM unnest(
    $3::uuid[], $4::text[], $5::bigint[], $6::integer[], $7::text[], $8::smallint[], $9::text[], $10::integer[],
    $11::timestamptz[]
) AS r (event_id, type, position, attempt, outcome, status, reason, duration_ms, at)

-- sweep --
-- Attempts that are old, or more than are kept of a webhook.
DELETE FROM webhooks.delivery AS d
USING (
    SELECT p.workspace_id, p.webhook_id, (
        SELECT l.number
        FROM webhooks.delivery AS l
        WHERE l.workspace_id = p.workspace_id AND l.webhook_id = p.webhook_id
        ORDER BY l.number DESC
        OFFSET $2
        LIMIT 1
    ) AS last
    FROM webhooks.progress AS p
) AS kept
WHERE d.workspace_id = kept.workspace_id AND d.webhook_id = kept.webhook_id AND (d.number <= kept.last OR d.at < $1)

-- events --
-- What one workspace wrote in a stretch of its lane, of the types that are wanted.
SELECT e.lane, e.position, e.workspace_id, e.category, e.stream_id, e.version, e.event_id, e.type, e.schema_version,
       e.recorded_at, e.metadata, e.payload, e.subject_id, k.wrapped
FROM log.events e
LEFT JOIN keys.subject_keys k ON k.subject_id = e.subject_id
WHERE e.lane = $1 AND e.position > $2 AND e.position <= $3 AND e.workspace_id = $4
    AND ($5::text[] IS NULL OR e.type = ANY ($5))
ORDER BY e.position
