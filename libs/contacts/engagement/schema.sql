-- The engagement read model: what activity says of each profile now, and what it said at every earlier position.
-- Names are unqualified: every build of the read model is a schema of its own.

CREATE TABLE engagement (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    from_position bigint NOT NULL,
    conversation_status text COLLATE "C",
    conversation_assignee text COLLATE "C",
    conversation_opened_at timestamptz,
    last_message_at timestamptz,
    last_incoming_at timestamptz,
    last_interaction_at timestamptz,
    last_channel text COLLATE "C",
    last_message_preview text COLLATE "C",
    labels text[] COLLATE "C" NOT NULL,
    fields jsonb NOT NULL,
    email_rating double precision,
    shown bytea NOT NULL,
    own bytea NOT NULL,
    CONSTRAINT engagement_pkey PRIMARY KEY (workspace_id, contact_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE engagement IS 'One row per profile that anything is known of; absorbed contacts have none. Columns are for finding, shown is for showing.';
COMMENT ON COLUMN engagement.from_position IS 'The event since which what is shown has been so; engagement_history has the row, too.';
COMMENT ON COLUMN engagement.conversation_assignee IS 'Folded (contacts.folding), as are last_message_preview, labels and the texts in fields.';
COMMENT ON COLUMN engagement.shown IS 'As msgpack (contacts.engagement.state.Engagement).';
COMMENT ON COLUMN engagement.own IS 'What the own activity of the contact adds up to, as msgpack (contacts.engagement.state.Tally).';

CREATE TABLE engagement_member (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    parent_id uuid,
    root_id uuid NOT NULL,
    own bytea NOT NULL,
    CONSTRAINT engagement_member_pkey PRIMARY KEY (workspace_id, contact_id)
);
COMMENT ON TABLE engagement_member IS 'Merged contacts, the one that stands for the others included: who absorbed whom, and what the own activity of each adds up to.';

CREATE TABLE engagement_history (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    from_position bigint NOT NULL,
    to_position bigint NOT NULL,
    from_time timestamptz NOT NULL,
    to_time timestamptz NOT NULL,
    conversation_status text COLLATE "C",
    conversation_assignee text COLLATE "C",
    conversation_opened_at timestamptz,
    last_message_at timestamptz,
    last_incoming_at timestamptz,
    last_interaction_at timestamptz,
    last_channel text COLLATE "C",
    last_message_preview text COLLATE "C",
    labels text[] COLLATE "C" NOT NULL,
    fields jsonb NOT NULL,
    email_rating double precision,
    shown bytea NOT NULL,
    made_of uuid[],
    parts bytea,
    CONSTRAINT engagement_history_pkey PRIMARY KEY (workspace_id, contact_id, from_position)
) WITH (fillfactor = 85);
COMMENT ON TABLE engagement_history IS 'Every version of every row of engagement. A moment p is shown by the row with from_position <= p and to_position > p.';
COMMENT ON COLUMN engagement_history.to_position IS 'Exclusive; the largest bigint, and to_time infinity, where it is still so.';
COMMENT ON COLUMN engagement_history.made_of IS 'Whose activity is in it, where that is not the contact''s own alone.';
COMMENT ON COLUMN engagement_history.parts IS 'The tally of each of made_of as msgpack, so that an erased contact can be taken out of the past of others.';

-- As own_contact: the projector's, so that no policy keeps the planner from an index. See
-- decisions/0005-searches-go-through-a-view.md.
CREATE VIEW own_engagement AS
SELECT
    workspace_id, contact_id, conversation_status, conversation_assignee, conversation_opened_at, last_message_at,
    last_incoming_at, last_interaction_at, last_channel, last_message_preview, labels, fields, email_rating, shown
FROM engagement
WHERE workspace_id = (SELECT NULLIF(current_setting('rollbook.workspace_id', true), '')::uuid);
COMMENT ON VIEW own_engagement IS 'The engagement of the workspace of the session; nothing where none is set.';
GRANT SELECT ON own_engagement TO rollbook_reader;

CREATE VIEW own_engagement_history AS
SELECT
    workspace_id, contact_id, from_position, to_position, from_time, to_time, conversation_status,
    conversation_assignee, conversation_opened_at, last_message_at, last_incoming_at, last_interaction_at,
    last_channel, last_message_preview, labels, fields, email_rating, shown
FROM engagement_history
WHERE workspace_id = (SELECT NULLIF(current_setting('rollbook.workspace_id', true), '')::uuid);
COMMENT ON VIEW own_engagement_history IS 'The same of every earlier moment.';
GRANT SELECT ON own_engagement_history TO rollbook_reader;
