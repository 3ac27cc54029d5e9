-- Reads of the contact read model, as rollbook_reader in a transaction of `contacts.reading`. Every one names the
-- workspace, although row-level security (the tables) and the view `own_contact` would hide the others anyway.

-- get --
SELECT c.state
FROM rm_contact.contact AS c
WHERE c.workspace_id = $1 AND c.contact_id = $2

-- get_many --
SELECT c.contact_id, c.state
FROM rm_contact.contact AS c
WHERE c.workspace_id = $1 AND c.contact_id = ANY ($2::uuid[])

-- get_absorbed --
-- Who stands for contacts that have no row of their own any more.
SELECT m.contact_id, c.state
FROM rm_contact.contact_member AS m
JOIN rm_contact.contact AS c ON c.workspace_id = m.workspace_id AND c.contact_id = m.root_id
WHERE m.workspace_id = $1 AND m.contact_id = ANY ($2::uuid[])

-- over_limit --
SELECT o.contact_id
FROM rm_contact.contact_over AS o
WHERE o.workspace_id = $1 AND o.contact_id = ANY ($2::uuid[])

-- counts --
SELECT n.email_status, n.phone_status, n.contacts
FROM rm_contact.contact_count AS n
WHERE n.workspace_id = $1 AND n.deleted = $2

-- find_by_email --
-- Oldest first, as in the statements below. Many contacts can have the same e-mail or phone. A profile is found by what
-- its contacts say themselves, too, shown or not.
SELECT c.contact_id, c.created_at
FROM rm_contact.contact AS c
WHERE c.workspace_id = $1 AND c.email = $2 AND c.deleted_at IS NULL
UNION
SELECT c.contact_id, c.created_at
FROM rm_contact.contact_member AS m
JOIN rm_contact.contact AS c ON c.workspace_id = m.workspace_id AND c.contact_id = m.root_id
WHERE m.workspace_id = $1 AND m.email = $2 AND c.deleted_at IS NULL
ORDER BY created_at, contact_id
LIMIT $3

-- find_by_phone --
SELECT c.contact_id, c.created_at
FROM rm_contact.contact AS c
WHERE c.workspace_id = $1 AND c.phone = $2 AND c.deleted_at IS NULL
UNION
SELECT c.contact_id, c.created_at
FROM rm_contact.contact_member AS m
JOIN rm_contact.contact AS c ON c.workspace_id = m.workspace_id AND c.contact_id = m.root_id
WHERE m.workspace_id = $1 AND m.phone = $2 AND c.deleted_at IS NULL
ORDER BY created_at, contact_id
LIMIT $3

-- find_by_external_id --
SELECT c.contact_id, c.created_at
FROM rm_contact.contact AS c
WHERE c.workspace_id = $1 AND c.external_id = $2 AND c.deleted_at IS NULL
UNION
SELECT c.contact_id, c.created_at
FROM rm_contact.contact_member AS m
JOIN rm_contact.contact AS c ON c.workspace_id = m.workspace_id AND c.contact_id = m.root_id
WHERE m.workspace_id = $1 AND m.external_id = $2 AND c.deleted_at IS NULL
ORDER BY created_at, contact_id
LIMIT $3

-- find_by_messaging_id --
SELECT c.contact_id, c.created_at
FROM rm_contact.contact AS c
WHERE c.workspace_id = $1 AND c.messaging_id = $2 AND c.deleted_at IS NULL
UNION
SELECT c.contact_id, c.created_at
FROM rm_contact.contact_member AS m
JOIN rm_contact.contact AS c ON c.workspace_id = m.workspace_id AND c.contact_id = m.root_id
WHERE m.workspace_id = $1 AND m.messaging_id = $2 AND c.deleted_at IS NULL
ORDER BY created_at, contact_id
LIMIT $3

-- walk --
-- Goes through the contacts in order from a place on, and answers the first $3 that match; gives up after $2, whose last
-- one is answered, match or not, to say so. `listing` fills in what is in braces. The row number is how many were gone
-- through, which tells how common matches are, and it keeps the planner to following the index of the order. LIMIT 1
-- keeps it from reading everybody before the first is looked at.
SELECT o.contact_id, o.sort_key, o.passed, c.state
FROM (
    SELECT s.contact_id, {key} AS sort_key,
        row_number() OVER (ORDER BY {key} {direction}, s.contact_id {direction}) AS passed
    FROM {table} AS s
    WHERE s.workspace_id = $1 AND {place}
    ORDER BY {key} {direction}, s.contact_id {direction}
    LIMIT $2
) AS o
CROSS JOIN LATERAL (
    SELECT c.* FROM rm_contact.own_contact AS c WHERE c.workspace_id = $1 AND c.contact_id = o.contact_id LIMIT 1
) AS c
WHERE o.passed = $2 OR ({filter})
ORDER BY o.sort_key {direction}, o.contact_id {direction}
LIMIT $3

-- gather --
-- Gathers the matches, at most $2 of them in any order, and answers how many there are with the first $3 from a place
-- on; a row without contact says that there is none. `listing` fills in what is in braces.
WITH gathered AS MATERIALIZED (
    SELECT c.contact_id, {key} AS sort_key
    FROM rm_contact.own_contact AS c
    WHERE c.workspace_id = $1 AND {filter}
    LIMIT $2
)
SELECT counted.matches, s.contact_id, s.sort_key, c.state
FROM (SELECT count(*) AS matches FROM gathered) AS counted
LEFT JOIN (
    SELECT s.contact_id, s.sort_key,
        row_number() OVER (ORDER BY s.sort_key IS NULL, s.sort_key {direction}, s.contact_id {direction}) AS passed
    FROM gathered AS s
    WHERE {place}
    ORDER BY s.sort_key IS NULL, s.sort_key {direction}, s.contact_id {direction}
    LIMIT $3
) AS s ON TRUE
LEFT JOIN rm_contact.contact AS c ON c.workspace_id = $1 AND c.contact_id = s.contact_id
ORDER BY s.passed

-- top --
-- The first $2 matches from a place on, in an order that no index has, where nobody wants to know how many there are:
-- several workers may look through everybody, and none of them keeps more than a page. `listing` fills in what is in
-- braces.
SELECT s.contact_id, s.sort_key, c.state
FROM (
    SELECT s.contact_id, s.sort_key
    FROM (
        SELECT c.contact_id, {key} AS sort_key
        FROM rm_contact.own_contact AS c
        WHERE c.workspace_id = $1 AND {filter}
    ) AS s
    WHERE {place}
    ORDER BY s.sort_key IS NULL, s.sort_key {direction}, s.contact_id {direction}
    LIMIT $2
) AS s
JOIN rm_contact.contact AS c ON c.workspace_id = $1 AND c.contact_id = s.contact_id
ORDER BY s.sort_key IS NULL, s.sort_key {direction}, s.contact_id {direction}

-- matching --
-- Those of some contacts that match. `listing` fills in what is in braces.
SELECT c.contact_id
FROM rm_contact.own_contact AS c
WHERE c.workspace_id = $1 AND c.contact_id = ANY ($2::uuid[]) AND {filter}

-- count --
-- How many match: exact. `listing` fills in what is in braces.
SELECT count(*)
FROM rm_contact.own_contact AS c
WHERE c.workspace_id = $1 AND {filter}

-- sample --
-- The same among some of the table's pages.
SELECT count(*)
FROM rm_contact.contact AS c TABLESAMPLE SYSTEM ({per_cent})
WHERE c.workspace_id = $1 AND {filter}
