-- Which deleted contacts are there longer than their workspace keeps them, as rollbook_projector, who sees all of them.

-- take_turn --
-- Whether this session is the one that erases what is due: until it gives the turn back, or asks nothing for $1, as that
-- of a frozen process does.
SELECT CASE WHEN pg_try_advisory_lock(1382836336, 0) THEN set_config('idle_session_timeout', $1, false) IS NOT NULL ELSE false END

-- give_turn_back --
SELECT pg_advisory_unlock(1382836336, 0), set_config('idle_session_timeout', '0', false)

-- workspaces --
-- Those with anybody deleted at all.
SELECT n.workspace_id
FROM rm_contact.contact_count AS n
WHERE n.deleted AND n.contacts > 0
GROUP BY n.workspace_id
ORDER BY n.workspace_id

-- due --
-- One page of a workspace, deleted up to $2 and behind the contact of the page before, longest ago first.
SELECT c.contact_id, c.deleted_at
FROM rm_contact.contact AS c
WHERE c.workspace_id = $1 AND c.deleted_at IS NOT NULL AND c.deleted_at <= $2 AND (c.deleted_at, c.contact_id) > ($3, $4::uuid)
ORDER BY c.deleted_at, c.contact_id
LIMIT $5

-- count_due --
SELECT count(*) AS contacts, min(c.deleted_at) AS oldest
FROM rm_contact.contact AS c
WHERE c.workspace_id = $1 AND c.deleted_at IS NOT NULL AND c.deleted_at <= $2
