-- Contacts beyond the limit of the plan. Names are unqualified: the projector sets search_path to the build.

-- with_limit --
SELECT q.workspace_id
FROM contact_quota AS q
WHERE q.workspace_id = ANY ($1::uuid[])

-- keep_limits --
INSERT INTO contact_quota AS q (workspace_id, contact_limit, version)
SELECT l.workspace_id, l.contact_limit, l.version
FROM unnest($1::uuid[], $2::bigint[], $3::integer[]) AS l (workspace_id, contact_limit, version)
ON CONFLICT (workspace_id) DO UPDATE SET contact_limit = excluded.contact_limit, version = excluded.version
WHERE q.version < excluded.version

-- leave --
-- Deleted, absorbed and erased contacts take no room.
DELETE FROM contact_over AS o
WHERE o.workspace_id = $1 AND o.contact_id = ANY ($2::uuid[])
RETURNING o.contact_id

-- settle --
-- Beyond the limit are the newest of the present contacts, as many as there are too many. Answers who came and went.
WITH beyond AS (
    SELECT c.contact_id
    FROM contact AS c
    WHERE c.workspace_id = $1 AND c.deleted_at IS NULL
    ORDER BY c.created_at DESC, c.contact_id DESC
    LIMIT coalesce((
        SELECT greatest(0, (
            SELECT coalesce(sum(n.contacts), 0) FROM contact_count AS n WHERE n.workspace_id = $1 AND NOT n.deleted
        ) - q.contact_limit)
        FROM contact_quota AS q
        WHERE q.workspace_id = $1
    ), 0)
),
back AS (
    DELETE FROM contact_over AS o
    WHERE o.workspace_id = $1 AND NOT EXISTS (SELECT FROM beyond WHERE beyond.contact_id = o.contact_id)
    RETURNING o.contact_id
),
new AS (
    INSERT INTO contact_over AS o (workspace_id, contact_id)
    SELECT $1, beyond.contact_id
    FROM beyond
    ON CONFLICT (workspace_id, contact_id) DO NOTHING
    RETURNING o.contact_id
)
SELECT back.contact_id, false AS is_over
FROM back
UNION ALL
SELECT new.contact_id, true
FROM new

-- rows --
SELECT c.contact_id, c.state
FROM contact AS c
WHERE c.workspace_id = $1 AND c.contact_id = ANY ($2::uuid[])
