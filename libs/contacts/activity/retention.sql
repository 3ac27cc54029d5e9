-- Taking away activity that is older than its workspace keeps it, as rollbook_projector. Names are unqualified but where
-- the live build alone is meant: each statement is run in every build that is kept up to date.

-- builds --
SELECT p.schema_name
FROM projector.projections AS p
WHERE p.name = 'activity' AND p.state IN ('live', 'building') AND p.code_version = $1
ORDER BY p.state DESC

-- workspaces --
-- Those that have anything, and their oldest month.
SELECT m.workspace_id, min(m.month) AS oldest
FROM rm_activity.activity_month AS m
GROUP BY m.workspace_id
ORDER BY m.workspace_id

-- cut --
-- From here on nothing older is written. Waits for whoever is writing by the cut before.
INSERT INTO activity_cut AS c (workspace_id, before)
VALUES ($1, $2)
ON CONFLICT (workspace_id) DO UPDATE SET before = excluded.before
WHERE c.before < excluded.before

-- take_away --
-- At most $3 of what is older.
DELETE FROM activity AS a
USING (
    SELECT o.contact_id, o.category, o.occurred_at, o.activity_id, o.source
    FROM activity AS o
    WHERE o.workspace_id = $1 AND o.occurred_at < $2
    LIMIT $3
) AS old
WHERE a.workspace_id = $1 AND a.occurred_at < $2 AND a.contact_id = old.contact_id AND a.category = old.category
    AND a.occurred_at = old.occurred_at AND a.activity_id = old.activity_id AND a.source = old.source

-- forget_months --
DELETE FROM activity_month AS m
WHERE m.workspace_id = $1 AND m.month < $2::date

-- partitions --
-- Of whole months before one, the oldest first.
SELECT c.relname AS name
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'activity'::regclass AND c.relname < $1 AND c.relname ~ '^activity_[0-9]{4}_[0-9]{2}$'
ORDER BY c.relname
