-- Merged contacts in the contact read model. Names are unqualified: the projector sets search_path to the build.

-- lock --
-- Whoever writes about merged contacts of a workspace waits for the others who do: a profile depends on contacts of
-- several slices. The builds of a read model do not wait for one another.
SELECT pg_advisory_xact_lock(1382836336, hashtext(current_schema()::text || w.workspace_id::text))
FROM (SELECT DISTINCT workspace_id FROM unnest($1::uuid[]) AS u (workspace_id) ORDER BY workspace_id) AS w

-- load --
-- What contacts say themselves; the rows of `contact` hold profiles.
SELECT wanted.contact_id, m.root_id, coalesce(m.state, c.state) AS state
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (workspace_id, contact_id)
LEFT JOIN contact_member AS m ON m.workspace_id = wanted.workspace_id AND m.contact_id = wanted.contact_id
LEFT JOIN contact AS c ON c.workspace_id = wanted.workspace_id AND c.contact_id = wanted.contact_id
WHERE m.state IS NOT NULL OR c.state IS NOT NULL

-- visible --
-- The rows of `contact`, profiles among them.
SELECT c.contact_id, c.state
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (workspace_id, contact_id)
JOIN contact AS c ON c.workspace_id = wanted.workspace_id AND c.contact_id = wanted.contact_id

-- save --
INSERT INTO contact_member AS m (
    workspace_id, contact_id, root_id, external_id, messaging_id, email, phone, state
)
SELECT r.workspace_id, r.contact_id, r.root_id, r.external_id, r.messaging_id, r.email, r.phone, r.state
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[]) AS r (
    workspace_id, contact_id, root_id, external_id, messaging_id, email, phone, state
)
ON CONFLICT (workspace_id, contact_id) DO UPDATE SET
    root_id = excluded.root_id,
    external_id = excluded.external_id,
    messaging_id = excluded.messaging_id,
    email = excluded.email,
    phone = excluded.phone,
    state = excluded.state

-- forget --
DELETE FROM contact_member AS m
USING unnest($1::uuid[], $2::uuid[]) AS gone (workspace_id, contact_id)
WHERE m.workspace_id = gone.workspace_id AND m.contact_id = gone.contact_id
