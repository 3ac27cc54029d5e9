-- Writes of the suppression read model. Names are unqualified: the projector sets search_path to the build.

-- load --
-- The rows of the addresses a batch touches.
SELECT s.suppression_id, s.state, s.address, s.reason, s.reason_version
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (workspace_id, suppression_id)
JOIN suppression AS s ON s.workspace_id = wanted.workspace_id AND s.suppression_id = wanted.suppression_id

-- upsert --
INSERT INTO suppression AS s (
    workspace_id, suppression_id, listed, since, version, channel, address, reason, reason_version, state
)
SELECT r.workspace_id, r.suppression_id, r.listed, r.since, r.version, r.channel, r.address, r.reason,
       r.reason_version, r.state
FROM unnest(
    $1::uuid[], $2::uuid[], $3::boolean[], $4::timestamptz[], $5::integer[], $6::text[], $7::text[], $8::text[],
    $9::integer[], $10::bytea[]
) AS r (workspace_id, suppression_id, listed, since, version, channel, address, reason, reason_version, state)
ON CONFLICT (workspace_id, suppression_id) DO UPDATE SET
    listed = excluded.listed,
    since = excluded.since,
    version = excluded.version,
    channel = excluded.channel,
    address = excluded.address,
    reason = excluded.reason,
    reason_version = excluded.reason_version,
    state = excluded.state

-- count --
-- Moves the totals by differences, which come in key order.
INSERT INTO suppression_count AS c (workspace_id, channel, entries)
SELECT d.workspace_id, d.channel, d.entries
FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS d (workspace_id, channel, entries)
ON CONFLICT (workspace_id, channel) DO UPDATE SET entries = c.entries + excluded.entries

-- uncount --
-- Totals that came down to nothing are no rows, as in a build that never had them.
DELETE FROM suppression_count AS c
WHERE c.workspace_id = ANY ($1::uuid[]) AND c.entries = 0
