-- Reads and writes of fillings: members of segments that mean something else from an event on. As in projection.sql, names
-- of its own tables are unqualified.

-- is_live --
-- Whether the tables are those of the live build.
SELECT current_schema() = 'rm_segment'

-- is_large --
-- Whether so many contacts were shown at a position.
SELECT EXISTS (
    SELECT
    FROM rm_history.contact_history AS h
    WHERE h.workspace_id = $1 AND h.from_position <= $2 AND h.to_position > $2
    OFFSET $3
    LIMIT 1
)

-- definitions_at --
-- As they were from an event on.
SELECT d.segment_id, d.is_list, d.is_kept, d.filter, d.region
FROM definition AS d
WHERE d.workspace_id = $1 AND d.from_position <= $2 AND d.to_position > $2

-- open_filling --
INSERT INTO filling (workspace_id, position, at, lane, cause, event_id, segment_ids, scope)
SELECT $1, $2, $3, $4, $5, $6, $7::uuid[], s.state
FROM scope AS s
WHERE s.workspace_id = $1

-- fillings --
-- Those under way in a lane, the oldest first.
SELECT f.workspace_id, f.position, f.at, f.cause, f.event_id, f.segment_ids, f.scope, f.mark
FROM filling AS f
WHERE f.lane = $1 AND NOT f.is_done
ORDER BY f.position

-- lanes_filling --
SELECT DISTINCT f.lane
FROM rm_segment.filling AS f
WHERE NOT f.is_done

-- stretch --
-- Where some versions behind a contact end, how many contacts these are of, and whether there are so many.
SELECT max(h.contact_id::text)::uuid AS contact_id, count(DISTINCT h.contact_id) AS contacts, count(*) = $3 AS is_full
FROM (
    SELECT h.contact_id
    FROM rm_history.contact_history AS h
    WHERE h.workspace_id = $1 AND h.contact_id > $2
    ORDER BY h.contact_id
    LIMIT $3
) AS h

-- move_mark --
UPDATE filling AS f
SET mark = $3, counted = f.counted + $4, is_done = $5
WHERE f.workspace_id = $1 AND f.position = $2

-- early --
-- Of which fillings contacts were asked already.
SELECT f.position, f.contact_id
FROM filled_early AS f
WHERE f.workspace_id = ANY ($1::uuid[]) AND f.contact_id = ANY ($2::uuid[])

-- save_early --
INSERT INTO filled_early (workspace_id, position, contact_id)
SELECT e.workspace_id, e.position, e.contact_id
FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS e (workspace_id, position, contact_id)

-- forget_early --
DELETE FROM filled_early AS f
WHERE f.workspace_id = $1 AND f.position = $2

-- horizon --
-- Nothing may be told any more before it; NULL where nothing was.
SELECT max(c.at)
FROM change AS c
WHERE c.lane = $1

-- hold_turn --
-- As take_turn, behind whoever has it.
SELECT c.build
FROM projector.checkpoints AS c
JOIN projector.projections AS p ON p.name = c.name AND p.build = c.build AND p.state = 'live'
WHERE c.name = 'segment' AND c.lane = $1
FOR UPDATE OF c

-- turn --
-- Whether the build is live still, now that nobody else can move it.
SELECT set_config('search_path', quote_ident(p.schema_name) || ', public', true)
FROM projector.projections AS p
WHERE p.name = 'segment' AND p.build = $1 AND p.state = 'live'

-- clear_watches --
-- Of segments that mean something else from an event ($2) on, for the contacts of a stretch but those asked early.
DELETE FROM watch AS w
WHERE w.workspace_id = $1 AND w.contact_id > $4 AND w.contact_id <= $5 AND w.segment_id = ANY ($3::uuid[])
    AND NOT EXISTS (
        SELECT
        FROM filled_early AS f
        WHERE f.workspace_id = $1 AND f.position = $2 AND f.contact_id = w.contact_id
    )

