-- The duplicate read model: who shares an address, and who is likely to be the same person.
-- Names are unqualified: every build of the read model is a schema of its own.

CREATE TABLE candidate (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    email text COLLATE "C",
    phone text COLLATE "C",
    by_name bigint,
    by_name_place bigint,
    by_birth bigint,
    by_house bigint,
    by_street bigint,
    by_email_sound bigint,
    by_email_letters bigint,
    by_email_ends bigint,
    by_phone_end bigint,
    by_phone_digits bigint,
    traits bytea,
    state bytea NOT NULL,
    CONSTRAINT candidate_pkey PRIMARY KEY (workspace_id, contact_id)
) WITH (fillfactor = 85);
COMMENT ON TABLE candidate IS 'Profiles, deleted ones too, for these may be restored: they have nothing but created_at and state.';
COMMENT ON COLUMN candidate.email IS 'The mailbox it leads to (contacts.emails.email_mailbox).';
COMMENT ON COLUMN candidate.by_name IS 'Keys of the blocks it is in, as the next ones (contacts.duplicate.blocks).';
COMMENT ON COLUMN candidate.traits IS 'What is compared, as msgpack (contacts.duplicate.traits).';
COMMENT ON COLUMN candidate.state IS 'What of the folded contact matters here, as msgpack.';

-- What `merge.rows` looks in for profiles.
CREATE VIEW contact AS SELECT workspace_id, contact_id, state FROM candidate;

CREATE TABLE contact_member (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    root_id uuid NOT NULL,
    external_id text COLLATE "C",
    messaging_id text COLLATE "C",
    email text COLLATE "C",
    phone text COLLATE "C",
    state bytea NOT NULL,
    CONSTRAINT contact_member_pkey PRIMARY KEY (workspace_id, contact_id)
);
COMMENT ON TABLE contact_member IS 'What merged contacts say themselves, as in the contact read model. Absorbed ones are no candidates.';

CREATE TABLE full_block (
    workspace_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    key bigint NOT NULL,
    CONSTRAINT full_block_pkey PRIMARY KEY (workspace_id, kind, key)
);
COMMENT ON TABLE full_block IS 'Blocks that too many are in: nobody is compared because of one.';

CREATE TABLE likely_pair (
    workspace_id uuid NOT NULL,
    first_id uuid NOT NULL,
    second_id uuid NOT NULL,
    score double precision NOT NULL,
    evidence bytea NOT NULL,
    dismissal_id uuid NOT NULL,
    dismissed boolean NOT NULL,
    CONSTRAINT likely_pair_pkey PRIMARY KEY (workspace_id, first_id, second_id)
);
COMMENT ON TABLE likely_pair IS 'Two contacts whose score reaches the threshold; the one with the lower id comes first.';
COMMENT ON COLUMN likely_pair.score IS 'Bits of evidence (contacts.duplicate.model).';
COMMENT ON COLUMN likely_pair.evidence IS 'What the score is made of, as msgpack.';
COMMENT ON COLUMN likely_pair.dismissal_id IS 'Stream in which it would be dismissed.';

CREATE TABLE address_group (
    workspace_id uuid NOT NULL,
    address_kind text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL,
    contacts bigint NOT NULL,
    dismissal_id uuid NOT NULL,
    dismissed boolean NOT NULL,
    CONSTRAINT address_group_pkey PRIMARY KEY (workspace_id, address_kind, address)
) WITH (fillfactor = 90);
COMMENT ON TABLE address_group IS 'Addresses that two or more contacts have.';
COMMENT ON COLUMN address_group.address_kind IS 'email or phone.';

CREATE TABLE dismissal (
    workspace_id uuid NOT NULL,
    dismissal_id uuid NOT NULL,
    CONSTRAINT dismissal_pkey PRIMARY KEY (workspace_id, dismissal_id)
);
COMMENT ON TABLE dismissal IS 'Groups and pairs that somebody said are none, for ever; whether there is one now is in the other tables.';

CREATE TABLE duplicate_count (
    workspace_id uuid NOT NULL,
    found_by text COLLATE "C" NOT NULL,
    groups bigint NOT NULL,
    CONSTRAINT duplicate_count_pkey PRIMARY KEY (workspace_id, found_by)
) WITH (fillfactor = 50);
COMMENT ON TABLE duplicate_count IS 'How many groups and pairs are not dismissed, and how many candidates are present. Moved by the same transaction as the rows.';

-- Indexes that writing the read model itself needs, so that they are there from the first row on.
CREATE INDEX candidate_email ON candidate (workspace_id, email, created_at, contact_id) WHERE email IS NOT NULL;
CREATE INDEX candidate_phone ON candidate (workspace_id, phone, created_at, contact_id) WHERE phone IS NOT NULL;
CREATE INDEX candidate_by_name ON candidate (workspace_id, by_name) WHERE by_name IS NOT NULL;
CREATE INDEX candidate_by_name_place ON candidate (workspace_id, by_name_place) WHERE by_name_place IS NOT NULL;
CREATE INDEX candidate_by_birth ON candidate (workspace_id, by_birth) WHERE by_birth IS NOT NULL;
CREATE INDEX candidate_by_house ON candidate (workspace_id, by_house) WHERE by_house IS NOT NULL;
CREATE INDEX candidate_by_street ON candidate (workspace_id, by_street) WHERE by_street IS NOT NULL;
CREATE INDEX candidate_by_email_sound ON candidate (workspace_id, by_email_sound) WHERE by_email_sound IS NOT NULL;
CREATE INDEX candidate_by_email_letters ON candidate (workspace_id, by_email_letters) WHERE by_email_letters IS NOT NULL;
CREATE INDEX candidate_by_email_ends ON candidate (workspace_id, by_email_ends) WHERE by_email_ends IS NOT NULL;
CREATE INDEX candidate_by_phone_end ON candidate (workspace_id, by_phone_end) WHERE by_phone_end IS NOT NULL;
CREATE INDEX candidate_by_phone_digits ON candidate (workspace_id, by_phone_digits) WHERE by_phone_digits IS NOT NULL;
CREATE INDEX likely_pair_second ON likely_pair (workspace_id, second_id);
CREATE INDEX likely_pair_dismissal ON likely_pair (workspace_id, dismissal_id);
CREATE INDEX address_group_dismissal ON address_group (workspace_id, dismissal_id);
