-- Writes of the engagement read model. Names are unqualified: the projector sets search_path to the build.

-- load_members --
-- Everybody in the merges that these contacts are part of.
SELECT m.workspace_id, m.contact_id, m.parent_id, m.own
FROM engagement_member AS m
WHERE (m.workspace_id, m.root_id) IN (
    SELECT o.workspace_id, o.root_id
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (workspace_id, contact_id)
    JOIN engagement_member AS o ON o.workspace_id = wanted.workspace_id AND o.contact_id = wanted.contact_id
)

-- load --
-- The rows of these contacts.
SELECT e.workspace_id, e.contact_id, e.from_position, e.own
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (workspace_id, contact_id)
JOIN engagement AS e ON e.workspace_id = wanted.workspace_id AND e.contact_id = wanted.contact_id

-- save --
-- Adds rows or replaces them, given column by column; labels come as text, joined by the unit separator.
INSERT INTO engagement AS e (
    workspace_id, contact_id, from_position, own, conversation_status, conversation_assignee, conversation_opened_at,
    last_message_at, last_incoming_at, last_interaction_at, last_channel, last_message_preview, labels, fields,
    email_rating, shown
)
SELECT
    r.workspace_id, r.contact_id, r.from_position, r.own, r.conversation_status, r.conversation_assignee,
    r.conversation_opened_at, r.last_message_at, r.last_incoming_at, r.last_interaction_at, r.last_channel,
    r.last_message_preview, string_to_array(r.labels, E'\x1f'), r.fields::jsonb, r.email_rating, r.shown
FROM unnest(
    $1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[],
    $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[], $13::text[], $14::text[],
    $15::double precision[], $16::bytea[]
) AS r (
    workspace_id, contact_id, from_position, own, conversation_status, conversation_assignee, conversation_opened_at,
    last_message_at, last_incoming_at, last_interaction_at, last_channel, last_message_preview, labels, fields,
    email_rating, shown
)
ON CONFLICT (workspace_id, contact_id) DO UPDATE SET
    from_position = excluded.from_position,
    own = excluded.own,
    conversation_status = excluded.conversation_status,
    conversation_assignee = excluded.conversation_assignee,
    conversation_opened_at = excluded.conversation_opened_at,
    last_message_at = excluded.last_message_at,
    last_incoming_at = excluded.last_incoming_at,
    last_interaction_at = excluded.last_interaction_at,
    last_channel = excluded.last_channel,
    last_message_preview = excluded.last_message_preview,
    labels = excluded.labels,
    fields = excluded.fields,
    email_rating = excluded.email_rating,
    shown = excluded.shown

-- forget --
-- Takes away the rows of contacts that another one stands for, or that nothing is known of any more.
DELETE FROM engagement AS e
USING unnest($1::uuid[], $2::uuid[]) AS gone (workspace_id, contact_id)
WHERE e.workspace_id = gone.workspace_id AND e.contact_id = gone.contact_id

-- save_members --
INSERT INTO engagement_member AS m (workspace_id, contact_id, parent_id, root_id, own)
SELECT r.workspace_id, r.contact_id, r.parent_id, r.root_id, r.own
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bytea[])
    AS r (workspace_id, contact_id, parent_id, root_id, own)
ON CONFLICT (workspace_id, contact_id) DO UPDATE SET
    parent_id = excluded.parent_id,
    root_id = excluded.root_id,
    own = excluded.own

-- forget_members --
DELETE FROM engagement_member AS m
USING unnest($1::uuid[], $2::uuid[]) AS gone (workspace_id, contact_id)
WHERE m.workspace_id = gone.workspace_id AND m.contact_id = gone.contact_id

-- end_versions --
UPDATE engagement_history AS h
SET to_position = ended.to_position, to_time = ended.to_time
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::timestamptz[])
    AS ended (workspace_id, contact_id, from_position, to_position, to_time)
WHERE h.workspace_id = ended.workspace_id AND h.contact_id = ended.contact_id
    AND h.from_position = ended.from_position

-- add_versions --
-- Whose end is not given is so still. Ids come as text, joined by commas.
INSERT INTO engagement_history (
    workspace_id, contact_id, from_position, to_position, from_time, to_time, made_of, parts, conversation_status,
    conversation_assignee, conversation_opened_at, last_message_at, last_incoming_at, last_interaction_at,
    last_channel, last_message_preview, labels, fields, email_rating, shown
)
SELECT
    r.workspace_id, r.contact_id, r.from_position, coalesce(r.to_position, 9223372036854775807), r.from_time,
    coalesce(r.to_time, 'infinity'), string_to_array(r.made_of, ',')::uuid[], r.parts, r.conversation_status,
    r.conversation_assignee, r.conversation_opened_at, r.last_message_at, r.last_incoming_at, r.last_interaction_at,
    r.last_channel, r.last_message_preview, string_to_array(r.labels, E'\x1f'), r.fields::jsonb, r.email_rating,
    r.shown
FROM unnest(
    $1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::text[],
    $8::bytea[], $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[],
    $14::timestamptz[], $15::text[], $16::text[], $17::text[], $18::text[], $19::double precision[], $20::bytea[]
) AS r (
    workspace_id, contact_id, from_position, to_position, from_time, to_time, made_of, parts, conversation_status,
    conversation_assignee, conversation_opened_at, last_message_at, last_incoming_at, last_interaction_at,
    last_channel, last_message_preview, labels, fields, email_rating, shown
)

-- versions_with --
-- Every version of all profiles that a contact was ever part of, oldest first.
SELECT
    h.contact_id, h.from_position, h.from_time, h.parts, h.shown,
    NULLIF(h.to_position, 9223372036854775807) AS to_position, NULLIF(h.to_time, 'infinity') AS to_time
FROM engagement_history AS h
WHERE h.workspace_id = $1 AND h.contact_id IN (
    SELECT w.contact_id
    FROM engagement_history AS w
    WHERE w.workspace_id = $1 AND (w.contact_id = $2 OR w.made_of @> ARRAY[$2::uuid])
)
ORDER BY h.contact_id, h.from_position

-- forget_versions --
DELETE FROM engagement_history AS h
WHERE h.workspace_id = $1 AND h.contact_id = ANY ($2::uuid[])

-- restart --
-- Since when the rows show what they show, after versions of them fell together.
UPDATE engagement AS e
SET from_position = r.from_position
FROM unnest($2::uuid[], $3::bigint[]) AS r (contact_id, from_position)
WHERE e.workspace_id = $1 AND e.contact_id = r.contact_id
