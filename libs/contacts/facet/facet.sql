-- What the facet index reads, as rollbook_reader in a transaction of `contacts.reading`: one snapshot with the positions
-- it shows. Every statement names the workspace, although row-level security and the views would hide the others anyway.

-- standing --
-- How far the live builds of some read models are in a lane.
SELECT c.name, c.build, min(c.position) AS position
FROM projector.checkpoints AS c
JOIN projector.projections AS p ON p.name = c.name AND p.build = c.build AND p.state = 'live'
WHERE c.lane = $1 AND c.name = ANY ($2::text[])
GROUP BY c.name, c.build
ORDER BY c.name

-- cut --
SELECT c.before
FROM rm_activity.activity_cut AS c
WHERE c.workspace_id = $1

-- changed --
-- Profiles that are shown otherwise than at a position, or no more. `contact_history_began` and `contact_history_ended`
-- find them.
SELECT h.contact_id
FROM rm_history.contact_history AS h
WHERE h.workspace_id = $1 AND h.from_position > $2
UNION
SELECT h.contact_id
FROM rm_history.contact_history AS h
WHERE h.workspace_id = $1 AND h.to_position > $2 AND h.to_position < 9223372036854775807

-- contacts --
-- Profiles as they are shown, all of them or some; every column takes eight bytes and is never NULL. `fetching` fills in
-- what is in braces.
SELECT c.contact_id{columns}
FROM rm_history.own_contact_history AS c{engagement}
WHERE c.workspace_id = $1 AND c.to_position = 9223372036854775807{only}

-- values --
-- What stands behind the hashes of columns.
SELECT {columns}
FROM rm_history.own_contact_history AS c{engagement}
WHERE c.workspace_id = $1 AND c.to_position = 9223372036854775807 AND c.contact_id = ANY ($2::uuid[])

-- absorbed --
-- Who stands for whom, of all or of some.
SELECT c.contact_id, c.absorbed
FROM rm_history.own_contact_history AS c
WHERE c.workspace_id = $1 AND c.to_position = 9223372036854775807 AND c.absorbed IS NOT NULL
    AND ($2::uuid[] IS NULL OR c.contact_id = ANY ($2))

-- events --
-- What happened to whom and when, of all or of some. `fetching` fills in what is in braces.
SELECT a.contact_id, a.occurred_at
FROM rm_activity.activity AS a
WHERE a.workspace_id = $1 AND {wanted}{only}
