-- The blacklist of each workspace as people see it. What stops messages is log.suppression; this is for reading.
-- Names are unqualified: every build of the read model is a schema of its own.

CREATE TABLE suppression (
    workspace_id uuid NOT NULL,
    suppression_id uuid NOT NULL,
    listed boolean NOT NULL,
    since timestamptz,
    version integer NOT NULL,
    channel text COLLATE "C" NOT NULL,
    address text COLLATE "C",
    reason text COLLATE "C",
    reason_version integer NOT NULL,
    state bytea NOT NULL,
    CONSTRAINT suppression_pkey PRIMARY KEY (workspace_id, suppression_id)
) WITH (fillfactor = 90);
COMMENT ON TABLE suppression IS 'Addresses that are or were on a blacklist; only listed ones are shown.';
COMMENT ON COLUMN suppression.suppression_id IS 'Id of the streams of the address in the workspace.';
COMMENT ON COLUMN suppression.address IS 'As it was given last; NULL while unlisted, and where the proof was destroyed.';
COMMENT ON COLUMN suppression.reason_version IS 'Version of the fact that address and reason prove, 0 for none.';
COMMENT ON COLUMN suppression.state IS 'The folded facts as msgpack (contacts.suppression.state).';

CREATE TABLE suppression_count (
    workspace_id uuid NOT NULL,
    channel text COLLATE "C" NOT NULL,
    entries bigint NOT NULL,
    CONSTRAINT suppression_count_pkey PRIMARY KEY (workspace_id, channel)
) WITH (fillfactor = 50);
COMMENT ON TABLE suppression_count IS 'How many addresses are listed. Moved by the same transaction as the rows.';
