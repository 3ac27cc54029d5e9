-- The identity read model: which contact has which channel identity by its own stream, to find whom a message is from.
-- Names are unqualified: every build of the read model is a schema of its own.

CREATE TABLE identity (
    workspace_id uuid NOT NULL,
    digest bytea NOT NULL,
    application text COLLATE "C" NOT NULL,
    contact_id uuid NOT NULL,
    CONSTRAINT identity_pkey PRIMARY KEY (workspace_id, digest, application, contact_id)
);
COMMENT ON COLUMN identity.digest IS 'Of kind and token: tokens are longer than an index takes.';
COMMENT ON COLUMN identity.application IS 'Empty where it belongs to none.';
