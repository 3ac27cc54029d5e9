-- Writes of the history read model. Names are unqualified: the projector sets search_path to the build.

-- load --
-- What is known of contacts: the version shown, what a merged one says itself, what is left of an erased one.
SELECT
    wanted.contact_id, wanted.workspace_id, n.state, n.from_position, n.from_time, m.state AS own, g.version AS gone,
    g.created_at, g.takes_room
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (workspace_id, contact_id)
LEFT JOIN contact_history_now AS n ON n.workspace_id = wanted.workspace_id AND n.contact_id = wanted.contact_id
LEFT JOIN history_member AS m ON m.workspace_id = wanted.workspace_id AND m.contact_id = wanted.contact_id
LEFT JOIN history_gone AS g ON g.workspace_id = wanted.workspace_id AND g.contact_id = wanted.contact_id
WHERE n.contact_id IS NOT NULL OR m.contact_id IS NOT NULL OR g.contact_id IS NOT NULL

-- holders --
-- Who ever had which address, by what contacts say themselves.
SELECT a.address, a.workspace_id, a.contact_id
FROM contact_address AS a
WHERE a.address = ANY ($1::bytea[])

-- rooms --
-- Limits of plans, and how many contacts take room now.
SELECT w.workspace_id, q.contact_limit, coalesce(q.version, 0) AS version, coalesce(r.contacts, 0) AS contacts
FROM unnest($1::uuid[], $2::boolean[]) AS w (workspace_id, is_given_one)
LEFT JOIN contact_quota AS q ON q.workspace_id = w.workspace_id
LEFT JOIN history_room AS r ON r.workspace_id = w.workspace_id
WHERE w.is_given_one OR q.contact_limit IS NOT NULL

-- newest --
-- The last created of those that take room, as many as may be beyond a limit.
SELECT c.created_at, c.contact_id
FROM (
    (
        SELECT n.created_at, n.contact_id
        FROM contact_history_now AS n
        WHERE n.workspace_id = $1 AND n.deleted_at IS NULL
        ORDER BY n.created_at DESC, n.contact_id DESC
        LIMIT $2
    )
    UNION ALL
    SELECT g.created_at, g.contact_id
    FROM history_gone AS g
    WHERE g.workspace_id = $1 AND g.takes_room
) AS c
ORDER BY c.created_at DESC, c.contact_id DESC
LIMIT $2

-- close --
-- Ends versions that are valid still.
WITH ended AS (
    DELETE FROM contact_history_now AS n
    USING unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[])
        AS e (workspace_id, contact_id, to_position, to_time)
    WHERE n.workspace_id = e.workspace_id AND n.contact_id = e.contact_id
    RETURNING
        n.workspace_id, n.contact_id, n.created_at, n.changed_at, n.deleted_at, n.position, n.version, n.blocked,
        n.campaign_opt_in, n.external_id, n.messaging_id, n.first_name, n.last_name, n.full_name, n.filed_name, n.email,
        n.email_status, n.phone, n.phone_status, n.country, n.language, n.time_zone, n.assignee, n.source, n.tags,
        n.lists, n.categories, n.channels, n.attributes, n.extras, n.absorbed, n.search, n.state,
        n.from_position, n.from_time,
        e.to_position, e.to_time, n.search_is_new
)
INSERT INTO contact_history_past (
    workspace_id, contact_id, created_at, changed_at, deleted_at, position, version, blocked, campaign_opt_in,
    external_id, messaging_id, first_name, last_name, full_name, filed_name, email, email_status, phone, phone_status,
    country, language, time_zone, assignee, source, tags, lists, categories, channels, attributes,
    extras, absorbed, search, state,
    from_position, from_time, to_position, to_time, search_is_new
)
SELECT
    workspace_id, contact_id, created_at, changed_at, deleted_at, position, version, blocked, campaign_opt_in,
    external_id, messaging_id, first_name, last_name, full_name, filed_name, email, email_status, phone, phone_status,
    country, language, time_zone, assignee, source, tags, lists, categories, channels, attributes,
    extras, absorbed, search, state,
    from_position, from_time, to_position, to_time, search_is_new
FROM ended
-- Versions that came and went at once are none.
WHERE from_position < to_position

