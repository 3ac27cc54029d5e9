-- Writes of the identity read model. Names are unqualified: the projector sets search_path to the build.

-- connect --
INSERT INTO identity (workspace_id, digest, application, contact_id)
SELECT i.workspace_id, i.digest, i.application, i.contact_id
FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::uuid[]) AS i (workspace_id, digest, application, contact_id)
ON CONFLICT (workspace_id, digest, application, contact_id) DO NOTHING

-- disconnect --
DELETE FROM identity AS i
USING unnest($1::uuid[], $2::bytea[], $3::text[], $4::uuid[]) AS g (workspace_id, digest, application, contact_id)
WHERE i.workspace_id = g.workspace_id AND i.digest = g.digest AND i.application = g.application
    AND i.contact_id = g.contact_id

-- forget --
-- Contacts that were erased.
DELETE FROM identity AS i
USING unnest($1::uuid[], $2::uuid[]) AS g (workspace_id, contact_id)
WHERE i.workspace_id = g.workspace_id AND i.contact_id = g.contact_id
