-- Reads and writes of the segment projection. Names of its own tables are unqualified: the projector sets search_path to
-- the build. What it reads of other read models it reads as of a position, so that it does not matter how far they are.

-- reached --
-- How far the slowest of the live builds it depends on has come in a lane; as many rows as there are of them.
SELECT c.name, min(c.position) AS position
FROM projector.checkpoints AS c
JOIN projector.projections AS p ON p.name = c.name AND p.build = c.build AND p.state = 'live'
WHERE c.lane = $1 AND c.name = ANY ($2::text[])
GROUP BY c.name

-- before --
-- The last position recorded before each instant; 0 where there is none.
SELECT
    t.at,
    coalesce(
        (
            SELECT b.last_position
            FROM log.batches AS b
            WHERE b.lane = $1 AND b.recorded_at < t.at
            ORDER BY b.recorded_at DESC, b.last_position DESC
            LIMIT 1
        ),
        0
    ) AS position
FROM unnest($2::timestamptz[]) AS t (at)

-- scopes --
SELECT s.workspace_id, s.revision, s.state
FROM scope AS s
WHERE s.workspace_id = ANY ($1::uuid[])

-- all_scopes --
-- The workspaces that have anything to keep.
SELECT s.workspace_id
FROM scope AS s
WHERE EXISTS (SELECT FROM segment AS g WHERE g.workspace_id = s.workspace_id)

-- keeps --
-- Whether any of these workspaces has a list or a segment; any at all where none is named.
SELECT EXISTS (SELECT FROM segment AS g WHERE g.workspace_id = ANY ($1::uuid[]) OR cardinality($1::uuid[]) = 0)

-- save_scope --
INSERT INTO scope AS s (workspace_id, revision, state)
VALUES ($1, $2, $3)
ON CONFLICT (workspace_id) DO UPDATE SET revision = excluded.revision, state = excluded.state

-- definitions --
-- As they are now.
SELECT d.segment_id, d.is_list, d.is_kept, d.filter, d.region
FROM definition AS d
WHERE d.workspace_id = $1 AND d.to_position = 9223372036854775807

-- end_definition --
UPDATE definition AS d
SET to_position = $3
WHERE d.workspace_id = $1 AND d.segment_id = $2 AND d.to_position = 9223372036854775807

-- save_definition --
INSERT INTO definition (workspace_id, segment_id, from_position, is_list, is_kept, filter, region)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7)

-- load_segment --
SELECT g.name, g.version, g.created_at, g.archived_at, d.filter, d.region
FROM segment AS g
JOIN definition AS d ON d.workspace_id = g.workspace_id AND d.segment_id = g.segment_id
WHERE g.workspace_id = $1 AND g.segment_id = $2 AND d.to_position = 9223372036854775807

