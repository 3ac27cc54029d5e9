-- Writes of the activity read model. Names are unqualified: the projector sets search_path to the build.

-- missing --
-- Which of these tables are not there. Asked of the catalogue itself: `to_regclass` may answer from before the lock.
SELECT t.name
FROM unnest($1::text[]) AS t (name)
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = t.name
)

-- lock_tables --
-- One maker of partitions at a time, until the end of the transaction.
SELECT pg_advisory_xact_lock(1382836337, hashtext(current_schema()))

-- write --
-- Adds what is not there yet, given column by column, and moves the totals by what was added.
WITH written AS (
    INSERT INTO activity (
        workspace_id, contact_id, occurred_at, recorded_at, position, category, activity_id, source, kind, addressed_as,
        data, folded
    )
    SELECT
        r.workspace_id, r.contact_id, r.occurred_at, r.recorded_at, r.position, r.category, r.activity_id, r.source,
        r.kind, r.addressed_as::jsonb, r.data::jsonb, r.folded::jsonb
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::bigint[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::text[]
    ) AS r (
        workspace_id, contact_id, occurred_at, recorded_at, position, category, activity_id, source, kind, addressed_as,
        data, folded
    )
    ON CONFLICT (workspace_id, contact_id, category, occurred_at, activity_id, source) DO NOTHING
    RETURNING workspace_id, contact_id, category, occurred_at
)
INSERT INTO activity_month AS m (workspace_id, contact_id, category, month, activities)
SELECT w.workspace_id, w.contact_id, w.category, date_trunc('month', w.occurred_at AT TIME ZONE 'UTC')::date, count(*)
FROM written AS w
GROUP BY 1, 2, 3, 4
ON CONFLICT (workspace_id, contact_id, category, month) DO UPDATE SET
    activities = m.activities + excluded.activities

-- count --
-- Adds to the totals of contacts whose rows were copied in.
INSERT INTO activity_month AS m (workspace_id, contact_id, category, month, activities)
SELECT c.workspace_id, c.contact_id, c.category, c.month, c.activities
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::date[], $5::integer[])
    AS c (workspace_id, contact_id, category, month, activities)
ON CONFLICT (workspace_id, contact_id, category, month) DO UPDATE SET
    activities = m.activities + excluded.activities

-- erase --
-- Takes away all that the read model holds of these contacts.
WITH gone AS (
    SELECT g.workspace_id, g.contact_id
    FROM unnest($1::uuid[], $2::uuid[]) AS g (workspace_id, contact_id)
),
forgotten AS (
    DELETE FROM activity AS a
    USING gone
    WHERE a.workspace_id = gone.workspace_id AND a.contact_id = gone.contact_id
)
DELETE FROM activity_month AS m
USING gone
WHERE m.workspace_id = gone.workspace_id AND m.contact_id = gone.contact_id

-- cuts --
-- Locked, so that what is taken away by a later cut is all that was written before it.
SELECT c.workspace_id, c.before
FROM activity_cut AS c
WHERE c.workspace_id = ANY ($1::uuid[])
ORDER BY c.workspace_id
FOR SHARE

-- has_cuts --
-- Whether there is a live build that knows of cuts.
SELECT to_regclass('rm_activity.activity_cut') IS NOT NULL

-- inherit_cuts --
-- Those of the live build, which may be this one.
INSERT INTO activity_cut AS c (workspace_id, before)
SELECT l.workspace_id, l.before
FROM rm_activity.activity_cut AS l
WHERE l.workspace_id = ANY ($1::uuid[])
ORDER BY l.workspace_id
ON CONFLICT (workspace_id) DO UPDATE SET before = excluded.before
WHERE c.before < excluded.before
