-- Commands that take any version of a stream may share it in one commit batch: many facts about one contact cost one
-- flush, not one each. So may commands that only look at a version. The appender lets nothing else share a stream.

-- One commit batch, decided command by command: the rejected ones are left out, the others are written.
-- Answers one row with command 0 (head before the batch and its time), then one row per rejected command: of a
-- duplicate what was written then, of a conflict the stream and its version, of a taken claim its kind and holder.
CREATE OR REPLACE FUNCTION log.append_checked(
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
