-- Writes of the duplicate read model. Names are unqualified: the projector sets search_path to the build. Most take one
-- workspace, whose lock the transaction holds.

-- begin --
-- Takes the workspaces for this transaction: groups and pairs are of contacts of several slices. Builds do not wait for
-- one another. Plans are kept and may be made while tables are small, so they are held to what is right for large ones.
SELECT
    pg_advisory_xact_lock(1382836345, hashtext(current_schema()::text || w.workspace_id::text)),
    set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
FROM (SELECT DISTINCT workspace_id FROM unnest($1::uuid[]) AS u (workspace_id) ORDER BY workspace_id) AS w

-- load --
-- The rows of the contacts a batch touches.
SELECT c.contact_id, c.state
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (workspace_id, contact_id)
JOIN candidate AS c ON c.workspace_id = wanted.workspace_id AND c.contact_id = wanted.contact_id

-- upsert --
INSERT INTO candidate AS c (
    workspace_id, contact_id, created_at, email, phone, by_name, by_name_place, by_birth, by_house, by_street,
    by_email_sound, by_email_letters, by_email_ends, by_phone_end, by_phone_digits, traits, state
)
SELECT
    r.workspace_id, r.contact_id, r.created_at, r.email, r.phone, r.by_name, r.by_name_place, r.by_birth,
    r.by_house, r.by_street, r.by_email_sound, r.by_email_letters, r.by_email_ends, r.by_phone_end,
    r.by_phone_digits, r.traits, r.state
FROM unnest(
    $1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
    $16::bytea[], $17::bytea[]
) AS r (
    workspace_id, contact_id, created_at, email, phone, by_name, by_name_place, by_birth, by_house, by_street,
    by_email_sound, by_email_letters, by_email_ends, by_phone_end, by_phone_digits, traits, state
)
ON CONFLICT (workspace_id, contact_id) DO UPDATE SET
    created_at = excluded.created_at,
    email = excluded.email,
    phone = excluded.phone,
    by_name = excluded.by_name,
    by_name_place = excluded.by_name_place,
    by_birth = excluded.by_birth,
    by_house = excluded.by_house,
    by_street = excluded.by_street,
    by_email_sound = excluded.by_email_sound,
    by_email_letters = excluded.by_email_letters,
    by_email_ends = excluded.by_email_ends,
    by_phone_end = excluded.by_phone_end,
    by_phone_digits = excluded.by_phone_digits,
    traits = excluded.traits,
    state = excluded.state

-- remove --
DELETE FROM candidate AS c
USING unnest($1::uuid[], $2::uuid[]) AS gone (workspace_id, contact_id)
WHERE c.workspace_id = gone.workspace_id AND c.contact_id = gone.contact_id

-- groups_by_email --
-- Addresses with their groups; where there is none, with how many have one.
SELECT k.address, g.contacts, g.dismissed, n.found
FROM unnest($2::text[]) AS k (address)
LEFT JOIN address_group AS g ON g.workspace_id = $1 AND g.address_kind = 'email' AND g.address = k.address
CROSS JOIN LATERAL (
    SELECT count(*) AS found
    FROM candidate AS c
    WHERE g.contacts IS NULL AND c.workspace_id = $1 AND c.email = k.address
) AS n

-- groups_by_phone --
-- Addresses with their groups; where there is none, with how many have one.
SELECT k.address, g.contacts, g.dismissed, n.found
FROM unnest($2::text[]) AS k (address)
LEFT JOIN address_group AS g ON g.workspace_id = $1 AND g.address_kind = 'phone' AND g.address = k.address
CROSS JOIN LATERAL (
    SELECT count(*) AS found
    FROM candidate AS c
    WHERE g.contacts IS NULL AND c.workspace_id = $1 AND c.phone = k.address
) AS n

-- keep_groups --
-- Answers those that are new.
INSERT INTO address_group AS g (workspace_id, address_kind, address, contacts, dismissal_id, dismissed)
SELECT $1, $2, r.address, r.contacts, r.dismissal_id,
    EXISTS (SELECT FROM dismissal AS d WHERE d.workspace_id = $1 AND d.dismissal_id = r.dismissal_id)
FROM unnest($3::text[], $4::bigint[], $5::uuid[]) AS r (address, contacts, dismissal_id)
ON CONFLICT (workspace_id, address_kind, address) DO UPDATE SET contacts = excluded.contacts
RETURNING g.address, g.dismissed

