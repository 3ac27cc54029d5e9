-- The contact read model: one row per contact, present and deleted. Columns are for finding, `state` is for showing.
-- Names are unqualified: every build of the read model is a schema of its own.

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

CREATE TABLE contact (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    deleted_at timestamptz,
    position bigint NOT NULL,
    version integer NOT NULL,
    blocked boolean NOT NULL,
    campaign_opt_in boolean,
    external_id text COLLATE "C",
    messaging_id text COLLATE "C",
    first_name text COLLATE "C",
    last_name text COLLATE "C",
    full_name text COLLATE "C",
    filed_name text COLLATE "C",
    email text COLLATE "C",
    email_status text COLLATE "C",
    phone text COLLATE "C",
    phone_status text COLLATE "C",
    country text COLLATE "C",
    language text COLLATE "C",
    time_zone text COLLATE "C",
    assignee text COLLATE "C",
    source text COLLATE "C",
    tags text[] COLLATE "C" NOT NULL,
    lists uuid[] NOT NULL,
    categories text[] COLLATE "C" NOT NULL,
    channels text[] COLLATE "C" NOT NULL,
    attributes jsonb NOT NULL,
    extras jsonb,
    absorbed uuid[],
    search text COLLATE "C" NOT NULL,
    state bytea NOT NULL,
    CONSTRAINT contact_pkey PRIMARY KEY (workspace_id, contact_id)
) WITH (fillfactor = 85);
COMMENT ON TABLE contact IS 'Profiles: contacts that stand for themselves, and for those they absorbed. No index may hold what most events change, so that most updates are HOT.';
COMMENT ON COLUMN contact.position IS 'Last event in this row.';
COMMENT ON COLUMN contact.first_name IS 'Folded (contacts.folding), as are last_name, full_name, assignee, tags, categories and the texts in attributes.';
COMMENT ON COLUMN contact.filed_name IS 'Last name, tab, first name: the order of an address book.';
COMMENT ON COLUMN contact.email IS 'Normal form (contacts.emails); what was typed is in state.';
COMMENT ON COLUMN contact.email_status IS 'NULL where there is no e-mail; the same for phone_status.';
COMMENT ON COLUMN contact.channels IS 'Kinds of the connected channels, each once.';
COMMENT ON COLUMN contact.extras IS 'What filters ask for and no column holds (contacts.contact.extras); NULL for none.';
COMMENT ON COLUMN contact.absorbed IS 'All that it stands for beside itself; NULL for none.';
COMMENT ON COLUMN contact.search IS 'What the search box looks in (contacts.contact.search).';
COMMENT ON COLUMN contact.state IS 'The folded contact as msgpack (contacts.contact.state).';

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
COMMENT ON TABLE contact_member IS 'What merged contacts say themselves, the one that stands for the others included. Absorbed ones have no row in contact.';
COMMENT ON COLUMN contact_member.root_id IS 'The contact that stands for it: itself, or one with a row in contact.';

CREATE TABLE contact_recency (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    changed_at timestamptz NOT NULL,
    deleted boolean NOT NULL,
    CONSTRAINT contact_recency_pkey PRIMARY KEY (workspace_id, contact_id)
) WITH (fillfactor = 85);
COMMENT ON TABLE contact_recency IS 'What nearly every event changes and lists are sorted by, apart from the wide row and its indexes.';

CREATE TABLE contact_count (
    workspace_id uuid NOT NULL,
    deleted boolean NOT NULL,
    email_status text COLLATE "C" NOT NULL,
    phone_status text COLLATE "C" NOT NULL,
    contacts bigint NOT NULL,
    CONSTRAINT contact_count_pkey PRIMARY KEY (workspace_id, deleted, email_status, phone_status)
) WITH (fillfactor = 50);
COMMENT ON TABLE contact_count IS 'How many contacts have each combination of statuses; an empty status is no address. Moved by the same transaction as the rows.';

-- The second wall for what row-level security makes slow: LIKE and the array and jsonb operators are not leakproof, so
-- behind a policy no index and no statistics serve them. This view belongs to the projector, whom no policy binds, and
-- filters by itself. See decisions/0005-searches-go-through-a-view.md.
CREATE VIEW own_contact AS
SELECT
    workspace_id, contact_id, created_at, changed_at, deleted_at, position, version, blocked, campaign_opt_in,
    external_id, messaging_id, first_name, last_name, full_name, filed_name, email, email_status, phone, phone_status,
    country, language, time_zone, assignee, source, tags, lists, categories, channels, attributes,
    extras, absorbed, search, state
FROM contact
WHERE workspace_id = (SELECT NULLIF(current_setting('rollbook.workspace_id', true), '')::uuid);
COMMENT ON VIEW own_contact IS 'The contacts of the workspace of the session; nothing where none is set.';
GRANT SELECT ON own_contact TO rollbook_reader;
