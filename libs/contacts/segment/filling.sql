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

-- move_marks --
UPDATE filling AS f
SET mark = $3, counted = f.counted + $4, is_done = $5
WHERE f.workspace_id = $1 AND f.position = ANY ($2::bigint[])

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
WHERE f.workspace_id = $1 AND f.position = ANY ($2::bigint[])

-- early_in --
-- The same of the contacts of a stretch of ids ($3, $4].
SELECT f.position, f.contact_id
FROM filled_early AS f
WHERE f.workspace_id = $1 AND f.position = ANY ($2::bigint[]) AND f.contact_id > $3 AND f.contact_id <= $4

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
-- Of segments ($2) that mean something else from events ($3) on, for the contacts of a stretch of ids ($4, $5] but those
-- asked early.
DELETE FROM watch AS w
USING unnest($2::uuid[], $3::bigint[]) AS d (segment_id, position)
WHERE w.workspace_id = $1 AND w.contact_id > $4 AND w.contact_id <= $5 AND w.segment_id = d.segment_id
    AND NOT EXISTS (
        SELECT
        FROM filled_early AS f
        WHERE f.workspace_id = $1 AND f.position = d.position AND f.contact_id = w.contact_id
    )

-- recount --
-- Who is in segments from events on, by compiled conditions on c, among the contacts of a stretch of ids ($2, $3] but
-- those asked early: those who were not in come in, others leave. What is shown at one position ($5) is what was shown at
-- each event to whoever was not asked early. $7 to $11 have segments, positions, instants, types and ids of the events, in
-- this order; of a large workspace ($6) it is told apart. `recounting` fills in what is in braces.
WITH defined AS MATERIALIZED (
    SELECT d.segment_id, d.position, d.at, d.cause, d.event_id
    FROM unnest($7::uuid[], $8::bigint[], $9::timestamptz[], $10::text[], $11::uuid[])
        AS d (segment_id, position, at, cause, event_id)
),
early AS MATERIALIZED (
    SELECT f.position, f.contact_id
    FROM filled_early AS f
    WHERE f.workspace_id = $1 AND f.contact_id > $2 AND f.contact_id <= $3
),
stretch AS {materialized} (
    SELECT c.*
    FROM rm_history.own_contact_history AS c
    WHERE c.workspace_id = $1 AND c.from_position <= $5 AND c.to_position > $5 AND c.deleted_at IS NULL
        AND c.contact_id > $2 AND c.contact_id <= $3
),
matching AS MATERIALIZED (
    SELECT m.segment_id, m.contact_id
    FROM ({matching}) AS m
    JOIN defined AS d ON d.segment_id = m.segment_id
    WHERE NOT EXISTS (SELECT FROM early AS e WHERE e.position = d.position AND e.contact_id = m.contact_id)
),
present AS MATERIALIZED (
    SELECT m.segment_id, m.contact_id, m.from_at, m.from_position
    FROM defined AS d
    JOIN membership AS m ON m.segment_id = d.segment_id
    WHERE m.workspace_id = $1 AND m.contact_id > $2 AND m.contact_id <= $3 AND m.to_position = 9223372036854775807
        AND NOT EXISTS (SELECT FROM early AS e WHERE e.position = d.position AND e.contact_id = m.contact_id)
),
ended AS (
    UPDATE membership AS m
    SET to_at = d.at, to_position = d.position, to_cause = d.cause, to_event = d.event_id
    FROM present AS p
    JOIN defined AS d ON d.segment_id = p.segment_id
    WHERE m.workspace_id = $1 AND m.segment_id = p.segment_id AND m.contact_id = p.contact_id
        AND m.from_at = p.from_at AND m.from_position = p.from_position
        AND NOT EXISTS (
            SELECT FROM matching AS c WHERE c.segment_id = p.segment_id AND c.contact_id = p.contact_id
        )
    RETURNING m.segment_id, m.contact_id
),
begun AS (
    INSERT INTO membership (
        workspace_id, segment_id, contact_id, from_at, from_position, from_cause, from_event
    )
    SELECT $1, c.segment_id, c.contact_id, d.at, d.position, d.cause, d.event_id
    FROM matching AS c
    JOIN defined AS d ON d.segment_id = c.segment_id
    WHERE NOT EXISTS (
        SELECT FROM present AS m WHERE m.segment_id = c.segment_id AND m.contact_id = c.contact_id
    )
    RETURNING segment_id, contact_id
),
moved AS (
    SELECT b.segment_id, b.contact_id, true AS entered FROM begun AS b
    UNION ALL
    SELECT e.segment_id, e.contact_id, false FROM ended AS e
),
counted AS (
    UPDATE segment_count AS s
    SET members = s.members + m.more
    FROM (
        SELECT m.segment_id, sum(CASE WHEN m.entered THEN 1 ELSE -1 END)::bigint AS more
        FROM moved AS m
        GROUP BY m.segment_id
    ) AS m
    WHERE s.workspace_id = $1 AND s.segment_id = m.segment_id
),
told_at_once AS (
    INSERT INTO change (lane, at, position, segment_id, contact_id, workspace_id, entered, cause, event_id)
    SELECT $4::smallint, d.at, d.position, m.segment_id, m.contact_id, $1, m.entered, d.cause, d.event_id
    FROM moved AS m
    JOIN defined AS d ON d.segment_id = m.segment_id
    WHERE NOT $6::boolean
)
INSERT INTO first_change (
    lane, defined_at, defined_position, contact_id, segment_id, at, position, workspace_id, entered, cause, event_id
)
SELECT
    $4::smallint, d.at, d.position, m.contact_id, m.segment_id, d.at, d.position, $1, m.entered, d.cause, d.event_id
FROM moved AS m
JOIN defined AS d ON d.segment_id = m.segment_id
WHERE $6::boolean

-- matching --
-- One part of `recount`.
SELECT {segment} AS segment_id, c.contact_id
FROM stretch AS c
WHERE {condition}

-- unsettled --
-- The contacts of a stretch of ids ($3, $4] shown at a position ($2) of which any of some compiled conditions on c holds,
-- and which of them do, in any order.
SELECT s.contact_id, s.state, s.asked
FROM (
    SELECT c.contact_id, c.state, ARRAY[{conditions}] AS asked
    FROM rm_history.own_contact_history AS c
    WHERE c.workspace_id = $1 AND c.from_position <= $2 AND c.to_position > $2 AND c.deleted_at IS NULL
        AND c.contact_id > $3 AND c.contact_id <= $4
) AS s
WHERE true = ANY (s.asked)