-- drop_groups --
DELETE FROM address_group AS g
WHERE g.workspace_id = $1 AND g.address_kind = $2 AND g.address = ANY ($3::text[])

-- members --
-- Who is in some blocks, of each at most $12; those with one alone are left out.
SELECT 'by_name' AS kind, k.key, m.contact_ids
FROM unnest($2::bigint[]) AS k (key)
CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT c.contact_id FROM candidate AS c WHERE c.workspace_id = $1 AND c.by_name = k.key LIMIT $12
)) AS m (contact_ids)
WHERE cardinality(m.contact_ids) > 1
UNION ALL
SELECT 'by_name_place' AS kind, k.key, m.contact_ids
FROM unnest($3::bigint[]) AS k (key)
CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT c.contact_id FROM candidate AS c WHERE c.workspace_id = $1 AND c.by_name_place = k.key LIMIT $12
)) AS m (contact_ids)
WHERE cardinality(m.contact_ids) > 1
UNION ALL
SELECT 'by_birth' AS kind, k.key, m.contact_ids
FROM unnest($4::bigint[]) AS k (key)
CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT c.contact_id FROM candidate AS c WHERE c.workspace_id = $1 AND c.by_birth = k.key LIMIT $12
)) AS m (contact_ids)
WHERE cardinality(m.contact_ids) > 1
UNION ALL
SELECT 'by_house' AS kind, k.key, m.contact_ids
FROM unnest($5::bigint[]) AS k (key)
CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT c.contact_id FROM candidate AS c WHERE c.workspace_id = $1 AND c.by_house = k.key LIMIT $12
)) AS m (contact_ids)
WHERE cardinality(m.contact_ids) > 1
UNION ALL
SELECT 'by_street' AS kind, k.key, m.contact_ids
FROM unnest($6::bigint[]) AS k (key)
CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT c.contact_id FROM candidate AS c WHERE c.workspace_id = $1 AND c.by_street = k.key LIMIT $12
)) AS m (contact_ids)
WHERE cardinality(m.contact_ids) > 1
UNION ALL
SELECT 'by_email_sound' AS kind, k.key, m.contact_ids
FROM unnest($7::bigint[]) AS k (key)
CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT c.contact_id FROM candidate AS c WHERE c.workspace_id = $1 AND c.by_email_sound = k.key LIMIT $12
)) AS m (contact_ids)
WHERE cardinality(m.contact_ids) > 1
UNION ALL
SELECT 'by_email_letters' AS kind, k.key, m.contact_ids
FROM unnest($8::bigint[]) AS k (key)
CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT c.contact_id FROM candidate AS c WHERE c.workspace_id = $1 AND c.by_email_letters = k.key LIMIT $12
)) AS m (contact_ids)
WHERE cardinality(m.contact_ids) > 1
UNION ALL
SELECT 'by_email_ends' AS kind, k.key, m.contact_ids
FROM unnest($9::bigint[]) AS k (key)
CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT c.contact_id FROM candidate AS c WHERE c.workspace_id = $1 AND c.by_email_ends = k.key LIMIT $12
)) AS m (contact_ids)
WHERE cardinality(m.contact_ids) > 1
UNION ALL
SELECT 'by_phone_end' AS kind, k.key, m.contact_ids
FROM unnest($10::bigint[]) AS k (key)
CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT c.contact_id FROM candidate AS c WHERE c.workspace_id = $1 AND c.by_phone_end = k.key LIMIT $12
)) AS m (contact_ids)
WHERE cardinality(m.contact_ids) > 1
UNION ALL
SELECT 'by_phone_digits' AS kind, k.key, m.contact_ids
FROM unnest($11::bigint[]) AS k (key)
CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT c.contact_id FROM candidate AS c WHERE c.workspace_id = $1 AND c.by_phone_digits = k.key LIMIT $12
)) AS m (contact_ids)
WHERE cardinality(m.contact_ids) > 1

-- known_full --
SELECT b.kind, b.key
FROM unnest($2::text[], $3::bigint[]) AS k (kind, key)
JOIN full_block AS b ON b.workspace_id = $1 AND b.kind = k.kind AND b.key = k.key

-- mark_full --
INSERT INTO full_block (workspace_id, kind, key)
SELECT $1, k.kind, k.key
FROM unnest($2::text[], $3::bigint[]) AS k (kind, key)

