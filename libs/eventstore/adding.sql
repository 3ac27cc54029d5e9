-- Statements of `eventstore.adding`, in one transaction under the lane lock.

-- used_keys --
-- Of the keys of a chunk those that had their effect, and what it was.
SELECT c.n, i.lane, i.last_position, i.event_count, i.recorded_at, i.request_hash
FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS c (workspace_id, key, n)
JOIN log.idempotency AS i ON i.workspace_id = c.workspace_id AND i.key = c.key

-- stream_ends --
-- How far each stream is, and whose it is; streams without events are left out.
SELECT w.n, l.version, l.workspace_id
FROM unnest($2::uuid[], $3::text[]) WITH ORDINALITY AS w (stream_id, category, n)
CROSS JOIN LATERAL (
    SELECT e.version, e.workspace_id
    FROM log.events AS e
    WHERE e.lane = $1 AND e.stream_id = w.stream_id AND e.category = w.category
    ORDER BY e.version DESC
    LIMIT 1
) AS l