-- erase --
-- Takes away every version of these contacts, that they were ever part of another, and which addresses they had.
WITH gone AS (
    SELECT g.workspace_id, g.contact_id
    FROM unnest($1::uuid[], $2::uuid[]) AS g (workspace_id, contact_id)
),
forgotten AS (
    DELETE FROM history_kin AS k
    USING gone
    WHERE gone.contact_id IN (k.contact_id, k.root_id)
),
unlinked AS (
    DELETE FROM contact_address AS a
    USING gone
    WHERE a.contact_id = gone.contact_id
)
DELETE FROM contact_history AS h
USING gone
WHERE h.workspace_id = gone.workspace_id AND h.contact_id = gone.contact_id

-- keep_members --
INSERT INTO history_member AS m (workspace_id, contact_id, state)
SELECT r.workspace_id, r.contact_id, r.state
FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS r (workspace_id, contact_id, state)
ON CONFLICT (workspace_id, contact_id) DO UPDATE SET state = excluded.state

-- drop_members --
DELETE FROM history_member AS m
USING unnest($1::uuid[], $2::uuid[]) AS gone (workspace_id, contact_id)
WHERE m.workspace_id = gone.workspace_id AND m.contact_id = gone.contact_id

-- keep_kin --
INSERT INTO history_kin (workspace_id, contact_id, root_id)
SELECT k.workspace_id, k.contact_id, k.root_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS k (workspace_id, contact_id, root_id)
ON CONFLICT (contact_id, root_id) DO NOTHING

-- keep_gone --
INSERT INTO history_gone AS g (workspace_id, contact_id, version, created_at, takes_room)
SELECT r.workspace_id, r.contact_id, r.version, r.created_at, r.takes_room
FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::timestamptz[], $5::boolean[])
    AS r (workspace_id, contact_id, version, created_at, takes_room)
ON CONFLICT (workspace_id, contact_id) DO UPDATE SET version = excluded.version, takes_room = excluded.takes_room

-- keep_room --
INSERT INTO history_room AS r (workspace_id, contacts)
SELECT d.workspace_id, d.contacts
FROM unnest($1::uuid[], $2::bigint[]) AS d (workspace_id, contacts)
ON CONFLICT (workspace_id) DO UPDATE SET contacts = r.contacts + excluded.contacts

-- concerned --
-- Contacts that were ever shown with something of these contacts, or with what was said of these addresses.
WITH origin AS (
    SELECT g.contact_id
    FROM unnest($1::uuid[]) AS g (contact_id)
    UNION
    SELECT a.contact_id
    FROM contact_address AS a
    WHERE a.address = ANY ($2::bytea[])
)
SELECT k.root_id AS contact_id, k.workspace_id
FROM origin
JOIN history_kin AS k ON k.contact_id = origin.contact_id
UNION
SELECT a.contact_id, a.workspace_id
FROM contact_address AS a
WHERE a.address = ANY ($2::bytea[])

-- record_streams --
SELECT a.stream_id
FROM address_record AS a
WHERE a.address = ANY ($1::bytea[])

-- read_streams --
-- Everything that streams with these ids say up to a position, in its order.
SELECT
    e.lane, e.position, e.workspace_id, e.category, e.stream_id, e.version, e.event_id, e.type, e.schema_version,
    e.recorded_at, e.metadata, e.payload, e.subject_id, k.wrapped
FROM log.events AS e
LEFT JOIN keys.subject_keys AS k ON k.subject_id = e.subject_id
WHERE e.stream_id = ANY ($1::uuid[]) AND e.lane = $2 AND e.position <= $3 AND e.type = ANY ($4::text[])
ORDER BY e.position

-- versions --
SELECT h.state, h.from_position, h.from_time
FROM unnest($1::uuid[], $2::uuid[]) AS w (workspace_id, contact_id)
JOIN contact_history AS h ON h.workspace_id = w.workspace_id AND h.contact_id = w.contact_id
ORDER BY h.from_position

-- forget --
-- Takes away every version of profiles that are made anew.
WITH again AS (
    SELECT w.workspace_id, w.contact_id
    FROM unnest($1::uuid[], $2::uuid[]) AS w (workspace_id, contact_id)
),
kin AS (
    DELETE FROM history_kin AS k
    USING again
    WHERE k.root_id = again.contact_id
)
DELETE FROM contact_history AS h
USING again
WHERE h.workspace_id = again.workspace_id AND h.contact_id = again.contact_id
