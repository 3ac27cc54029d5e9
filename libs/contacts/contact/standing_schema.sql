-- How contacts stand, as far as other streams say so. Part of the schema of the contact read model.

CREATE TABLE address_record (
    address bytea NOT NULL,
    workspace_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    closed_since timestamptz,
    state bytea NOT NULL,
    CONSTRAINT address_record_pkey PRIMARY KEY (address, workspace_id),
    CONSTRAINT address_record_stream UNIQUE (stream_id)
) WITH (fillfactor = 90);
COMMENT ON TABLE address_record IS 'What each workspace recorded of an address, by its widest digest. The address stands first: an e-mail blacklist is looked up for all workspaces at once.';
COMMENT ON COLUMN address_record.stream_id IS 'Id of its streams, which their events bring along; a proof names no address in clear.';
COMMENT ON COLUMN address_record.closed_since IS 'Since when it closes the address for every workspace; NULL where it does not.';
COMMENT ON COLUMN address_record.state IS 'The folded facts and reasons as msgpack (contacts.consent.record).';

CREATE TABLE contact_address (
    address bytea NOT NULL,
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    CONSTRAINT contact_address_pkey PRIMARY KEY (address, workspace_id, contact_id)
);
COMMENT ON TABLE contact_address IS 'Whom a fact about an address concerns: contacts by what they say themselves, absorbed ones too.';

CREATE TABLE contact_quota (
    workspace_id uuid NOT NULL,
    contact_limit bigint,
    version integer NOT NULL,
    CONSTRAINT contact_quota_pkey PRIMARY KEY (workspace_id)
);
COMMENT ON TABLE contact_quota IS 'Contacts of the plan, for workspaces that have or had a limit; NULL is no limit.';

CREATE TABLE contact_over (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    CONSTRAINT contact_over_pkey PRIMARY KEY (workspace_id, contact_id)
);
COMMENT ON TABLE contact_over IS 'Present contacts beyond the limit: the newest. Their statuses say so, too, where nothing more restrictive counts.';
