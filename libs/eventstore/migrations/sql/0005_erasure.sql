-- Data keys destroyed in an append, and appends that a destroyed key must stop. All other appends pay nothing for it.

-- Who erases names subjects, not streams.
CREATE INDEX snapshots_subject ON log.snapshots (subject_id) WHERE subject_id IS NOT NULL;

-- log.append_suppressing for batches in which some command destroys data keys or writes where no version guards its key:
-- writers keep data keys in memory, and what is encrypted with a destroyed one would be lost as soon as it is written.
-- g_*: streams of such commands and the subject each is encrypted for. y_*: subjects to destroy. Raises RB001 with the
-- subject as its detail where one has no data key (the appender sends the commands again, one by one).
CREATE FUNCTION log.append_guarded(
    p_lane smallint,
    c_workspace uuid[], c_key text[], c_request bytea[], c_events integer[],
    s_command integer[], s_stream uuid[], s_category text[], s_expected integer[], s_before integer[],
    s_slice smallint[], s_subject uuid[],
    e_write integer[], e_id uuid[], e_type text[], e_schema smallint[], e_metadata bytea[], e_payload bytea[],
    k_command integer[], k_kind text[], k_value bytea[], k_holder uuid[], k_take boolean[],
    d_command integer[], d_subject uuid[], d_wrapped bytea[],
    x_command integer[], x_scope uuid[], x_holder uuid[], x_address bytea[], x_kind text[], x_channel text[],
    x_topic text[], x_status text[], x_cause text[], x_since timestamptz[],
    g_command integer[], g_subject uuid[],
    y_command integer[], y_subject uuid[]
)
RETURNS TABLE (
    command integer, verdict text, at_position bigint, amount integer, at_time timestamptz, request bytea, holder uuid
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_rejected integer[] := '{}';
    v_missing uuid;
BEGIN
    -- As its own statement before any other, so that each one below sees the keys as the last commit left them.
    PERFORM pg_advisory_xact_lock(1382836331, p_lane);
    FOR command, verdict, at_position, amount, at_time, request, holder IN
        SELECT a.command, a.verdict, a.at_position, a.amount, a.at_time, a.request, a.holder
        FROM log.append_suppressing(
            p_lane, c_workspace, c_key, c_request, c_events, s_command, s_stream, s_category, s_expected, s_before,
            s_slice, s_subject, e_write, e_id, e_type, e_schema, e_metadata, e_payload, k_command, k_kind, k_value,
            k_holder, k_take, d_command, d_subject, d_wrapped, x_command, x_scope, x_holder, x_address, x_kind,
            x_channel, x_topic, x_status, x_cause, x_since
        ) a
    LOOP
        IF command <> 0 THEN
            v_rejected := v_rejected || command;
        END IF;
        RETURN NEXT;
    END LOOP;

    -- Last, so that a repeat of what was done before the erasure, and a conflict, are answered as such.
    SELECT g.subject_id INTO v_missing
    FROM unnest(g_command, g_subject) AS g (command, subject_id)
    WHERE g.command <> ALL (v_rejected)
        AND NOT EXISTS (SELECT FROM keys.subject_keys k WHERE k.subject_id = g.subject_id)
    LIMIT 1;
    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'RB001', MESSAGE = 'a subject has no data key', DETAIL = v_missing::text;
    END IF;

    DELETE FROM keys.subject_keys k
    USING unnest(y_command, y_subject) AS y (command, subject_id)
    WHERE y.command <> ALL (v_rejected) AND k.subject_id = y.subject_id
        AND k.workspace_id = c_workspace[y.command];
    DELETE FROM log.snapshots s
    USING unnest(y_command, y_subject) AS y (command, subject_id)
    WHERE y.command <> ALL (v_rejected) AND s.subject_id = y.subject_id;
END
$$;
