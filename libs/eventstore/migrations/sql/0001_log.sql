-- The log: events in dense positions per lane, and what may only change together with them.
-- Nothing here is ever updated but claims, snapshots and data keys; rollbook_writer cannot touch a written event.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['rollbook_writer', 'rollbook_projector', 'rollbook_reader']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- roles belong to the whole cluster: another database is being migrated at the same time
            END;
        END IF;
        IF NOT pg_has_role(current_user, role_name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
        END IF;
    END LOOP;
    -- Every build of a read model is a schema of its own, made by the projector.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO rollbook_projector', current_database());
END
$$;

CREATE SCHEMA log;
CREATE SCHEMA keys;
GRANT USAGE ON SCHEMA log TO rollbook_writer, rollbook_projector;
GRANT USAGE ON SCHEMA keys TO rollbook_writer, rollbook_projector;

CREATE TABLE log.lanes (
    lane smallint NOT NULL,
    slice_from smallint NOT NULL,
    slice_to smallint NOT NULL,
    CONSTRAINT lanes_pkey PRIMARY KEY (lane)
);
COMMENT ON TABLE log.lanes IS 'Which range of workspace slices is ordered in which lane; ranges do not overlap.';
INSERT INTO log.lanes (lane, slice_from, slice_to) VALUES (0, 0, 1023);

CREATE TABLE log.events (
    position bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    version integer NOT NULL,
    lane smallint NOT NULL,
    slice smallint NOT NULL,
    schema_version smallint NOT NULL,
    workspace_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    event_id uuid NOT NULL,
    subject_id uuid,
    category text NOT NULL,
    type text NOT NULL,
    metadata bytea NOT NULL,
    payload bytea NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (lane, position)
);
COMMENT ON TABLE log.events IS 'The log. Positions of a lane are 1, 2, 3 … without holes, in commit order.';
COMMENT ON COLUMN log.events.slice IS 'Hash slice of the stream id, 0 to 1023: how projectors share the work.';
COMMENT ON COLUMN log.events.subject_id IS 'Whose data key encrypts the payload; NULL where it is readable msgpack.';
COMMENT ON COLUMN log.events.recorded_at IS 'Time of the commit batch; never decreases within a lane.';

-- Optimistic concurrency: the second writer of a version is refused here even if every check above were wrong.
CREATE UNIQUE INDEX events_stream_version ON log.events (lane, stream_id, category, version);

CREATE TABLE log.batches (
    lane smallint NOT NULL,
    last_position bigint NOT NULL,
    first_position bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    chain bytea NOT NULL,
    digests bytea NOT NULL,
    CONSTRAINT batches_pkey PRIMARY KEY (lane, last_position)
);
COMMENT ON TABLE log.batches IS 'One row per commit: the as-of index and the hash chain over the stored (encrypted) events.';
COMMENT ON COLUMN log.batches.chain IS 'SHA-256 over the previous chain, the range, the time and every event digest.';
COMMENT ON COLUMN log.batches.digests IS 'First 8 bytes of each event digest, so that a broken chain can name the position.';

-- As of a time: the last batch recorded at or before it.
CREATE INDEX batches_recorded_at ON log.batches (lane, recorded_at, last_position);

CREATE TABLE log.idempotency (
    workspace_id uuid NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    last_position bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    event_count integer NOT NULL,
    lane smallint NOT NULL,
    CONSTRAINT idempotency_pkey PRIMARY KEY (workspace_id, key)
);
COMMENT ON TABLE log.idempotency IS 'What each idempotency key wrote; kept as long as the log, and the inbox of ingest as well.';

CREATE TABLE log.claims (
    workspace_id uuid NOT NULL,
    kind text NOT NULL,
    value_hmac bytea NOT NULL,
    holder uuid NOT NULL,
    CONSTRAINT claims_pkey PRIMARY KEY (workspace_id, value_hmac, kind)
);
COMMENT ON TABLE log.claims IS 'Unique values (external id, messaging id) and the stream that holds each.';

CREATE TABLE log.snapshots (
    lane smallint NOT NULL,
    stream_id uuid NOT NULL,
    category text NOT NULL,
    version integer NOT NULL,
    schema_version smallint NOT NULL,
    subject_id uuid,
    payload bytea NOT NULL,
    CONSTRAINT snapshots_pkey PRIMARY KEY (lane, stream_id, category)
);
COMMENT ON TABLE log.snapshots IS 'Latest folded state of a long stream, encrypted like its events; disposable.';

CREATE TABLE keys.subject_keys (
    subject_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    wrapped bytea NOT NULL,
    CONSTRAINT subject_keys_pkey PRIMARY KEY (subject_id)
);
COMMENT ON TABLE keys.subject_keys IS 'Data key per subject, wrapped by the master key. Deleting the row is the erasure.';

-- What the chain says of one event: every stored column but its place and time, which the batch covers.
CREATE FUNCTION log.digest(
    workspace_id uuid, category text, stream_id uuid, version integer, event_id uuid, type text,
    schema_version smallint, subject_id uuid, metadata bytea, payload bytea
)
RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sha256(
    uuid_send(workspace_id) || convert_to(category, 'UTF8') || '\x00'::bytea || uuid_send(stream_id)
    || int4send(version) || uuid_send(event_id) || convert_to(type, 'UTF8') || '\x00'::bytea
    || int2send(schema_version) || coalesce('\x01'::bytea || uuid_send(subject_id), '\x00'::bytea)
    || int4send(length(metadata)) || metadata || payload
);

-- The next link: covers the previous one, the range of positions, the time in microseconds and the digests in order.
CREATE FUNCTION log.chain(
    previous bytea, first_position bigint, last_position bigint, recorded_at timestamptz, digests bytea
)
RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sha256(
    previous || int8send(first_position) || int8send(last_position)
    || int8send((extract(epoch FROM recorded_at) * 1000000)::bigint) || digests
);

-- The rows of one commit batch, under the lane lock that the caller holds. p_versions: version of each stream before it.
-- Commands in p_rejected, claims in p_held (the holder has them already) are left out. A unique violation here means
-- that a check was needed and not made.
CREATE FUNCTION log.write_batch(
    p_lane smallint, p_versions integer[], p_rejected integer[], p_held integer[],
    c_workspace uuid[], c_key text[], c_request bytea[], c_events integer[],
    s_command integer[], s_stream uuid[], s_category text[], s_before integer[], s_slice smallint[], s_subject uuid[],
    e_write integer[], e_id uuid[], e_type text[], e_schema smallint[], e_metadata bytea[], e_payload bytea[],
    k_command integer[], k_kind text[], k_value bytea[], k_holder uuid[], k_take boolean[],
    d_command integer[], d_subject uuid[], d_wrapped bytea[],
    OUT head bigint, OUT batch_time timestamptz
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_chain bytea;
    v_last bigint;
    v_digests bytea;
    v_short bytea;
BEGIN
    SELECT b.last_position, b.chain, b.recorded_at INTO head, v_chain, batch_time
    FROM log.batches b
    WHERE b.lane = p_lane
    ORDER BY b.last_position DESC
    LIMIT 1;
    head := coalesce(head, 0);
    batch_time := greatest(clock_timestamp(), batch_time);

    WITH written AS (
        INSERT INTO log.events (
            position, recorded_at, version, lane, slice, schema_version, workspace_id, stream_id, event_id,
            subject_id, category, type, metadata, payload
        )
        SELECT head + row_number() OVER (), batch_time, p_versions[e.write] + (e.n - s_before[e.write])::integer,
               p_lane, s_slice[e.write], e.schema_version, c_workspace[s_command[e.write]], s_stream[e.write],
               e.event_id, s_subject[e.write], s_category[e.write], e.type, e.metadata, e.payload
        FROM unnest(e_write, e_id, e_type, e_schema, e_metadata, e_payload) WITH ORDINALITY
            AS e (write, event_id, type, schema_version, metadata, payload, n)
        WHERE s_command[e.write] <> ALL (p_rejected)
        -- The expression of log.digest, written out: a call per row costs as much as the insert.
        RETURNING position, sha256(
            uuid_send(workspace_id) || convert_to(category, 'UTF8') || '\x00'::bytea || uuid_send(stream_id)
            || int4send(version) || uuid_send(event_id) || convert_to(type, 'UTF8') || '\x00'::bytea
            || int2send(schema_version) || coalesce('\x01'::bytea || uuid_send(subject_id), '\x00'::bytea)
            || int4send(length(metadata)) || metadata || payload
        ) AS digest
    )
    SELECT max(w.position), string_agg(w.digest, '' ORDER BY w.position),
           string_agg(substr(w.digest, 1, 8), '' ORDER BY w.position)
    INTO v_last, v_digests, v_short
    FROM written w;

    IF v_last IS NOT NULL THEN
        INSERT INTO log.batches (lane, last_position, first_position, recorded_at, chain, digests)
        VALUES (
            p_lane, v_last, head + 1, batch_time,
            log.chain(coalesce(v_chain, ''), head + 1, v_last, batch_time, v_digests), v_short
        );
    END IF;

    INSERT INTO log.idempotency (workspace_id, key, request_hash, last_position, recorded_at, event_count, lane)
    SELECT c.workspace_id, c.key, c.request_hash, c.last_position, batch_time, c.events, p_lane
    FROM (
        SELECT u.workspace_id, u.key, u.request_hash, u.events, head + sum(u.events) OVER (ORDER BY u.n) AS last_position
        FROM unnest(c_workspace, c_key, c_request, c_events) WITH ORDINALITY
            AS u (workspace_id, key, request_hash, events, n)
        WHERE u.n <> ALL (p_rejected)
    ) c
    WHERE c.key IS NOT NULL;

    IF false = ANY (k_take) THEN
        DELETE FROM log.claims x
        USING unnest(k_command, k_kind, k_value, k_holder, k_take) AS k (command, kind, value_hmac, holder, take)
        WHERE NOT k.take AND k.command <> ALL (p_rejected)
            AND x.workspace_id = c_workspace[k.command] AND x.kind = k.kind AND x.value_hmac = k.value_hmac
            AND x.holder = k.holder;
    END IF;
    IF cardinality(k_command) > 0 THEN
        INSERT INTO log.claims (workspace_id, kind, value_hmac, holder)
        SELECT c_workspace[k.command], k.kind, k.value_hmac, k.holder
        FROM unnest(k_command, k_kind, k_value, k_holder, k_take) WITH ORDINALITY
            AS k (command, kind, value_hmac, holder, take, n)
        WHERE k.take AND k.command <> ALL (p_rejected) AND k.n <> ALL (p_held);
    END IF;

    IF cardinality(d_command) > 0 THEN
        INSERT INTO keys.subject_keys (subject_id, workspace_id, wrapped)
        SELECT d.subject_id, c_workspace[d.command], d.wrapped
        FROM unnest(d_command, d_subject, d_wrapped) AS d (command, subject_id, wrapped)
        WHERE d.command <> ALL (p_rejected);
    END IF;
END
$$;

-- One commit batch in the hope that nothing is refused: no look before the write. Any refusal is a unique violation of
-- the whole batch, and the appender sends it again to log.append_checked. The statement is its own transaction.
-- Commands of one batch share no stream, idempotency key or claim (the appender sees to that).
CREATE FUNCTION log.append(
    p_lane smallint,
    c_workspace uuid[], c_key text[], c_request bytea[], c_events integer[],
    s_command integer[], s_stream uuid[], s_category text[], s_expected integer[], s_before integer[],
    s_slice smallint[], s_subject uuid[],
    e_write integer[], e_id uuid[], e_type text[], e_schema smallint[], e_metadata bytea[], e_payload bytea[],
    k_command integer[], k_kind text[], k_value bytea[], k_holder uuid[], k_take boolean[],
    d_command integer[], d_subject uuid[], d_wrapped bytea[]
)
RETURNS TABLE (
    command integer, verdict text, at_position bigint, amount integer, at_time timestamptz, request bytea, holder uuid
)
LANGUAGE plpgsql
AS $$
BEGIN
    -- Taken first and as its own statement: each statement below gets a snapshot that shows all earlier commits of
    -- the lane, so that no check can race and head + 1 is right. Held through the flush of COMMIT.
    PERFORM pg_advisory_xact_lock(1382836331, p_lane);
    -- That a stream has gone past its expected version is a unique violation below; that it has not yet reached it, or
    -- is another workspace's, is not.
    IF EXISTS (
        SELECT FROM unnest(s_command, s_stream, s_category, s_expected) AS w (command, stream_id, category, expected)
        WHERE w.expected > 0 AND c_workspace[w.command] IS DISTINCT FROM (
            SELECT e.workspace_id
            FROM log.events e
            WHERE e.lane = p_lane AND e.stream_id = w.stream_id AND e.category = w.category AND e.version = w.expected
        )
    ) THEN
        RAISE unique_violation USING MESSAGE = 'a stream is not at its expected version';
    END IF;
    RETURN QUERY
    SELECT 0, NULL::text, w.head, 0, w.batch_time, NULL::bytea, NULL::uuid
    FROM log.write_batch(
        p_lane, s_expected, '{}', '{}', c_workspace, c_key, c_request, c_events, s_command, s_stream, s_category,
        s_before, s_slice, s_subject, e_write, e_id, e_type, e_schema, e_metadata, e_payload, k_command, k_kind,
        k_value, k_holder, k_take, d_command, d_subject, d_wrapped
    ) w;
END
$$;

-- One commit batch, decided command by command: the rejected ones are left out, the others are written.
-- Commands that take any version of a stream, or only look at one, may share it: many facts about one contact cost one
-- flush. The appender lets nothing else share a stream.
-- Answers one row with command 0 (head before the batch and its time), then one row per rejected command: of a
-- duplicate what was written then, of a conflict the stream and its version, of a taken claim its kind and holder.
CREATE FUNCTION log.append_checked(
    p_lane smallint,
    c_workspace uuid[], c_key text[], c_request bytea[], c_events integer[],
    s_command integer[], s_stream uuid[], s_category text[], s_expected integer[], s_before integer[],
    s_slice smallint[], s_subject uuid[],
    e_write integer[], e_id uuid[], e_type text[], e_schema smallint[], e_metadata bytea[], e_payload bytea[],
    k_command integer[], k_kind text[], k_value bytea[], k_holder uuid[], k_take boolean[],
    d_command integer[], d_subject uuid[], d_wrapped bytea[]
)
RETURNS TABLE (
    command integer, verdict text, at_position bigint, amount integer, at_time timestamptz, request bytea, holder uuid
)
LANGUAGE plpgsql
-- The planner knows nothing of the size of the arrays: index lookups are always right for them.
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_versions integer[];
    v_rejected integer[] := '{}';
    v_found integer[];
    v_held integer[] := '{}';
BEGIN
    PERFORM pg_advisory_xact_lock(1382836331, p_lane);

    SELECT array_agg(c.n::integer) INTO v_found
    FROM unnest(c_workspace, c_key) WITH ORDINALITY AS c (workspace_id, key, n)
    JOIN log.idempotency i ON i.workspace_id = c.workspace_id AND i.key = c.key;
    IF v_found IS NOT NULL THEN
        v_rejected := v_found;
        RETURN QUERY
        SELECT c.n, 'duplicate', i.last_position, i.event_count, i.recorded_at, i.request_hash, NULL::uuid
        FROM unnest(v_found) AS c (n)
        JOIN log.idempotency i ON i.workspace_id = c_workspace[c.n] AND i.key = c_key[c.n];
    END IF;

    -- A stream of another workspace is a conflict whatever was expected, and looks as if it had no events.
    SELECT array_agg(s.actual ORDER BY s.n),
           array_agg(s.n::integer) FILTER (WHERE s.foreign_stream OR s.expected >= 0 AND s.expected <> s.actual)
    INTO v_versions, v_found
    FROM (
        SELECT w.n, w.expected, coalesce(l.workspace_id <> c_workspace[w.command], false) AS foreign_stream,
               CASE WHEN l.workspace_id = c_workspace[w.command] THEN l.version ELSE 0 END AS actual
        FROM unnest(s_command, s_stream, s_category, s_expected) WITH ORDINALITY
            AS w (command, stream_id, category, expected, n)
        LEFT JOIN LATERAL (
            SELECT e.version, e.workspace_id
            FROM log.events e
            WHERE e.lane = p_lane AND e.stream_id = w.stream_id AND e.category = w.category
            ORDER BY e.version DESC
            LIMIT 1
        ) l ON true
    ) s;
    IF v_found IS NOT NULL THEN
        RETURN QUERY
        SELECT DISTINCT ON (s_command[f.n]) s_command[f.n], 'conflict', NULL::bigint, v_versions[f.n],
               NULL::timestamptz, convert_to(s_category[f.n], 'UTF8'), s_stream[f.n]
        FROM unnest(v_found) AS f (n)
        WHERE s_command[f.n] <> ALL (v_rejected)
        ORDER BY s_command[f.n], f.n;
        v_rejected := v_rejected || ARRAY(SELECT s_command[f.n] FROM unnest(v_found) AS f (n));
    END IF;

    IF cardinality(k_command) > 0 THEN
        -- What the command itself releases is free for it; the write releases before it takes.
        SELECT array_agg(k.n::integer) FILTER (WHERE x.holder <> k.holder),
               coalesce(array_agg(k.n::integer) FILTER (WHERE x.holder = k.holder), '{}')
        INTO v_found, v_held
        FROM unnest(k_command, k_kind, k_value, k_holder, k_take) WITH ORDINALITY
            AS k (command, kind, value_hmac, holder, take, n)
        JOIN log.claims x
            ON x.workspace_id = c_workspace[k.command] AND x.kind = k.kind AND x.value_hmac = k.value_hmac
        WHERE k.take AND NOT EXISTS (
            SELECT FROM unnest(k_command, k_kind, k_value, k_holder, k_take)
                AS r (command, kind, value_hmac, holder, take)
            WHERE NOT r.take AND r.command = k.command AND r.kind = k.kind AND r.value_hmac = k.value_hmac
                AND r.holder = x.holder
        );
        IF v_found IS NOT NULL THEN
            RETURN QUERY
            SELECT DISTINCT ON (k_command[f.n]) k_command[f.n], 'claim', NULL::bigint, 0, NULL::timestamptz,
                   convert_to(x.kind, 'UTF8'), x.holder
            FROM unnest(v_found) AS f (n)
            JOIN log.claims x
                ON x.workspace_id = c_workspace[k_command[f.n]] AND x.kind = k_kind[f.n] AND x.value_hmac = k_value[f.n]
            WHERE k_command[f.n] <> ALL (v_rejected)
            ORDER BY k_command[f.n], f.n;
            v_rejected := v_rejected || ARRAY(SELECT k_command[f.n] FROM unnest(v_found) AS f (n));
        END IF;
    END IF;

    -- Commands that take any version of the same stream: each goes on where the accepted ones before it end.
    IF (
        SELECT count(*) > count(DISTINCT (s.stream_id, s.category))
        FROM unnest(s_stream, s_category) AS s (stream_id, category)
    ) THEN
        SELECT array_agg(x.version ORDER BY x.n) INTO v_versions
        FROM (
            -- Whoever named a version keeps it: were two to share a stream, the second would be refused as always.
            SELECT w.n, v_versions[w.n] + CASE WHEN w.expected < 0 THEN coalesce(
                sum(CASE WHEN w.command <> ALL (v_rejected) THEN w.events ELSE 0 END) OVER (
                    PARTITION BY w.stream_id, w.category ORDER BY w.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ), 0
            ) ELSE 0 END::integer AS version
            FROM (
                SELECT s.n, s.command, s.stream_id, s.category, s.expected,
                       coalesce(lead(s.before) OVER (ORDER BY s.n), cardinality(e_write)) - s.before AS events
                FROM unnest(s_command, s_stream, s_category, s_expected, s_before) WITH ORDINALITY
                    AS s (command, stream_id, category, expected, before, n)
            ) w
        ) x;
    END IF;

    RETURN QUERY
    SELECT 0, NULL::text, w.head, 0, w.batch_time, NULL::bytea, NULL::uuid
    FROM log.write_batch(
        p_lane, v_versions, v_rejected, v_held, c_workspace, c_key, c_request, c_events, s_command, s_stream,
        s_category, s_before, s_slice, s_subject, e_write, e_id, e_type, e_schema, e_metadata, e_payload, k_command,
        k_kind, k_value, k_holder, k_take, d_command, d_subject, d_wrapped
    ) w;
END
$$;

GRANT SELECT ON log.lanes TO rollbook_writer, rollbook_projector;
GRANT SELECT, INSERT ON log.events, log.batches, log.idempotency TO rollbook_writer;
GRANT SELECT, INSERT, DELETE ON log.claims, keys.subject_keys TO rollbook_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON log.snapshots TO rollbook_writer;
GRANT SELECT ON log.events, log.batches, keys.subject_keys TO rollbook_projector;
