-- What the segment read model says of who entered and left, by a session that may look into all workspaces.
--
-- Changes are told in their order, and the first ones of a new definition in large workspaces in an order of their own,
-- whenever nothing else is to be told. Where a contact moves again before its first change was told, that one goes ahead
-- of what came later: so the first change behind it carries it, and the order of each contact in each segment is kept.

-- next --
-- The changes of a lane behind a place, in the order in which they are committed.
SELECT c.at, c.position, c.segment_id, c.contact_id, c.workspace_id, c.entered, c.cause, c.event_id
FROM rm_segment.change AS c
WHERE c.lane = $1 AND (c.at, c.position, c.segment_id, c.contact_id) > ($2, $3, $4, $5)
ORDER BY c.at, c.position, c.segment_id, c.contact_id
LIMIT $6

-- carried --
-- First changes behind a place ($6 to $10) that some changes carry, with the numbers of these, which begin at 1.
SELECT
    a.number, f.defined_at, f.defined_position, f.contact_id, f.segment_id, f.at, f.position, f.workspace_id, f.entered,
    f.cause, f.event_id
FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::bigint[])
    WITH ORDINALITY AS a (segment_id, contact_id, at, position, number)
JOIN rm_segment.filling AS d
    ON d.lane = $1 AND (d.at, d.position) >= ($6, $7) AND a.segment_id = ANY (d.segment_ids)
JOIN rm_segment.first_change AS f
    ON f.lane = $1 AND f.defined_at = d.at AND f.defined_position = d.position AND f.contact_id = a.contact_id
    AND f.segment_id = a.segment_id
WHERE (f.defined_at, f.defined_position, f.contact_id, f.segment_id, f.at) > ($6, $7, $8, $9, $10)
    AND (f.at, f.position) < (a.at, a.position)
    AND NOT EXISTS (
        SELECT
        FROM rm_segment.change AS c
        WHERE c.segment_id = f.segment_id AND c.contact_id = f.contact_id AND (c.at, c.position) > (f.at, f.position)
            AND (c.at, c.position) < (a.at, a.position)
    )
ORDER BY a.number, f.defined_at, f.defined_position, f.at

-- frontier --
-- How far the oldest filling of a lane is.
SELECT d.at, d.position, d.mark
FROM rm_segment.filling AS d
WHERE d.lane = $1 AND NOT d.is_done
ORDER BY d.position
LIMIT 1

-- next_first --
-- The first changes of a lane behind a place ($2 to $6) and up to another one ($7 to $9), in their order, and whether
-- they were carried by a change up to the last one told ($10 to $13).
SELECT
    f.defined_at, f.defined_position, f.contact_id, f.segment_id, f.at, f.position, f.workspace_id, f.entered, f.cause,
    f.event_id,
    EXISTS (
        SELECT
        FROM rm_segment.change AS c
        WHERE c.segment_id = f.segment_id AND c.contact_id = f.contact_id AND (c.at, c.position) > (f.at, f.position)
            AND (c.at, c.position, c.segment_id, c.contact_id) <= ($10, $11, $12, $13)
    ) AS is_carried
FROM rm_segment.first_change AS f
WHERE f.lane = $1 AND (f.defined_at, f.defined_position, f.contact_id, f.segment_id, f.at) > ($2, $3, $4, $5, $6)
    AND (f.defined_at, f.defined_position, f.contact_id) <= ($7, $8, $9)
ORDER BY f.defined_at, f.defined_position, f.contact_id, f.segment_id, f.at
LIMIT $14
