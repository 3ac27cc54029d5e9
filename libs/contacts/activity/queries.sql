-- Reads of the activity and identity read models, and of the addresses in the contact read model, as rollbook_reader in
-- a transaction of `contacts.reading`. Every one names the workspace, although row-level security would hide the others.

-- months --
-- How much there is in which month, newest first: of these contacts and categories.
SELECT m.month, sum(m.activities)::bigint AS activities
FROM rm_activity.activity_month AS m
WHERE m.workspace_id = $1 AND m.contact_id = ANY ($2::uuid[]) AND m.category = ANY ($3::text[])
GROUP BY m.month
ORDER BY m.month DESC

-- page --
-- The newest $8 of these contacts and categories, from $4 on and before a place ($5, $6, $7). Each contact and category
-- is walked by the primary key for as many as are wanted. The bounds of time let the planner leave out partitions.
SELECT
    a.contact_id, a.occurred_at, a.recorded_at, a.position, a.category, a.activity_id, a.source, a.kind,
    a.addressed_as, a.data
FROM unnest($2::uuid[]) AS c (contact_id)
CROSS JOIN unnest($3::text[]) AS k (category)
CROSS JOIN LATERAL (
    SELECT
        a.contact_id, a.occurred_at, a.recorded_at, a.position, a.category, a.activity_id, a.source, a.kind,
        a.addressed_as, a.data
    FROM rm_activity.activity AS a
    WHERE a.workspace_id = $1 AND a.contact_id = c.contact_id AND a.category = k.category
        AND a.occurred_at >= $4 AND a.occurred_at <= $5 AND (a.occurred_at, a.activity_id, a.source) < ($5, $6, $7)
    ORDER BY a.occurred_at DESC, a.activity_id DESC, a.source DESC
    LIMIT $8
) AS a
ORDER BY a.occurred_at DESC, a.activity_id DESC, a.source DESC
LIMIT $8

-- count --
-- How many there are from $4 on and before $5.
SELECT count(*)
FROM rm_activity.activity AS a
WHERE a.workspace_id = $1 AND a.contact_id = ANY ($2::uuid[]) AND a.category = ANY ($3::text[])
    AND a.occurred_at >= $4 AND a.occurred_at < $5

-- match_email --
-- The oldest present contact with each address, as in the statements below: many can have the same. Of merged contacts
-- the one that says so itself, rather than the one that shows it.
SELECT w.n, c.contact_id
FROM unnest($2::text[]) WITH ORDINALITY AS w (email, n)
CROSS JOIN LATERAL (
    SELECT m.contact_id, r.created_at, 1 AS rank
    FROM rm_contact.contact_member AS m
    JOIN rm_contact.contact AS r ON r.workspace_id = m.workspace_id AND r.contact_id = m.root_id
    WHERE m.workspace_id = $1 AND m.email = w.email AND r.deleted_at IS NULL
    UNION ALL
    SELECT c.contact_id, c.created_at, 2 AS rank
    FROM rm_contact.contact AS c
    WHERE c.workspace_id = $1 AND c.email = w.email AND c.deleted_at IS NULL
    ORDER BY created_at, rank, contact_id
    LIMIT 1
) AS c

-- match_phone --
SELECT w.n, c.contact_id
FROM unnest($2::text[]) WITH ORDINALITY AS w (phone, n)
CROSS JOIN LATERAL (
    SELECT m.contact_id, r.created_at, 1 AS rank
    FROM rm_contact.contact_member AS m
    JOIN rm_contact.contact AS r ON r.workspace_id = m.workspace_id AND r.contact_id = m.root_id
    WHERE m.workspace_id = $1 AND m.phone = w.phone AND r.deleted_at IS NULL
    UNION ALL
    SELECT c.contact_id, c.created_at, 2 AS rank
    FROM rm_contact.contact AS c
    WHERE c.workspace_id = $1 AND c.phone = w.phone AND c.deleted_at IS NULL
    ORDER BY created_at, rank, contact_id
    LIMIT 1
) AS c

-- match_channel --
-- Without application ($3 has NULL) whichever has the token.
SELECT w.n, c.contact_id
FROM unnest($2::bytea[], $3::text[]) WITH ORDINALITY AS w (digest, application, n)
CROSS JOIN LATERAL (
    SELECT i.contact_id
    FROM rm_identity.identity AS i
    LEFT JOIN rm_contact.contact_member AS m ON m.workspace_id = $1 AND m.contact_id = i.contact_id
    JOIN rm_contact.contact AS c ON c.workspace_id = $1 AND c.contact_id = coalesce(m.root_id, i.contact_id)
    WHERE i.workspace_id = $1 AND i.digest = w.digest AND (w.application IS NULL OR i.application = w.application)
        AND c.deleted_at IS NULL
    ORDER BY c.created_at, i.contact_id
    LIMIT 1
) AS c
