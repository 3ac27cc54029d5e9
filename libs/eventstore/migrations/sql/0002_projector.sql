-- Which read models exist, how far each is, who keeps it, and which of its keys are parked.
-- The tables of the read models themselves are made by the projector, one schema per build.

CREATE SCHEMA projector;
GRANT USAGE ON SCHEMA projector TO rollbook_writer, rollbook_projector, rollbook_reader;

CREATE TABLE projector.projections (
    name text NOT NULL,
    build integer NOT NULL,
    code_version integer NOT NULL,
    state text NOT NULL,
    schema_name text NOT NULL,
    sliceable boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    loaded_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT projections_pkey PRIMARY KEY (name, build),
    CONSTRAINT projections_name_check CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
    CONSTRAINT projections_state_check CHECK (state IN ('building', 'live', 'retired', 'failed')),
    CONSTRAINT projections_schema_name_key UNIQUE (schema_name)
);
COMMENT ON TABLE projector.projections IS 'One row per build of a read model; its tables are in schema_name.';
COMMENT ON COLUMN projector.projections.code_version IS 'Projection.version it is folded by; other code leaves it alone.';
COMMENT ON COLUMN projector.projections.loaded_at IS 'Since when it has its indexes and only follows; NULL during a bulk load.';
COMMENT ON COLUMN projector.projections.sliceable IS 'Its rows depend on one stream each, so slices of streams may be shared out.';

-- Queries always find exactly one live build, in the schema rm_<name>.
CREATE UNIQUE INDEX projections_one_live ON projector.projections (name) WHERE state = 'live';
-- A second rebuild continues or replaces the first instead of running beside it.
CREATE UNIQUE INDEX projections_one_building ON projector.projections (name) WHERE state = 'building';

CREATE TABLE projector.checkpoints (
    position bigint NOT NULL DEFAULT 0,
    fence bigint NOT NULL DEFAULT 0,
    leased_until timestamptz,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    build integer NOT NULL,
    lane smallint NOT NULL,
    slice_from smallint NOT NULL,
    slice_to smallint NOT NULL,
    name text NOT NULL,
    owner text,
    trouble text,
    CONSTRAINT checkpoints_pkey PRIMARY KEY (name, build, lane, slice_from),
    CONSTRAINT checkpoints_projection_fkey FOREIGN KEY (name, build)
        REFERENCES projector.projections (name, build) ON DELETE CASCADE,
    CONSTRAINT checkpoints_slices_check CHECK (0 <= slice_from AND slice_from <= slice_to AND slice_to <= 1023)
) WITH (fillfactor = 40);  -- every batch writes the row: let the new version stay on its page
COMMENT ON TABLE projector.checkpoints IS 'Last applied position per build, lane and slice range; the row is the lease as well.';
COMMENT ON COLUMN projector.checkpoints.fence IS 'Rises when the owner changes: a write with an older fence is refused.';
COMMENT ON COLUMN projector.checkpoints.leased_until IS 'By the clock of the database; free when past or NULL.';
COMMENT ON COLUMN projector.checkpoints.trouble IS 'Why it does not move; no personal data. NULL when it does.';

CREATE TABLE projector.loads (
    head bigint NOT NULL,
    total bigint NOT NULL,
    events bigint NOT NULL DEFAULT 0,
    stream_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    build integer NOT NULL,
    version integer NOT NULL DEFAULT 0,
    lane smallint NOT NULL,
    category text NOT NULL DEFAULT '',
    name text NOT NULL,
    CONSTRAINT loads_pkey PRIMARY KEY (name, build, lane),
    CONSTRAINT loads_projection_fkey FOREIGN KEY (name, build)
        REFERENCES projector.projections (name, build) ON DELETE CASCADE
);
COMMENT ON TABLE projector.loads IS 'How far the bulk load of a build is, while its checkpoint still says 0.';
COMMENT ON COLUMN projector.loads.head IS 'Up to where it loads: the checkpoint it ends with.';
COMMENT ON COLUMN projector.loads.total IS 'Events there are to load; events: those loaded, up to this stream, category and version.';

CREATE TABLE projector.workers (
    seen_at timestamptz NOT NULL,
    worker text NOT NULL,
    runs text NOT NULL,
    CONSTRAINT workers_pkey PRIMARY KEY (worker)
);
COMMENT ON TABLE projector.workers IS 'Projector processes that are alive: each leases its fair share of the checkpoints.';
COMMENT ON COLUMN projector.workers.runs IS 'Projections and versions of its code: only workers with the same share out.';

CREATE TABLE projector.parked (
    position bigint NOT NULL,
    key uuid NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    build integer NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    lane smallint NOT NULL,
    retry boolean NOT NULL DEFAULT false,
    name text NOT NULL,
    error text NOT NULL,
    CONSTRAINT parked_pkey PRIMARY KEY (name, build, lane, key),
    CONSTRAINT parked_projection_fkey FOREIGN KEY (name, build)
        REFERENCES projector.projections (name, build) ON DELETE CASCADE
);
COMMENT ON TABLE projector.parked IS 'Keys whose event at position could not be applied, and why; no personal data.';
COMMENT ON COLUMN projector.parked.retry IS 'Asked for by an operator; done by the projector that has the lease.';

