-- Reads of the suppression read model, as rollbook_reader in a transaction of `contacts.reading`.

-- get --
SELECT s.state, s.address, s.reason
FROM rm_suppression.suppression AS s
WHERE s.workspace_id = $1 AND s.suppression_id = $2 AND s.listed

-- page --
-- Newest first, of one channel or of all, behind a place in that order.
SELECT s.suppression_id, s.since, s.state, s.address, s.reason
FROM rm_suppression.suppression AS s
WHERE s.workspace_id = $1 AND s.listed AND ($2::text IS NULL OR s.channel = $2)
    AND ($3::timestamptz IS NULL OR (s.since, s.suppression_id) < ($3, $4::uuid))
ORDER BY s.since DESC, s.suppression_id DESC
LIMIT $5

-- count --
SELECT coalesce(sum(c.entries), 0)::bigint
FROM rm_suppression.suppression_count AS c
WHERE c.workspace_id = $1 AND ($2::text IS NULL OR c.channel = $2)
