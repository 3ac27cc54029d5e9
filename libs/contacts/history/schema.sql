-- The history read model: one row per version of the row that `contact` showed, with its validity in positions and times.
-- Names are unqualified: every build of the read model is a schema of its own. The tables of addresses are those of the
-- contact read model (`contact/standing_schema.sql`); here `contact_address` says who ever had one.

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

CREATE TABLE contact_history (
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
    from_position bigint NOT NULL,
    from_time timestamptz NOT NULL,
    to_position bigint NOT NULL DEFAULT 9223372036854775807,
    to_time timestamptz NOT NULL DEFAULT 'infinity',
    search_is_new boolean NOT NULL,
    -- Also finds what a contact was at a position: its first row with a later end.
    CONSTRAINT contact_history_pkey PRIMARY KEY (workspace_id, contact_id, to_position)
) PARTITION BY RANGE (to_position);
COMMENT ON TABLE contact_history IS 'Versions of profiles. The columns up to state mean what they mean in the contact read model.';
COMMENT ON COLUMN contact_history.position IS 'Same as from_position: the event that made this version.';
COMMENT ON COLUMN contact_history.from_position IS 'Valid at a position p where from_position <= p < to_position.';
COMMENT ON COLUMN contact_history.to_position IS 'The greatest number there is while it is still valid.';
COMMENT ON COLUMN contact_history.search_is_new IS 'Whether search differs from that of the version before: the search box looks through these only.';
COMMENT ON COLUMN contact_history.to_time IS 'When the event at to_position was recorded; infinity while it is still valid.';

CREATE TABLE contact_history_past PARTITION OF contact_history FOR VALUES FROM (MINVALUE) TO (9223372036854775807);
COMMENT ON TABLE contact_history_past IS 'Versions that were replaced. Only ever added to, but for erasure.';
CREATE TABLE contact_history_now PARTITION OF contact_history FOR VALUES FROM (9223372036854775807) TO (MAXVALUE);
COMMENT ON TABLE contact_history_now IS 'What is valid still: one row per contact.';

CREATE TABLE history_member (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    state bytea NOT NULL,
    CONSTRAINT history_member_pkey PRIMARY KEY (workspace_id, contact_id)
);
COMMENT ON TABLE history_member IS 'What merged contacts say themselves, the one that stands for the others included. Of all others the row says it.';

CREATE TABLE history_kin (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    root_id uuid NOT NULL,
    CONSTRAINT history_kin_pkey PRIMARY KEY (contact_id, root_id)
);
COMMENT ON TABLE history_kin IS 'Contacts that were ever shown as part of another one, which an erasure has to reach.';

CREATE TABLE history_gone (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    takes_room boolean NOT NULL,
    CONSTRAINT history_gone_pkey PRIMARY KEY (workspace_id, contact_id)
);
COMMENT ON TABLE history_gone IS 'Contacts that were erased: no version of them is left, nothing but that they were there.';
COMMENT ON COLUMN history_gone.takes_room IS 'As of the last event read: in a build made later they count against the limit of the plan until they are erased.';

CREATE TABLE history_room (
    workspace_id uuid NOT NULL,
    contacts bigint NOT NULL,
    CONSTRAINT history_room_pkey PRIMARY KEY (workspace_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE history_room IS 'How many contacts take room in the plan of each workspace.';

-- The second wall, as `own_contact` is for the present.
CREATE VIEW own_contact_history AS
SELECT
    workspace_id, contact_id, created_at, changed_at, deleted_at, position, version, blocked, campaign_opt_in,
    external_id, messaging_id, first_name, last_name, full_name, filed_name, email, email_status, phone, phone_status,
    country, language, time_zone, assignee, source, tags, lists, categories, channels, attributes,
    extras, absorbed, search, state,
    from_position, from_time, to_position, to_time, search_is_new
FROM contact_history
WHERE workspace_id = (SELECT NULLIF(current_setting('rollbook.workspace_id', true), '')::uuid);
COMMENT ON VIEW own_contact_history IS 'The versions of the workspace of the session; nothing where none is set.';
GRANT SELECT ON own_contact_history TO rollbook_reader;