-- save_segment --
INSERT INTO segment AS g (
    workspace_id, segment_id, is_list, name, filed_name, version, created_at, changed_at, archived_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (workspace_id, segment_id) DO UPDATE SET
    name = excluded.name,
    filed_name = excluded.filed_name,
    version = excluded.version,
    changed_at = excluded.changed_at,
    archived_at = excluded.archived_at

-- open_count --
INSERT INTO segment_count (workspace_id, segment_id, members)
VALUES ($1, $2, 0)

-- lanes_due --
-- Where the time of somebody has come.
SELECT l.lane
FROM log.lanes AS l
WHERE EXISTS (SELECT FROM rm_segment.watch AS w WHERE w.lane = l.lane AND w.flip_at <= clock_timestamp())

-- hold_lane --
-- Nobody appends until the end of the transaction: what comes later is recorded later.
SELECT pg_advisory_xact_lock_shared(1382836331, $1)

-- head --
SELECT coalesce(max(b.last_position), 0) AS position, clock_timestamp() AS now
FROM log.batches AS b
WHERE b.lane = $1

-- recorded_at --
SELECT e.recorded_at
FROM log.events AS e
WHERE e.lane = $1 AND e.position = $2

-- take_turn --
-- As `advance` of the event store does it, without moving: the row lock keeps the projector and other clocks out.
SELECT c.position, set_config('search_path', quote_ident(p.schema_name) || ', public', true) AS search_path
FROM projector.checkpoints AS c
JOIN projector.projections AS p ON p.name = c.name AND p.build = c.build AND p.state = 'live'
WHERE c.name = 'segment' AND c.lane = $1
FOR UPDATE OF c SKIP LOCKED

-- bound --
-- The instant up to which so many may be moved by time; NULL where it is no more than that up to $2.
SELECT w.flip_at
FROM watch AS w
WHERE w.lane = $1 AND w.flip_at <= $2
ORDER BY w.flip_at
OFFSET $3
LIMIT 1

-- due --
-- Some of those whom time alone may have moved up to an instant, but for some, in the order of their ids.
SELECT DISTINCT w.contact_id, w.workspace_id
FROM watch AS w
WHERE w.lane = $1 AND w.flip_at <= $2 AND w.contact_id <> ALL ($3::uuid[]) AND w.contact_id > $4
ORDER BY w.contact_id
LIMIT $5

-- replaced --
-- Contacts of which something else was shown from one of these positions on.
SELECT DISTINCT h.workspace_id, h.contact_id
FROM rm_history.contact_history_past AS h
WHERE h.workspace_id = ANY ($1::uuid[]) AND h.to_position BETWEEN $2 AND $3

-- versions --
-- What was shown of contacts right before the first position and up to the last one.
SELECT h.contact_id, h.from_position, h.to_position, h.state
FROM unnest($1::uuid[], $2::uuid[]) AS w (workspace_id, contact_id)
JOIN rm_history.contact_history AS h ON h.workspace_id = w.workspace_id AND h.contact_id = w.contact_id
WHERE h.to_position >= $3 AND h.from_position <= $4
ORDER BY h.contact_id, h.from_position

-- engagements --
-- The same of what their activity comes to.
SELECT h.contact_id, h.from_position, h.to_position, h.shown
FROM unnest($1::uuid[], $2::uuid[]) AS w (workspace_id, contact_id)
JOIN rm_engagement.engagement_history AS h ON h.workspace_id = w.workspace_id AND h.contact_id = w.contact_id
WHERE h.to_position >= $3 AND h.from_position <= $4
ORDER BY h.contact_id, h.from_position

-- activities --
-- What was recorded for contacts up to a position, of some kinds and families.
SELECT a.contact_id, a.position, a.kind, a.occurred_at, a.data
FROM unnest($1::uuid[], $2::uuid[]) AS w (workspace_id, contact_id)
JOIN rm_activity.activity AS a ON a.workspace_id = w.workspace_id AND a.contact_id = w.contact_id
WHERE a.position <= $3 AND (a.kind = ANY ($4::text[]) OR split_part(a.kind, '.', 1) = ANY ($5::text[]))
ORDER BY a.contact_id, a.occurred_at, a.position

-- memberships --
-- What contacts are in now.
SELECT m.contact_id, m.segment_id
FROM unnest($1::uuid[], $2::uuid[]) AS w (workspace_id, contact_id)
JOIN membership AS m ON m.workspace_id = w.workspace_id AND m.contact_id = w.contact_id
WHERE m.to_position = 9223372036854775807

-- watches --
SELECT v.contact_id, v.segment_id, v.flip_at
FROM unnest($1::uuid[], $2::uuid[]) AS w (workspace_id, contact_id)
JOIN watch AS v ON v.workspace_id = w.workspace_id AND v.contact_id = w.contact_id

-- close --
-- Ends memberships that hold still.
UPDATE membership AS m
SET to_at = c.at, to_position = c.position, to_cause = c.cause, to_event = c.event_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::bigint[], $6::text[], $7::uuid[])
    AS c (workspace_id, segment_id, contact_id, at, position, cause, event_id)
WHERE m.workspace_id = c.workspace_id AND m.segment_id = c.segment_id AND m.contact_id = c.contact_id
    AND m.to_position = 9223372036854775807

-- count --
INSERT INTO segment_count AS s (workspace_id, segment_id, members)
SELECT d.workspace_id, d.segment_id, d.members
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS d (workspace_id, segment_id, members)
ON CONFLICT (workspace_id, segment_id) DO UPDATE SET members = s.members + excluded.members

-- save_watches --
INSERT INTO watch AS w (workspace_id, segment_id, contact_id, lane, flip_at)
SELECT v.workspace_id, v.segment_id, v.contact_id, $5, v.flip_at
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[])
    AS v (workspace_id, segment_id, contact_id, flip_at)
ON CONFLICT (workspace_id, contact_id, segment_id) DO UPDATE SET flip_at = excluded.flip_at

-- drop_watches --
DELETE FROM watch AS w
USING unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS v (workspace_id, segment_id, contact_id)
WHERE w.workspace_id = v.workspace_id AND w.segment_id = v.segment_id AND w.contact_id = v.contact_id

-- forget --
-- All that is known of erased contacts, but what they left, which says no more than that somebody did.
WITH gone AS (
    SELECT g.workspace_id, g.contact_id
    FROM unnest($1::uuid[], $2::uuid[]) AS g (workspace_id, contact_id)
),
unwatched AS (
    DELETE FROM watch AS w
    USING gone
    WHERE w.workspace_id = gone.workspace_id AND w.contact_id = gone.contact_id
)
DELETE FROM membership AS m
USING gone
WHERE m.workspace_id = gone.workspace_id AND m.contact_id = gone.contact_id
