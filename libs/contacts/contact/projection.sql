-- Writes of the contact read model. Names are unqualified: the projector sets search_path to the build.

-- load --
-- The rows of the contacts a batch touches.
SELECT c.contact_id, c.state
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (workspace_id, contact_id)
JOIN contact AS c ON c.workspace_id = wanted.workspace_id AND c.contact_id = wanted.contact_id

-- upsert --
-- Inserts rows or replaces older ones, given column by column; sets come as text, joined by the unit separator.
-- What stays the same in `contact_recency` is left alone.
WITH written AS (
    INSERT INTO contact AS c (
        workspace_id, contact_id, created_at, changed_at, deleted_at, position, version, blocked, campaign_opt_in,
        external_id, messaging_id, first_name, last_name, full_name, filed_name, email, email_status, phone,
        phone_status, country, language, time_zone, assignee, source, tags, lists, categories, channels, attributes,
        extras, absorbed, search, state
    )
    SELECT
        r.workspace_id, r.contact_id, r.created_at, r.changed_at, r.deleted_at, r.position, r.version, r.blocked,
        r.campaign_opt_in, r.external_id, r.messaging_id, r.first_name, r.last_name, r.full_name, r.filed_name,
        r.email, r.email_status, r.phone, r.phone_status, r.country, r.language, r.time_zone, r.assignee, r.source,
        string_to_array(r.tags, E'\x1f'), string_to_array(r.lists, E'\x1f')::uuid[],
        string_to_array(r.categories, E'\x1f'), string_to_array(r.channels, E'\x1f'), r.attributes::jsonb, r.extras::jsonb,
        string_to_array(NULLIF(r.absorbed, ''), E'\x1f')::uuid[], r.search, r.state
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::bigint[],
        $7::integer[], $8::boolean[], $9::boolean[], $10::text[], $11::text[], $12::text[], $13::text[],
        $14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[],
        $22::text[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[], $28::text[], $29::text[],
        $30::text[], $31::text[], $32::text[], $33::bytea[]
    ) AS r (
        workspace_id, contact_id, created_at, changed_at, deleted_at, position, version, blocked, campaign_opt_in,
        external_id, messaging_id, first_name, last_name, full_name, filed_name, email, email_status, phone,
        phone_status, country, language, time_zone, assignee, source, tags, lists, categories, channels, attributes,
        extras, absorbed, search, state
    )
    ON CONFLICT (workspace_id, contact_id) DO UPDATE SET
        created_at = excluded.created_at,
        changed_at = excluded.changed_at,
        deleted_at = excluded.deleted_at,
        position = greatest(c.position, excluded.position),
        version = excluded.version,
        blocked = excluded.blocked,
        campaign_opt_in = excluded.campaign_opt_in,
        external_id = excluded.external_id,
        messaging_id = excluded.messaging_id,
        first_name = excluded.first_name,
        last_name = excluded.last_name,
        full_name = excluded.full_name,
        filed_name = excluded.filed_name,
        email = excluded.email,
        email_status = excluded.email_status,
        phone = excluded.phone,
        phone_status = excluded.phone_status,
        country = excluded.country,
        language = excluded.language,
        time_zone = excluded.time_zone,
        assignee = excluded.assignee,
        source = excluded.source,
        tags = excluded.tags,
        lists = excluded.lists,
        categories = excluded.categories,
        channels = excluded.channels,
        attributes = excluded.attributes,
        extras = excluded.extras,
        absorbed = excluded.absorbed,
        search = excluded.search,
        state = excluded.state
    WHERE c.version <= excluded.version
    RETURNING c.workspace_id, c.contact_id, c.changed_at, c.deleted_at IS NOT NULL AS deleted
)
INSERT INTO contact_recency AS c (workspace_id, contact_id, changed_at, deleted)
SELECT w.workspace_id, w.contact_id, w.changed_at, w.deleted
FROM written AS w
ON CONFLICT (workspace_id, contact_id) DO UPDATE SET
    changed_at = excluded.changed_at,
    deleted = excluded.deleted
WHERE c.changed_at <> excluded.changed_at OR c.deleted <> excluded.deleted

-- hide --
-- Takes away the rows of contacts that can no longer be read, or that another one stands for.
WITH gone AS (
    SELECT g.workspace_id, g.contact_id
    FROM unnest($1::uuid[], $2::uuid[]) AS g (workspace_id, contact_id)
),
forgotten AS (
    DELETE FROM contact AS c
    USING gone
    WHERE c.workspace_id = gone.workspace_id AND c.contact_id = gone.contact_id
)
DELETE FROM contact_recency AS c
USING gone
WHERE c.workspace_id = gone.workspace_id AND c.contact_id = gone.contact_id

-- count --
-- Moves the totals by differences, which come in key order.
INSERT INTO contact_count AS c (workspace_id, deleted, email_status, phone_status, contacts)
SELECT d.workspace_id, d.deleted, d.email_status, d.phone_status, d.contacts
FROM unnest($1::uuid[], $2::boolean[], $3::text[], $4::text[], $5::bigint[])
    AS d (workspace_id, deleted, email_status, phone_status, contacts)
ON CONFLICT (workspace_id, deleted, email_status, phone_status) DO UPDATE SET
    contacts = c.contacts + excluded.contacts

-- uncount --
-- Totals that came down to nothing are no rows, as in a build that never had them.
DELETE FROM contact_count AS c
WHERE c.workspace_id = ANY ($1::uuid[]) AND c.contacts = 0