-- recount --
-- Who is in a segment from an event on, by a compiled condition on c, among the contacts of a stretch of ids ($8, $9] but
-- those asked early: those who were not in it come in, others leave. Of a large workspace ($10) it is told apart.
WITH early AS MATERIALIZED (
    SELECT f.contact_id
    FROM filled_early AS f
    WHERE f.workspace_id = $1 AND f.position = $4 AND f.contact_id > $8 AND f.contact_id <= $9
),
matching AS MATERIALIZED (
    SELECT c.contact_id
    FROM rm_history.own_contact_history AS c
    WHERE c.workspace_id = $1 AND c.from_position <= $4 AND c.to_position > $4 AND c.deleted_at IS NULL
        AND c.contact_id > $8 AND c.contact_id <= $9 AND {condition}
        AND NOT EXISTS (SELECT FROM early AS e WHERE e.contact_id = c.contact_id)
),
present AS MATERIALIZED (
    SELECT m.contact_id, m.from_at, m.from_position
    FROM membership AS m
    WHERE m.workspace_id = $1 AND m.segment_id = $2 AND m.contact_id > $8 AND m.contact_id <= $9
        AND m.to_position = 9223372036854775807
        AND NOT EXISTS (SELECT FROM early AS e WHERE e.contact_id = m.contact_id)
),
ended AS (
    UPDATE membership AS m
    SET to_at = $3, to_position = $4, to_cause = $5, to_event = $6
    FROM present AS p
    WHERE m.workspace_id = $1 AND m.segment_id = $2 AND m.contact_id = p.contact_id AND m.from_at = p.from_at
        AND m.from_position = p.from_position
        AND NOT EXISTS (SELECT FROM matching AS c WHERE c.contact_id = p.contact_id)
    RETURNING m.contact_id
),
begun AS (
    INSERT INTO membership (
        workspace_id, segment_id, contact_id, from_at, from_position, from_cause, from_event
    )
    SELECT $1, $2, c.contact_id, $3, $4, $5, $6
    FROM matching AS c
    WHERE NOT EXISTS (SELECT FROM present AS m WHERE m.contact_id = c.contact_id)
    RETURNING contact_id
),
counted AS (
    UPDATE segment_count AS s
    SET members = s.members + (SELECT count(*) FROM begun) - (SELECT count(*) FROM ended)
    WHERE s.workspace_id = $1 AND s.segment_id = $2
),
moved AS (
    SELECT b.contact_id, true AS entered FROM begun AS b
    UNION ALL
    SELECT e.contact_id, false FROM ended AS e
),
told_at_once AS (
    INSERT INTO change (lane, at, position, segment_id, contact_id, workspace_id, entered, cause, event_id)
    SELECT $7::smallint, $3, $4, $2, m.contact_id, $1, m.entered, $5, $6::uuid
    FROM moved AS m
    WHERE NOT $10::boolean
)
INSERT INTO first_change (
    lane, defined_at, defined_position, contact_id, segment_id, at, position, workspace_id, entered, cause, event_id
)
SELECT $7::smallint, $3, $4, m.contact_id, $2, $3, $4, $1, m.entered, $5, $6::uuid
FROM moved AS m
WHERE $10::boolean

-- unsettled --
-- The contacts of a stretch of ids ($3, $4] shown at a position ($2) of which a compiled condition on c holds, but those
-- asked early, in any order.
SELECT c.contact_id, c.state
FROM rm_history.own_contact_history AS c
WHERE c.workspace_id = $1 AND c.from_position <= $2 AND c.to_position > $2 AND c.deleted_at IS NULL
    AND c.contact_id > $3 AND c.contact_id <= $4 AND {condition}
    AND NOT EXISTS (
        SELECT
        FROM filled_early AS f
        WHERE f.workspace_id = $1 AND f.position = $2 AND f.contact_id = c.contact_id
    )
