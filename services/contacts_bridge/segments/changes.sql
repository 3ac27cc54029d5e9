-- What the segment read model says of who entered and left, by a session that may look into all workspaces.

-- next --
-- The changes of a lane behind a place, in the order in which they are committed.
SELECT c.at, c.position, c.segment_id, c.contact_id, c.workspace_id, c.entered, c.cause, c.event_id
FROM rm_segment.change AS c
WHERE c.lane = $1 AND (c.at, c.position, c.segment_id, c.contact_id) > ($2, $3, $4, $5)
ORDER BY c.at, c.position, c.segment_id, c.contact_id
LIMIT $6
