-- Reads of the engagement read model, as rollbook_reader in a transaction of `contacts.reading`. Every one names the
-- workspace, although row-level security would hide the others.

-- present --
SELECT e.contact_id, e.shown
FROM rm_engagement.engagement AS e
WHERE e.workspace_id = $1 AND e.contact_id = ANY ($2::uuid[])

-- past --
-- As it was right after the event at a position, as far as the read model has come.
SELECT h.contact_id, h.shown
FROM rm_engagement.engagement_history AS h
WHERE h.workspace_id = $1 AND h.contact_id = ANY ($2::uuid[]) AND h.from_position <= $3 AND h.to_position > $3

-- parts --
-- What the own activity of everybody in these profiles adds up to.
SELECT e.contact_id, e.own
FROM rm_engagement.engagement AS e
WHERE e.workspace_id = $1 AND e.contact_id = ANY ($2::uuid[])
UNION
SELECT m.contact_id, m.own
FROM rm_engagement.engagement_member AS m
WHERE m.workspace_id = $1 AND m.root_id = ANY ($2::uuid[])
