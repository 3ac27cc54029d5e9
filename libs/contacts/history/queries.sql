-- Reads of the history read model, as rollbook_reader in a transaction of `contacts.reading`. What was shown at a position
-- p are the versions with from_position <= p < to_position. Every statement names the workspace, although row-level
-- security (the tables) and the view `own_contact_history` would hide the others anyway.

-- walk --
-- Goes through what was shown at a position ($4), in order from a place on, and answers the first $3 that match; gives up
-- after $2. `listing` fills in what is in braces; see `walk` of the contact read model.
SELECT o.contact_id, o.sort_key, o.passed, c.state
FROM (
    SELECT s.contact_id, s.to_position, {key} AS sort_key,
        row_number() OVER (ORDER BY {key} {direction}, s.contact_id {direction}) AS passed
    FROM rm_history.contact_history AS s
    WHERE s.workspace_id = $1 AND s.from_position <= $4 AND s.to_position > $4 AND {place}
    ORDER BY {key} {direction}, s.contact_id {direction}
    LIMIT $2
) AS o
CROSS JOIN LATERAL (
    SELECT c.*
    FROM rm_history.own_contact_history AS c
    WHERE c.workspace_id = $1 AND c.contact_id = o.contact_id AND c.to_position = o.to_position
    LIMIT 1
) AS c
WHERE o.passed = $2 OR ({filter})
ORDER BY o.sort_key {direction}, o.contact_id {direction}
LIMIT $3

-- gather --
-- Gathers what was shown at a position ($4) and matches, at most $2 of them in any order, and answers how many there are
-- with the first $3 from a place on. `listing` fills in what is in braces.
WITH gathered AS MATERIALIZED (
    SELECT c.contact_id, c.to_position, {key} AS sort_key
    FROM rm_history.own_contact_history AS c
    WHERE c.workspace_id = $1 AND c.from_position <= $4 AND c.to_position > $4 AND {filter}
    LIMIT $2
)
SELECT counted.matches, s.contact_id, s.sort_key, c.state
FROM (SELECT count(*) AS matches FROM gathered) AS counted
LEFT JOIN (
    SELECT s.contact_id, s.to_position, s.sort_key,
        row_number() OVER (ORDER BY s.sort_key IS NULL, s.sort_key {direction}, s.contact_id {direction}) AS passed
    FROM gathered AS s
    WHERE {place}
    ORDER BY s.sort_key IS NULL, s.sort_key {direction}, s.contact_id {direction}
    LIMIT $3
) AS s ON TRUE
LEFT JOIN rm_history.own_contact_history AS c
    ON c.workspace_id = $1 AND c.contact_id = s.contact_id AND c.to_position = s.to_position
ORDER BY s.passed

-- top --
-- The first $2 of what was shown at a position ($3) and matches, from a place on, in an order that no index has; see
-- `top` of the contact read model.
SELECT s.contact_id, s.sort_key, c.state
FROM (
    SELECT s.contact_id, s.to_position, s.sort_key
    FROM (
        SELECT c.contact_id, c.to_position, {key} AS sort_key
        FROM rm_history.own_contact_history AS c
        WHERE c.workspace_id = $1 AND c.from_position <= $3 AND c.to_position > $3 AND {filter}
    ) AS s
    WHERE {place}
    ORDER BY s.sort_key IS NULL, s.sort_key {direction}, s.contact_id {direction}
    LIMIT $2
) AS s
JOIN rm_history.own_contact_history AS c
    ON c.workspace_id = $1 AND c.contact_id = s.contact_id AND c.to_position = s.to_position
ORDER BY s.sort_key IS NULL, s.sort_key {direction}, s.contact_id {direction}

-- count --
-- How many were shown at a position ($2) and match: exact. `listing` fills in what is in braces.
SELECT count(*)
FROM rm_history.own_contact_history AS c
WHERE c.workspace_id = $1 AND c.from_position <= $2 AND c.to_position > $2 AND {filter}

-- sample --
-- The same among some pages of the tables.
SELECT count(*)
FROM rm_history.contact_history AS c TABLESAMPLE SYSTEM ({per_cent})
WHERE c.workspace_id = $1 AND c.from_position <= $2 AND c.to_position > $2 AND {filter}

-- counts --
SELECT coalesce(c.email_status, ''), coalesce(c.phone_status, ''), count(*) AS contacts
FROM rm_history.contact_history AS c
WHERE c.workspace_id = $1 AND c.from_position <= $2 AND c.to_position > $2 AND (c.deleted_at IS NOT NULL) = $3
GROUP BY 1, 2

-- get_many --
-- The versions of contacts that were shown at a position ($3); an absorbed one had none.
SELECT w.contact_id, h.state
FROM unnest($2::uuid[]) AS w (contact_id)
CROSS JOIN LATERAL (
    SELECT h.state, h.from_position
    FROM rm_history.contact_history AS h
    WHERE h.workspace_id = $1 AND h.contact_id = w.contact_id AND h.to_position > $3
    ORDER BY h.to_position
    LIMIT 1
) AS h
WHERE h.from_position <= $3
