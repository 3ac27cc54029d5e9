-- The segment read model: lists and segments with their definitions over time, who is and was in them, and when time
-- alone may change that. Names are unqualified: every build of the read model is a schema of its own.

CREATE TABLE segment (
    workspace_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    is_list boolean NOT NULL,
    name text COLLATE "C" NOT NULL,
    filed_name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    archived_at timestamptz,
    CONSTRAINT segment_pkey PRIMARY KEY (workspace_id, segment_id)
);
COMMENT ON TABLE segment IS 'Dynamic segments and static lists as they are now.';
COMMENT ON COLUMN segment.filed_name IS 'Folded (contacts.folding): the order of the list of lists.';

CREATE TABLE segment_count (
    workspace_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    members bigint NOT NULL,
    CONSTRAINT segment_count_pkey PRIMARY KEY (workspace_id, segment_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE segment_count IS 'How many are in each now. Moved by the same transaction as the memberships.';

CREATE TABLE definition (
    workspace_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    from_position bigint NOT NULL,
    to_position bigint NOT NULL DEFAULT 9223372036854775807,
    is_list boolean NOT NULL,
    is_kept boolean NOT NULL,
    filter jsonb,
    region text COLLATE "C",
    CONSTRAINT definition_pkey PRIMARY KEY (workspace_id, segment_id, from_position)
);
COMMENT ON TABLE definition IS 'What each segment meant from one event to another.';
COMMENT ON COLUMN definition.to_position IS 'Exclusive; the greatest number there is while it is still so.';
COMMENT ON COLUMN definition.is_kept IS 'False while a segment is archived: nobody is in it then. Lists keep their members.';
COMMENT ON COLUMN definition.filter IS 'As it was sent; NULL of a list.';
COMMENT ON COLUMN definition.region IS 'Whose national phone numbers the filter means: the workspace''s when it was defined.';

CREATE TABLE scope (
    workspace_id uuid NOT NULL,
    revision bigint NOT NULL,
    state bytea NOT NULL,
    CONSTRAINT scope_pkey PRIMARY KEY (workspace_id)
);
COMMENT ON TABLE scope IS 'What the filters of a workspace are read with: its attributes, region and time zone.';
COMMENT ON COLUMN scope.revision IS 'The last event after which a filter may mean something else.';

CREATE TABLE membership (
    workspace_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    from_at timestamptz NOT NULL,
    from_position bigint NOT NULL,
    from_cause text COLLATE "C" NOT NULL,
    from_event uuid,
    to_at timestamptz NOT NULL DEFAULT 'infinity',
    to_position bigint NOT NULL DEFAULT 9223372036854775807,
    to_cause text COLLATE "C",
    to_event uuid,
    CONSTRAINT membership_pkey PRIMARY KEY (workspace_id, segment_id, contact_id, from_at, from_position)
) WITH (fillfactor = 90);
COMMENT ON TABLE membership IS 'Who was in what, from when to when. In force at (time, position) where (from_at, from_position) <= it < (to_at, to_position), compared in this order.';
COMMENT ON COLUMN membership.from_position IS 'The event that brought the contact in; where time did, the last event before from_at.';
COMMENT ON COLUMN membership.from_cause IS 'Type of that event, or clock.';
COMMENT ON COLUMN membership.from_event IS 'Its id; NULL where it was the clock.';

CREATE TABLE watch (
    workspace_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    lane smallint NOT NULL,
    flip_at timestamptz NOT NULL,
    CONSTRAINT watch_pkey PRIMARY KEY (workspace_id, contact_id, segment_id)
) WITH (fillfactor = 80);
COMMENT ON TABLE watch IS 'When time alone may next change whether a contact is in a segment.';

CREATE TABLE change (
    lane smallint NOT NULL,
    at timestamptz NOT NULL,
    position bigint NOT NULL,
    segment_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    entered boolean NOT NULL,
    cause text COLLATE "C" NOT NULL,
    event_id uuid,
    CONSTRAINT change_pkey PRIMARY KEY (lane, at, position, segment_id, contact_id)
);
COMMENT ON TABLE change IS 'Who entered and left segments, in the order of the primary key, which is also the order of commits: what the bridge publishes. Lists have none.';

CREATE TABLE filling (
    workspace_id uuid NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL,
    lane smallint NOT NULL,
    cause text COLLATE "C" NOT NULL,
    event_id uuid NOT NULL,
    segment_ids uuid[] NOT NULL,
    scope bytea NOT NULL,
    mark uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    counted bigint NOT NULL DEFAULT 0,
    is_done boolean NOT NULL DEFAULT false,
    CONSTRAINT filling_pkey PRIMARY KEY (workspace_id, position)
);
COMMENT ON TABLE filling IS 'Events after which segments of a large workspace mean something else, and how far their contacts were asked since, in the order of ids.';
COMMENT ON COLUMN filling.scope IS 'As scope.state was then: what the filters of that moment are read with.';
COMMENT ON COLUMN filling.mark IS 'Contacts up to it were asked.';
COMMENT ON COLUMN filling.counted IS 'How many these are.';

CREATE TABLE filled_early (
    workspace_id uuid NOT NULL,
    position bigint NOT NULL,
    contact_id uuid NOT NULL,
    CONSTRAINT filled_early_pkey PRIMARY KEY (workspace_id, contact_id, position)
);
COMMENT ON TABLE filled_early IS 'Contacts behind the mark of a filling that were asked already, because something else happened to them.';

CREATE TABLE first_change (
    lane smallint NOT NULL,
    defined_at timestamptz NOT NULL,
    defined_position bigint NOT NULL,
    contact_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    at timestamptz NOT NULL,
    position bigint NOT NULL,
    workspace_id uuid NOT NULL,
    entered boolean NOT NULL,
    cause text COLLATE "C" NOT NULL,
    event_id uuid,
    CONSTRAINT first_change_pkey PRIMARY KEY (lane, defined_at, defined_position, contact_id, segment_id, at)
);
COMMENT ON TABLE first_change IS 'Who entered and left because of a filling: what the bridge publishes when it has nothing else to say. As far as the mark, commits are in the order of the primary key.';