CREATE TABLE projector.held (
    position bigint NOT NULL,
    key uuid NOT NULL,
    build integer NOT NULL,
    lane smallint NOT NULL,
    name text NOT NULL,
    CONSTRAINT held_pkey PRIMARY KEY (name, build, lane, key, position),
    CONSTRAINT held_parked_fkey FOREIGN KEY (name, build, lane, key)
        REFERENCES projector.parked (name, build, lane, key) ON DELETE CASCADE
);
COMMENT ON TABLE projector.held IS 'Positions a parked key has yet to apply: the failed event and all that came after.';

GRANT SELECT, INSERT, UPDATE, DELETE
    ON projector.projections, projector.checkpoints, projector.loads, projector.workers, projector.parked, projector.held
    TO rollbook_projector;
-- Read-your-writes: API processes wait on checkpoints.
GRANT SELECT ON projector.projections, projector.checkpoints TO rollbook_writer, rollbook_reader;

-- Closes the tables of a build: readers see rows of the workspace they name in rollbook.workspace_id and no others.
-- Not forced on the owner: that is the projector, which writes for all workspaces, and COPY refuses tables whose
-- policies apply to whoever copies.
CREATE FUNCTION projector.secure(p_schema text)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_table regclass;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO rollbook_reader', p_schema);
    FOR v_table IN
        SELECT c.oid
        FROM pg_class c
        WHERE c.relnamespace = p_schema::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
            AND NOT c.relrowsecurity
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', v_table);
        -- The sub-select is evaluated once per query instead of once per row.
        EXECUTE format(
            'CREATE POLICY reader_workspace ON %s FOR SELECT TO rollbook_reader USING '
            '(workspace_id = (SELECT nullif(current_setting(''rollbook.workspace_id'', true), '''')::uuid))', v_table
        );
        EXECUTE format('GRANT SELECT ON %s TO rollbook_reader', v_table);
    END LOOP;
END
$$;

-- Makes a build the live one and retires the one that was, if its checkpoints are not behind in any lane.
-- Its locks on the checkpoints keep both builds still until COMMIT; no table is locked, so queries never wait.
-- Answers false, having changed nothing, where the build is behind.
CREATE FUNCTION projector.swap(p_name text, p_build integer)
RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    v_live integer;
BEGIN
    SELECT p.build INTO v_live FROM projector.projections p WHERE p.name = p_name AND p.state = 'live' FOR UPDATE;
    PERFORM FROM projector.checkpoints c
    WHERE c.name = p_name AND c.build IN (v_live, p_build)
    ORDER BY c.build, c.lane, c.slice_from
    FOR UPDATE;
    IF EXISTS (
        SELECT FROM projector.checkpoints o
        JOIN projector.checkpoints n ON n.name = o.name AND n.lane = o.lane AND n.build = p_build
        WHERE o.name = p_name AND o.build = v_live AND n.position < o.position
    ) THEN
        RETURN false;
    END IF;
    IF v_live IS NOT NULL THEN
        EXECUTE format('ALTER SCHEMA %I RENAME TO %I', 'rm_' || p_name, 'rm_' || p_name || '_b' || v_live);
        UPDATE projector.projections
        SET state = 'retired', schema_name = 'rm_' || p_name || '_b' || v_live, changed_at = clock_timestamp()
        WHERE name = p_name AND build = v_live;
    END IF;
    EXECUTE format('ALTER SCHEMA %I RENAME TO %I', 'rm_' || p_name || '_b' || p_build, 'rm_' || p_name);
    UPDATE projector.projections
    SET state = 'live', schema_name = 'rm_' || p_name, changed_at = clock_timestamp()
    WHERE name = p_name AND build = p_build;
    -- Whoever kept either build must lease it again, and learns its new schema by that.
    UPDATE projector.checkpoints
    SET fence = fence + 1, owner = NULL, leased_until = NULL, trouble = NULL
    WHERE name = p_name AND build IN (v_live, p_build);
    RETURN true;
END
$$;

-- Compares two builds of the same code table by table: all row counts, and about p_sample rows of each table by primary
-- key, without some columns. Meant for one snapshot in which both builds are equally far.
CREATE FUNCTION projector.differences(p_old text, p_new text, p_sample integer, p_uncompared text[])
RETURNS TABLE (table_name text, old_rows bigint, new_rows bigint, sampled bigint, differing bigint)
LANGUAGE plpgsql
AS $$
DECLARE
    v_key text;
BEGIN
    FOR table_name IN
        SELECT c.relname::text
        FROM pg_class c
        WHERE c.relnamespace = p_new::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT count(*) FROM %I.%I', p_new, table_name) INTO new_rows;
        sampled := 0;
        differing := 0;
        IF to_regclass(format('%I.%I', p_old, table_name)) IS NULL THEN
            old_rows := NULL;
            RETURN NEXT;
            CONTINUE;
        END IF;
        EXECUTE format('SELECT count(*) FROM %I.%I', p_old, table_name) INTO old_rows;
        SELECT string_agg(quote_ident(a.attname), ', ') INTO v_key
        FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = format('%I.%I', p_new, table_name)::regclass AND i.indisprimary;
        IF v_key IS NOT NULL AND old_rows > 0 THEN
            EXECUTE format(
                'SELECT count(*), count(*) FILTER (WHERE to_jsonb(o) - $1 IS DISTINCT FROM to_jsonb(n) - $1) '
                'FROM (SELECT * FROM %I.%I TABLESAMPLE BERNOULLI (%s)) o LEFT JOIN %I.%I n USING (%s)',
                p_old, table_name, least(100, 100.0 * p_sample / old_rows), p_new, table_name, v_key
            ) INTO sampled, differing USING p_uncompared;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
