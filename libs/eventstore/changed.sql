-- What came into the log, for whoever keeps a copy of what was made of it.

-- changed --
-- Which streams of some categories have events after one position and up to another, by category and type.
SELECT DISTINCT e.category, e.stream_id, e.type
FROM log.events AS e
WHERE e.lane = $1 AND e.position > $2 AND e.position <= $3 AND e.workspace_id = $4 AND e.category = ANY ($5::text[])
