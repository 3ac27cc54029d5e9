-- The append in hope takes rows instead of columns: one array for each table it writes, one statement for all of them.
-- log.append, which it replaces, stays for processes of the version before; nothing of this version calls it.

CREATE TYPE log.new_event AS (
    workspace_id uuid,
    stream_id uuid,
    category text,
    version integer,
    slice smallint,
    subject_id uuid,
    event_id uuid,
    type text,
    schema_version smallint,
    metadata bytea,
    payload bytea
);
CREATE TYPE log.new_key AS (workspace_id uuid, key text, request_hash bytea, event_count integer, last_event integer);
COMMENT ON COLUMN log.new_key.last_event IS 'Which event of the batch is the last of the command, from 1.';
CREATE TYPE log.expected AS (workspace_id uuid, stream_id uuid, category text, version integer);
CREATE TYPE log.new_claim AS (workspace_id uuid, kind text, value_hmac bytea, holder uuid);
CREATE TYPE log.new_data_key AS (subject_id uuid, workspace_id uuid, wrapped bytea);

-- One commit batch in the hope that nothing is refused: no look before the write. Any refusal is a unique violation of
-- the whole batch, and the appender sends it again to log.append_checked. The statement is its own transaction.
-- Commands of one batch share no stream, idempotency key or claim, and release no claim (the appender sees to that).
CREATE FUNCTION log.append_in_hope(
    p_lane smallint, p_events log.new_event[], p_keys log.new_key[], p_expected log.expected[],
    p_claims log.new_claim[], p_data_keys log.new_data_key[],
    OUT head bigint, OUT batch_time timestamptz
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_chain bytea;
BEGIN
    -- Taken first and as its own statement: each statement below gets a snapshot that shows all earlier commits of
    -- the lane, so that no check can race and head + 1 is right. Held through the flush of COMMIT.
    PERFORM pg_advisory_xact_lock(1382836331, p_lane);
    -- That a stream has gone past its expected version is a unique violation below; that it has not yet reached it, or
    -- is another workspace's, is not.
    IF cardinality(p_expected) > 0 AND EXISTS (
        SELECT FROM unnest(p_expected) AS x
        WHERE x.workspace_id IS DISTINCT FROM (
            SELECT e.workspace_id
            FROM log.events e
            WHERE e.lane = p_lane AND e.stream_id = x.stream_id AND e.category = x.category AND e.version = x.version
        )
    ) THEN
        RAISE unique_violation USING MESSAGE = 'a stream is not at its expected version';
    END IF;

    SELECT b.last_position, b.chain, b.recorded_at INTO head, v_chain, batch_time
    FROM log.batches b
    WHERE b.lane = p_lane
    ORDER BY b.last_position DESC
    LIMIT 1;
    head := coalesce(head, 0);
    batch_time := greatest(clock_timestamp(), batch_time);

    WITH claims AS (
        INSERT INTO log.claims (workspace_id, kind, value_hmac, holder)
        SELECT workspace_id, kind, value_hmac, holder
        FROM unnest(p_claims)
    ), data_keys AS (
        INSERT INTO keys.subject_keys (subject_id, workspace_id, wrapped)
        SELECT subject_id, workspace_id, wrapped
        FROM unnest(p_data_keys)
    ), idempotency AS (
        INSERT INTO log.idempotency (workspace_id, key, request_hash, last_position, recorded_at, event_count, lane)
        SELECT workspace_id, key, request_hash, head + last_event, batch_time, event_count, p_lane
        FROM unnest(p_keys)
    ), written AS (
        INSERT INTO log.events (
            position, recorded_at, version, lane, slice, schema_version, workspace_id, stream_id, event_id,
            subject_id, category, type, metadata, payload
        )
        SELECT head + n, batch_time, version, p_lane, slice, schema_version, workspace_id, stream_id, event_id,
               subject_id, category, type, metadata, payload
        FROM unnest(p_events) WITH ORDINALITY AS e (
            workspace_id, stream_id, category, version, slice, subject_id, event_id, type, schema_version, metadata,
            payload, n
        )
        -- The expression of log.digest, written out: a call per row costs as much as the insert.
        RETURNING position, sha256(
            uuid_send(workspace_id) || convert_to(category, 'UTF8') || '\x00'::bytea || uuid_send(stream_id)
            || int4send(version) || uuid_send(event_id) || convert_to(type, 'UTF8') || '\x00'::bytea
            || int2send(schema_version) || coalesce('\x01'::bytea || uuid_send(subject_id), '\x00'::bytea)
            || int4send(length(metadata)) || metadata || payload
        ) AS digest
    ), digests AS (
        SELECT max(position) AS last_position, string_agg(digest, '' ORDER BY position) AS whole,
               string_agg(substr(digest, 1, 8), '' ORDER BY position) AS short
        FROM written
    )
    INSERT INTO log.batches (lane, last_position, first_position, recorded_at, chain, digests)
    SELECT p_lane, last_position, head + 1, batch_time,
           log.chain(coalesce(v_chain, ''), head + 1, last_position, batch_time, whole), short
    FROM digests
    WHERE last_position IS NOT NULL;
END
$$;
