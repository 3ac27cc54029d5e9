-- How contacts stand in the contact read model. Names are unqualified: the projector sets search_path to the build.

-- lock_shared --
-- Held by everyone who writes rows of contacts: nobody changes what is recorded of addresses meanwhile.
SELECT pg_advisory_xact_lock_shared(1382836337, hashtext(current_schema()::text))

-- lock_alone --
-- Held by who writes what is recorded of addresses, and the rows of the contacts that it concerns, whatever slice they
-- are of.
SELECT pg_advisory_xact_lock(1382836337, hashtext(current_schema()::text))

-- load_records --
SELECT a.stream_id, a.state
FROM address_record AS a
WHERE a.stream_id = ANY ($1::uuid[])

-- save_records --
INSERT INTO address_record AS a (address, workspace_id, stream_id, closed_since, state)
SELECT r.address, r.workspace_id, r.stream_id, r.closed_since, r.state
FROM unnest($1::bytea[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::bytea[])
    AS r (address, workspace_id, stream_id, closed_since, state)
ON CONFLICT (address, workspace_id) DO UPDATE SET
    closed_since = excluded.closed_since,
    state = excluded.state

-- find_records --
-- Everything recorded of addresses, by any workspace.
SELECT a.address, a.workspace_id, a.closed_since, a.state
FROM address_record AS a
WHERE a.address = ANY ($1::bytea[])

-- link --
INSERT INTO contact_address (address, workspace_id, contact_id)
SELECT l.address, l.workspace_id, l.contact_id
FROM unnest($1::bytea[], $2::uuid[], $3::uuid[]) AS l (address, workspace_id, contact_id)
ON CONFLICT (address, workspace_id, contact_id) DO NOTHING

-- unlink --
DELETE FROM contact_address AS c
USING unnest($1::bytea[], $2::uuid[], $3::uuid[]) AS l (address, workspace_id, contact_id)
WHERE c.address = l.address AND c.workspace_id = l.workspace_id AND c.contact_id = l.contact_id

-- concerned --
-- The rows of contacts with an address: their own, or that of the contact that stands for them.
SELECT c.workspace_id, c.contact_id, c.state
FROM (
    SELECT DISTINCT a.workspace_id, coalesce(m.root_id, a.contact_id) AS contact_id
    FROM contact_address AS a
    LEFT JOIN contact_member AS m ON m.workspace_id = a.workspace_id AND m.contact_id = a.contact_id
    WHERE a.address = ANY ($1::bytea[])
) AS r
JOIN contact AS c ON c.workspace_id = r.workspace_id AND c.contact_id = r.contact_id

-- restand --
-- What stays the same is not written: neither the version nor the position is that of an event of the contact.
UPDATE contact AS c
SET email_status = r.email_status, phone_status = r.phone_status, extras = r.extras::jsonb, state = r.state
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[])
    AS r (workspace_id, contact_id, email_status, phone_status, extras, state)
WHERE c.workspace_id = r.workspace_id AND c.contact_id = r.contact_id
