-- What may not be sent to an address, written together with the facts that say so: right from their acknowledgement.

CREATE TABLE log.suppression (
    scope_id uuid NOT NULL,
    address bytea NOT NULL,
    kind text NOT NULL,
    channel text NOT NULL,
    topic text NOT NULL,
    holder_id uuid NOT NULL,
    position bigint NOT NULL,
    since timestamptz,
    status text,
    cause text,
    CONSTRAINT suppression_pkey PRIMARY KEY (scope_id, address, kind, channel, topic, holder_id)
) WITH (fillfactor = 90);
COMMENT ON TABLE log.suppression IS 'The state of every address that anything was recorded of. Derived from streams, guarded by their versions.';
COMMENT ON COLUMN log.suppression.scope_id IS 'Whom it binds: a workspace, or the nil UUID for all of them.';
COMMENT ON COLUMN log.suppression.address IS 'Keyed digest of the widest normal form; the address itself is nowhere here.';
COMMENT ON COLUMN log.suppression.kind IS 'Category of the stream the row is derived from.';
COMMENT ON COLUMN log.suppression.holder_id IS 'Workspace whose stream says so.';
COMMENT ON COLUMN log.suppression.position IS 'Last event of the append that wrote the row, in the lane of the holder.';
COMMENT ON COLUMN log.suppression.status IS 'Why nothing may be sent; NULL where something may. Rows are never deleted.';

-- log.append_checked for batches in which some command writes suppressions, so that all others pay nothing for it.
CREATE FUNCTION log.append_suppressing(
    p_lane smallint,
    c_workspace uuid[], c_key text[], c_request bytea[], c_events integer[],
    s_command integer[], s_stream uuid[], s_category text[], s_expected integer[], s_before integer[],
    s_slice smallint[], s_subject uuid[],
    e_write integer[], e_id uuid[], e_type text[], e_schema smallint[], e_metadata bytea[], e_payload bytea[],
    k_command integer[], k_kind text[], k_value bytea[], k_holder uuid[], k_take boolean[],
    d_command integer[], d_subject uuid[], d_wrapped bytea[],
    x_command integer[], x_scope uuid[], x_holder uuid[], x_address bytea[], x_kind text[], x_channel text[],
    x_topic text[], x_status text[], x_cause text[], x_since timestamptz[]
)
RETURNS TABLE (
    command integer, verdict text, at_position bigint, amount integer, at_time timestamptz, request bytea, holder uuid
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_rejected integer[] := '{}';
    v_head bigint;
    v_time timestamptz;
BEGIN
    FOR command, verdict, at_position, amount, at_time, request, holder IN
        SELECT a.command, a.verdict, a.at_position, a.amount, a.at_time, a.request, a.holder
        FROM log.append_checked(
            p_lane, c_workspace, c_key, c_request, c_events, s_command, s_stream, s_category, s_expected, s_before,
            s_slice, s_subject, e_write, e_id, e_type, e_schema, e_metadata, e_payload, k_command, k_kind, k_value,
            k_holder, k_take, d_command, d_subject, d_wrapped
        ) a
    LOOP
        IF command = 0 THEN
            v_head := at_position;
            v_time := at_time;
        ELSE
            v_rejected := v_rejected || command;
        END IF;
        RETURN NEXT;
    END LOOP;

    INSERT INTO log.suppression AS s (
        scope_id, address, kind, channel, topic, holder_id, position, since, status, cause
    )
    SELECT x.scope_id, x.address, x.kind, x.channel, x.topic, x.holder_id, c.last_position,
           CASE WHEN x.status IS NOT NULL THEN coalesce(x.since, v_time) END, x.status, x.cause
    FROM unnest(x_command, x_scope, x_holder, x_address, x_kind, x_channel, x_topic, x_status, x_cause, x_since)
        AS x (command, scope_id, holder_id, address, kind, channel, topic, status, cause, since)
    JOIN (
        SELECT u.n, v_head + sum(u.events) OVER (ORDER BY u.n) AS last_position
        FROM unnest(c_events) WITH ORDINALITY AS u (events, n)
        WHERE u.n <> ALL (v_rejected)
    ) c ON c.n = x.command
    ON CONFLICT (scope_id, address, kind, channel, topic, holder_id) DO UPDATE
    SET position = excluded.position, since = excluded.since, status = excluded.status, cause = excluded.cause;
END
$$;

GRANT SELECT, INSERT, UPDATE ON log.suppression TO rollbook_writer;
