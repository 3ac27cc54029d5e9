-- The activity read model: what happened to each contact, by its own stream, so that merges and unmerges move no row.
-- Names are unqualified: every build of the read model is a schema of its own.

CREATE TABLE activity (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    position bigint NOT NULL,
    category text COLLATE "C" NOT NULL,
    activity_id text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    addressed_as jsonb NOT NULL,
    data jsonb NOT NULL,
    folded jsonb,
    -- Serves every timeline: one category of one contact, newest first. Filters have one more (indexes.sql).
    CONSTRAINT activity_pkey PRIMARY KEY (workspace_id, contact_id, category, occurred_at, activity_id, source)
) PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE activity IS 'One partition per month (UTC), made by the projection when something first falls into it.';
COMMENT ON COLUMN activity.category IS 'campaigns, events, orders or conversations (contacts.activity.kinds).';
COMMENT ON COLUMN activity.folded IS 'The texts of data that folding changes, folded (contacts.activity.folding); NULL for none.';

CREATE TABLE activity_older PARTITION OF activity FOR VALUES FROM (MINVALUE) TO ('2020-01-01 00:00:00+00');
COMMENT ON TABLE activity_older IS 'Everything before the first month, so that imported histories cannot make hundreds of partitions.';

CREATE TABLE activity_month (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    category text COLLATE "C" NOT NULL,
    month date NOT NULL,
    activities integer NOT NULL,
    CONSTRAINT activity_month_pkey PRIMARY KEY (workspace_id, contact_id, category, month)
) WITH (fillfactor = 70);
COMMENT ON TABLE activity_month IS 'How much a contact has in which month: totals, and which partitions a page can be in.';

CREATE TABLE activity_cut (
    workspace_id uuid NOT NULL,
    before timestamptz NOT NULL,
    CONSTRAINT activity_cut_pkey PRIMARY KEY (workspace_id)
);
COMMENT ON TABLE activity_cut IS 'From when on a workspace keeps activity here (contacts.activity.retention); the log has what came before.';