-- unmark_full --
DELETE FROM full_block AS b
USING unnest($2::text[], $3::bigint[]) AS k (kind, key)
WHERE b.workspace_id = $1 AND b.kind = k.kind AND b.key = k.key

-- traits --
SELECT c.contact_id, c.traits
FROM candidate AS c
WHERE c.workspace_id = $1 AND c.contact_id = ANY ($2::uuid[])

-- pairs_of --
-- Pairs of some contacts, with the keys of both.
SELECT p.first_id, p.second_id,
    ARRAY[
        a.by_name, a.by_name_place, a.by_birth, a.by_house, a.by_street, a.by_email_sound, a.by_email_letters,
        a.by_email_ends, a.by_phone_end, a.by_phone_digits
    ] AS first_keys,
    ARRAY[
        b.by_name, b.by_name_place, b.by_birth, b.by_house, b.by_street, b.by_email_sound, b.by_email_letters,
        b.by_email_ends, b.by_phone_end, b.by_phone_digits
    ] AS second_keys
FROM likely_pair AS p
JOIN candidate AS a ON a.workspace_id = $1 AND a.contact_id = p.first_id
JOIN candidate AS b ON b.workspace_id = $1 AND b.contact_id = p.second_id
WHERE p.workspace_id = $1 AND p.first_id = ANY ($2::uuid[])

-- drop_pairs_of --
-- All pairs of some contacts; answers how many of those were shown.
WITH gone AS (
    DELETE FROM likely_pair AS p
    WHERE p.workspace_id = $1 AND (p.first_id = ANY ($2::uuid[]) OR p.second_id = ANY ($2::uuid[]))
    RETURNING p.dismissed
)
SELECT count(*) FROM gone AS g WHERE NOT g.dismissed

-- drop_pairs --
WITH gone AS (
    DELETE FROM likely_pair AS p
    USING unnest($2::uuid[], $3::uuid[]) AS k (first_id, second_id)
    WHERE p.workspace_id = $1 AND p.first_id = k.first_id AND p.second_id = k.second_id
    RETURNING p.dismissed
)
SELECT count(*) FROM gone AS g WHERE NOT g.dismissed

-- keep_pairs --
-- Those that are there already are the same; answers how many of the new ones are shown.
WITH new AS (
    INSERT INTO likely_pair AS p (workspace_id, first_id, second_id, score, evidence, dismissal_id, dismissed)
    SELECT $1, r.first_id, r.second_id, r.score, r.evidence, r.dismissal_id,
        EXISTS (SELECT FROM dismissal AS d WHERE d.workspace_id = $1 AND d.dismissal_id = r.dismissal_id)
    FROM unnest($2::uuid[], $3::uuid[], $4::double precision[], $5::bytea[], $6::uuid[])
        AS r (first_id, second_id, score, evidence, dismissal_id)
    ON CONFLICT (workspace_id, first_id, second_id) DO NOTHING
    RETURNING p.dismissed
)
SELECT count(*) FROM new AS n WHERE NOT n.dismissed

-- dismiss --
-- Answers what is no longer shown.
WITH said AS (
    INSERT INTO dismissal (workspace_id, dismissal_id)
    SELECT $1, k.dismissal_id
    FROM unnest($2::uuid[]) AS k (dismissal_id)
    ON CONFLICT (workspace_id, dismissal_id) DO NOTHING
    RETURNING dismissal_id
),
groups AS (
    UPDATE address_group AS g SET dismissed = true
    FROM said AS s
    WHERE g.workspace_id = $1 AND g.dismissal_id = s.dismissal_id
    RETURNING g.address_kind
),
pairs AS (
    UPDATE likely_pair AS p SET dismissed = true
    FROM said AS s
    WHERE p.workspace_id = $1 AND p.dismissal_id = s.dismissal_id
    RETURNING 'likely' AS found_by
)
SELECT g.address_kind AS found_by FROM groups AS g
UNION ALL
SELECT p.found_by FROM pairs AS p

-- count --
-- Moves the totals by differences, which come in key order.
INSERT INTO duplicate_count AS c (workspace_id, found_by, groups)
SELECT d.workspace_id, d.found_by, d.groups
FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS d (workspace_id, found_by, groups)
ON CONFLICT (workspace_id, found_by) DO UPDATE SET groups = c.groups + excluded.groups

-- uncount --
-- Totals that came down to nothing are no rows, as in a build that never had them.
DELETE FROM duplicate_count AS c
WHERE c.workspace_id = ANY ($1::uuid[]) AND c.groups = 0
