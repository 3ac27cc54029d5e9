-- Reads of the duplicate read model, as rollbook_reader in a transaction of `contacts.reading`.

-- groups_by_email --
-- By the alphabet, behind an address; with the contacts created first of each.
SELECT g.address, g.contacts, ARRAY(
    SELECT c.contact_id
    FROM rm_duplicate.candidate AS c
    WHERE c.workspace_id = $1 AND c.email = g.address
    ORDER BY c.created_at, c.contact_id
    LIMIT $4
) AS contact_ids
FROM rm_duplicate.address_group AS g
WHERE g.workspace_id = $1 AND g.address_kind = 'email' AND NOT g.dismissed AND ($2::text IS NULL OR g.address > $2)
ORDER BY g.address
LIMIT $3

-- groups_by_phone --
SELECT g.address, g.contacts, ARRAY(
    SELECT c.contact_id
    FROM rm_duplicate.candidate AS c
    WHERE c.workspace_id = $1 AND c.phone = g.address
    ORDER BY c.created_at, c.contact_id
    LIMIT $4
) AS contact_ids
FROM rm_duplicate.address_group AS g
WHERE g.workspace_id = $1 AND g.address_kind = 'phone' AND NOT g.dismissed AND ($2::text IS NULL OR g.address > $2)
ORDER BY g.address
LIMIT $3

-- pairs --
-- The likeliest first, behind a place in that order.
SELECT p.first_id, p.second_id, p.score, p.evidence
FROM rm_duplicate.likely_pair AS p
WHERE p.workspace_id = $1 AND NOT p.dismissed AND p.score >= $6
    AND ($2::double precision IS NULL OR (p.score, p.first_id, p.second_id) < ($2, $3::uuid, $4::uuid))
ORDER BY p.score DESC, p.first_id DESC, p.second_id DESC
LIMIT $5

-- total --
SELECT coalesce(sum(c.groups), 0)::bigint
FROM rm_duplicate.duplicate_count AS c
WHERE c.workspace_id = $1 AND c.found_by = $2

-- likely_total --
-- Those shown, of at most $3.
SELECT count(*)
FROM (
    SELECT
    FROM rm_duplicate.likely_pair AS p
    WHERE p.workspace_id = $1 AND NOT p.dismissed AND p.score >= $2
    LIMIT $3
) AS shown

-- full_blocks --
SELECT count(*)
FROM rm_duplicate.full_block AS b
WHERE b.workspace_id = $1

-- group --
SELECT g.contacts, g.dismissed
FROM rm_duplicate.address_group AS g
WHERE g.workspace_id = $1 AND g.address_kind = $2 AND g.address = $3

-- pair --
SELECT p.score, p.evidence, p.dismissed
FROM rm_duplicate.likely_pair AS p
WHERE p.workspace_id = $1 AND p.first_id = $2 AND p.second_id = $3

-- members_by_email --
-- In the order in which they were created, behind a place in it.
SELECT c.contact_id, c.created_at
FROM rm_duplicate.candidate AS c
WHERE c.workspace_id = $1 AND c.email = $2
    AND ($3::timestamptz IS NULL OR (c.created_at, c.contact_id) > ($3, $4::uuid))
ORDER BY c.created_at, c.contact_id
LIMIT $5

-- members_by_phone --
SELECT c.contact_id, c.created_at
FROM rm_duplicate.candidate AS c
WHERE c.workspace_id = $1 AND c.phone = $2
    AND ($3::timestamptz IS NULL OR (c.created_at, c.contact_id) > ($3, $4::uuid))
ORDER BY c.created_at, c.contact_id
LIMIT $5

-- from_earliest_by_email --
-- Of several groups at once.
SELECT k.address, ARRAY(
    SELECT c.contact_id
    FROM rm_duplicate.candidate AS c
    WHERE c.workspace_id = $1 AND c.email = k.address
    ORDER BY c.created_at, c.contact_id
    LIMIT $3
) AS contact_ids
FROM unnest($2::text[]) WITH ORDINALITY AS k (address, place)
ORDER BY k.place

-- from_earliest_by_phone --
SELECT k.address, ARRAY(
    SELECT c.contact_id
    FROM rm_duplicate.candidate AS c
    WHERE c.workspace_id = $1 AND c.phone = k.address
    ORDER BY c.created_at, c.contact_id
    LIMIT $3
) AS contact_ids
FROM unnest($2::text[]) WITH ORDINALITY AS k (address, place)
ORDER BY k.place

-- from_latest_by_email --
SELECT k.address, ARRAY(
    SELECT c.contact_id
    FROM rm_duplicate.candidate AS c
    WHERE c.workspace_id = $1 AND c.email = k.address
    ORDER BY c.created_at DESC, c.contact_id DESC
    LIMIT $3
) AS contact_ids
FROM unnest($2::text[]) WITH ORDINALITY AS k (address, place)
ORDER BY k.place

-- from_latest_by_phone --
SELECT k.address, ARRAY(
    SELECT c.contact_id
    FROM rm_duplicate.candidate AS c
    WHERE c.workspace_id = $1 AND c.phone = k.address
    ORDER BY c.created_at DESC, c.contact_id DESC
    LIMIT $3
) AS contact_ids
FROM unnest($2::text[]) WITH ORDINALITY AS k (address, place)
ORDER BY k.place

-- removable --
-- How many groups there are, of those named or of all, and how many contacts they have beyond one each.
SELECT count(*) AS groups, coalesce(sum(g.contacts - 1), 0)::bigint AS contacts
FROM rm_duplicate.address_group AS g
WHERE g.workspace_id = $1 AND g.address_kind = $2 AND NOT g.dismissed
    AND ($3::text[] IS NULL OR g.address = ANY ($3))

-- addresses --
-- Those of groups, of those named or of all, behind one.
SELECT g.address
FROM rm_duplicate.address_group AS g
WHERE g.workspace_id = $1 AND g.address_kind = $2 AND NOT g.dismissed
    AND ($3::text[] IS NULL OR g.address = ANY ($3)) AND ($4::text IS NULL OR g.address > $4)
ORDER BY g.address
LIMIT $5
