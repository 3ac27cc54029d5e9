-- What the store asks of the log besides appending. The append itself is in functions of the log.

-- append_in_hope --
-- One commit batch without looking first; see migrations/sql/0006_append.sql for the rows. Answers as append_checked does.
SELECT 0 AS command, NULL::text AS verdict, head AS at_position, batch_time AS at_time
FROM log.append_in_hope($1, $2, $3, $4, $5, $6)

-- row_types --
-- Has the driver look up what append_in_hope takes, which it would else do in the first append of a connection.
SELECT $1::log.new_event[], $2::log.new_key[], $3::log.expected[], $4::log.new_claim[], $5::log.new_data_key[]

-- append_checked --
-- One commit batch, decided command by command; see migrations/sql/0001_log.sql for the arrays and the answer.
SELECT command, verdict, at_position, amount, at_time, request, holder
FROM log.append_checked(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
    $25, $26
)

-- append_suppressing --
-- As append_checked, with suppressions of some of the commands.
SELECT command, verdict, at_position, amount, at_time, request, holder
FROM log.append_suppressing(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
    $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36
)

-- append_guarded --
-- As append_suppressing, where a command destroys data keys or may have been encrypted with a destroyed one.
SELECT command, verdict, at_position, amount, at_time, request, holder
FROM log.append_guarded(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
    $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40
)

-- spans --
-- How much each of several streams holds and where, for whoever has to account for it; nothing is decrypted.
SELECT e.stream_id, e.category, count(*) AS events, min(e.position) AS first_position, max(e.position) AS last_position
FROM unnest($2::uuid[], $3::text[], $4::uuid[]) AS s (stream_id, category, workspace_id)
JOIN log.events e
    ON e.lane = $1 AND e.stream_id = s.stream_id AND e.category = s.category AND e.workspace_id = s.workspace_id
GROUP BY e.stream_id, e.category

-- write_suppressions --
-- Of a bulk chunk, under the lane lock; the position is that of each command's last event.
INSERT INTO log.suppression AS s (
    scope_id, address, kind, channel, topic, holder_id, position, since, status, cause
)
SELECT x.scope_id, x.address, x.kind, x.channel, x.topic, x.holder_id, x.position, x.since, x.status, x.cause
FROM unnest(
    $1::uuid[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::bigint[], $8::timestamptz[],
    $9::text[], $10::text[]
) AS x (scope_id, address, kind, channel, topic, holder_id, position, since, status, cause)
ON CONFLICT (scope_id, address, kind, channel, topic, holder_id) DO UPDATE
SET position = excluded.position, since = excluded.since, status = excluded.status, cause = excluded.cause

-- suppressions --
-- What is recorded of each address, for a workspace and for all, and where the lane stood then: one snapshot. The rows
-- of an address are few; which of them matter is decided by the caller. The first row is the place alone.
SELECT NULL::bigint AS n, NULL::text AS kind, NULL::text AS channel, NULL::text AS topic, NULL::uuid AS holder_id,
       NULL::text AS status, NULL::text AS cause, NULL::timestamptz AS since, (
           SELECT b.last_position
           FROM log.batches b
           WHERE b.lane = $1
           ORDER BY b.last_position DESC
           LIMIT 1
       ) AS position
UNION ALL
SELECT a.n, s.kind, s.channel, s.topic, s.holder_id, s.status, s.cause, s.since, s.position
FROM unnest($4::bytea[]) WITH ORDINALITY AS a (address, n)
CROSS JOIN LATERAL (
    SELECT x.kind, x.channel, x.topic, x.holder_id, x.status, x.cause, x.since, x.position
    FROM log.suppression x
    WHERE x.scope_id IN ($2, $3) AND x.address = a.address
) s

-- read_stream --
-- Events of one stream in version order, with the wrapped data key of each; NULL where it was destroyed.
SELECT e.lane, e.position, e.workspace_id, e.category, e.stream_id, e.version, e.event_id, e.type, e.schema_version,
       e.recorded_at, e.metadata, e.payload, e.subject_id, k.wrapped
FROM log.events e
LEFT JOIN keys.subject_keys k ON k.subject_id = e.subject_id
WHERE e.lane = $1 AND e.stream_id = $2 AND e.category = $3 AND e.workspace_id = $4
    AND e.version > $5 AND e.version <= $6 AND e.position <= $7
ORDER BY e.version

-- read_streams --
-- Events of several streams at once; the caller groups them. Versions after $5[i] only.
SELECT e.lane, e.position, e.workspace_id, e.category, e.stream_id, e.version, e.event_id, e.type, e.schema_version,
       e.recorded_at, e.metadata, e.payload, e.subject_id, k.wrapped
FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::integer[]) AS s (stream_id, category, workspace_id, after_version)
JOIN log.events e
    ON e.lane = $1 AND e.stream_id = s.stream_id AND e.category = s.category AND e.workspace_id = s.workspace_id
        AND e.version > s.after_version
LEFT JOIN keys.subject_keys k ON k.subject_id = e.subject_id
ORDER BY e.stream_id, e.category, e.version

-- read_states --
-- As read_streams. Where a whole stream is asked for and it has a snapshot of this schema version, that comes first, as
-- a row without type, and of the events only those after it. A snapshot counts only where the log has the event that it
-- ends with, in the same workspace (a restored log may end before it), and where its data key is there.
WITH wanted AS MATERIALIZED (
    SELECT w.stream_id, w.category, w.workspace_id, coalesce(s.version, w.after_version) AS after_version, s.version,
           s.subject_id, s.payload
    FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::integer[])
        AS w (stream_id, category, workspace_id, after_version)
    LEFT JOIN LATERAL (
        SELECT x.version, x.subject_id, x.payload
        FROM log.snapshots x
        WHERE w.after_version = 0 AND x.lane = $1 AND x.stream_id = w.stream_id AND x.category = w.category
            AND x.schema_version = $6
            AND w.workspace_id = (
                SELECT e.workspace_id
                FROM log.events e
                WHERE e.lane = $1 AND e.stream_id = x.stream_id AND e.category = x.category AND e.version = x.version
            )
            AND (
                x.subject_id IS NULL
                OR EXISTS (SELECT FROM keys.subject_keys k WHERE k.subject_id = x.subject_id)
            )
        LIMIT 1
    ) s ON true
)
SELECT $1::smallint AS lane, 0::bigint AS position, w.workspace_id, w.category, w.stream_id, w.version,
       NULL::uuid AS event_id, '' AS type, $6::smallint AS schema_version, NULL::timestamptz AS recorded_at,
       NULL::bytea AS metadata, w.payload, w.subject_id, k.wrapped
FROM wanted w
LEFT JOIN keys.subject_keys k ON k.subject_id = w.subject_id
WHERE w.version IS NOT NULL
UNION ALL
SELECT e.lane, e.position, e.workspace_id, e.category, e.stream_id, e.version, e.event_id, e.type, e.schema_version,
       e.recorded_at, e.metadata, e.payload, e.subject_id, k.wrapped
FROM wanted w
JOIN log.events e
    ON e.lane = $1 AND e.stream_id = w.stream_id AND e.category = w.category AND e.workspace_id = w.workspace_id
        AND e.version > w.after_version
LEFT JOIN keys.subject_keys k ON k.subject_id = e.subject_id
ORDER BY stream_id, category, version

-- read_lane --
-- The lane in order; payloads of types and slices that are not wanted stay in the database, their places are still read.
SELECT e.lane, e.position, e.workspace_id, e.category, e.stream_id, e.version, e.event_id, e.type, e.schema_version,
       e.recorded_at, e.metadata, e.payload, e.subject_id, k.wrapped
FROM log.events e
LEFT JOIN keys.subject_keys k ON k.subject_id = e.subject_id
WHERE e.lane = $1 AND e.position > $2
ORDER BY e.position
LIMIT $3

-- read_lane_filtered --
-- As read_lane, for a reader that wants only some types or slices.
SELECT e.lane, e.position, e.workspace_id, e.category, e.stream_id, e.version, e.event_id, e.type, e.schema_version,
       e.recorded_at, w.metadata, w.payload, w.subject_id, k.wrapped
FROM log.events e
LEFT JOIN LATERAL (
    SELECT e.metadata, e.payload, e.subject_id
    WHERE ($4::text[] IS NULL OR e.type = ANY ($4)) AND e.slice BETWEEN $5 AND $6
) w ON true
LEFT JOIN keys.subject_keys k ON k.subject_id = w.subject_id
WHERE e.lane = $1 AND e.position > $2
ORDER BY e.position
LIMIT $3

-- head --
-- Last position of a lane; no row for an empty one.
SELECT b.last_position, b.recorded_at
FROM log.batches b
WHERE b.lane = $1
ORDER BY b.last_position DESC
LIMIT 1

-- position_at --
-- Last position recorded at or before a time.
SELECT b.last_position
FROM log.batches b
WHERE b.lane = $1 AND b.recorded_at <= $2
ORDER BY b.recorded_at DESC, b.last_position DESC
LIMIT 1

-- lanes --
SELECT l.lane, l.slice_from, l.slice_to
FROM log.lanes l
ORDER BY l.lane

-- find_claim --
SELECT c.holder
FROM log.claims c
WHERE c.workspace_id = $1 AND c.kind = $2 AND c.value_hmac = $3

-- find_claims --
-- Several at once.
SELECT c.kind, c.value_hmac, c.holder
FROM unnest($2::text[], $3::bytea[]) AS k (kind, value_hmac)
JOIN log.claims c ON c.workspace_id = $1 AND c.kind = k.kind AND c.value_hmac = k.value_hmac

-- find_idempotent --
SELECT i.lane, i.last_position, i.event_count, i.recorded_at, i.request_hash
FROM log.idempotency i
WHERE i.workspace_id = $1 AND i.key = $2

-- find_event --
-- Whether an append whose answer was lost did happen: its first event by stream and id.
SELECT e.position, e.recorded_at
FROM log.events e
WHERE e.lane = $1 AND e.stream_id = $2 AND e.category = $3 AND e.version > $4 AND e.event_id = $5

-- event_id_at --
SELECT e.event_id
FROM log.events e
WHERE e.lane = $1 AND e.position = $2

-- subject_key --
SELECT k.wrapped
FROM keys.subject_keys k
WHERE k.subject_id = $1

-- subject_keys --
-- Several at once; those that were destroyed are left out.
SELECT k.subject_id, k.wrapped
FROM keys.subject_keys k
WHERE k.subject_id = ANY ($1::uuid[])

-- first_duplicate --
-- Of a bulk chunk: the first command whose idempotency key was used.
SELECT c.n, i.lane, i.last_position, i.event_count, i.recorded_at, i.request_hash
FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS c (workspace_id, key, n)
JOIN log.idempotency i ON i.workspace_id = c.workspace_id AND i.key = c.key
ORDER BY c.n
LIMIT 1

-- first_conflict --
-- Of a bulk chunk: the first stream that is not at its expected version, or is another workspace's.
SELECT s.n, s.expected, s.actual
FROM (
    SELECT w.n, w.expected, coalesce(l.workspace_id <> w.workspace_id, false) AS foreign_stream,
           CASE WHEN l.workspace_id = w.workspace_id THEN l.version ELSE 0 END AS actual
    FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::integer[]) WITH ORDINALITY
        AS w (stream_id, category, workspace_id, expected, n)
    LEFT JOIN LATERAL (
        SELECT e.version, e.workspace_id
        FROM log.events e
        WHERE e.lane = $1 AND e.stream_id = w.stream_id AND e.category = w.category
        ORDER BY e.version DESC
        LIMIT 1
    ) l ON true
) s
WHERE s.foreign_stream OR s.expected <> s.actual
ORDER BY s.n
LIMIT 1

-- first_claim_taken --
-- Of a bulk chunk: the first claim that another stream holds and none of $5 … $8 releases.
SELECT k.kind, x.holder
FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::uuid[]) WITH ORDINALITY
    AS k (workspace_id, kind, value_hmac, holder, n)
JOIN log.claims x ON x.workspace_id = k.workspace_id AND x.kind = k.kind AND x.value_hmac = k.value_hmac
WHERE x.holder <> k.holder AND NOT EXISTS (
    SELECT FROM unnest($5::uuid[], $6::text[], $7::bytea[], $8::uuid[]) AS r (workspace_id, kind, value_hmac, holder)
    WHERE r.workspace_id = x.workspace_id AND r.kind = x.kind AND r.value_hmac = x.value_hmac AND r.holder = x.holder
)
ORDER BY k.n
LIMIT 1

-- release_claims --
DELETE FROM log.claims x
USING unnest($1::uuid[], $2::text[], $3::bytea[], $4::uuid[]) AS k (workspace_id, kind, value_hmac, holder)
WHERE x.workspace_id = k.workspace_id AND x.kind = k.kind AND x.value_hmac = k.value_hmac AND x.holder = k.holder

-- take_claims --
INSERT INTO log.claims (workspace_id, kind, value_hmac, holder)
SELECT k.workspace_id, k.kind, k.value_hmac, k.holder
FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::uuid[]) AS k (workspace_id, kind, value_hmac, holder)
WHERE NOT EXISTS (
    SELECT FROM log.claims x
    WHERE x.workspace_id = k.workspace_id AND x.kind = k.kind AND x.value_hmac = k.value_hmac AND x.holder = k.holder
)

-- lock_lane --
SELECT pg_advisory_xact_lock(1382836331, $1)

-- lane_end --
-- Read under the lane lock, as a statement of its own: the place and the chain to continue from.
SELECT b.last_position, b.chain, greatest(clock_timestamp(), b.recorded_at) AS recorded_at
FROM log.batches b
WHERE b.lane = $1
ORDER BY b.last_position DESC
LIMIT 1

-- insert_batch --
INSERT INTO log.batches (lane, last_position, first_position, recorded_at, chain, digests)
VALUES ($1, $2, $3, $4, log.chain($5, $3, $2, $4, $6), $7)

-- notify --
SELECT pg_notify('rollbook_log', $1)

-- save_snapshots --
-- Each unless a newer one is there, or its data key ($7) was destroyed meanwhile.
INSERT INTO log.snapshots AS s (lane, stream_id, category, version, schema_version, subject_id, payload)
SELECT r.lane, r.stream_id, r.category, r.version, r.schema_version, r.subject_id, r.payload
FROM unnest(
    $1::smallint[], $2::uuid[], $3::text[], $4::integer[], $5::smallint[], $6::uuid[], $7::bytea[], $8::bytea[]
) AS r (lane, stream_id, category, version, schema_version, subject_id, wrapped, payload)
WHERE r.subject_id IS NULL
    OR EXISTS (SELECT FROM keys.subject_keys k WHERE k.subject_id = r.subject_id AND k.wrapped = r.wrapped)
ORDER BY r.lane, r.stream_id, r.category
ON CONFLICT (lane, stream_id, category) DO UPDATE
SET version = excluded.version, schema_version = excluded.schema_version, subject_id = excluded.subject_id,
    payload = excluded.payload
WHERE s.version < excluded.version OR s.schema_version <> excluded.schema_version

-- grown --
-- Streams of some categories that passed a multiple of $5 between two positions.
SELECT DISTINCT e.workspace_id, e.category, e.stream_id
FROM log.events e
WHERE e.lane = $1 AND e.position > $2 AND e.position <= $3 AND e.category = ANY ($4) AND e.version % $5 = 0

-- read_batches --
SELECT b.first_position, b.last_position, b.recorded_at, b.chain, b.digests
FROM log.batches b
WHERE b.lane = $1 AND b.last_position > $2
ORDER BY b.last_position
LIMIT $3

-- read_raw --
-- Stored columns of a stretch of positions, for verification: nothing is decrypted.
SELECT e.position, e.recorded_at, e.version, e.slice, e.schema_version, e.workspace_id, e.stream_id, e.event_id,
       e.subject_id, e.category, e.type, e.metadata, e.payload
FROM log.events e
WHERE e.lane = $1 AND e.position BETWEEN $2 AND $3
ORDER BY e.position

-- first_event_after --
SELECT e.position
FROM log.events e
WHERE e.lane = $1 AND e.position > $2
ORDER BY e.position
LIMIT 1

-- first_version_gap --
-- The first event whose version does not follow the one before it in its stream.
SELECT min(v.position)
FROM (
    SELECT e.position, e.version,
           row_number() OVER (PARTITION BY e.stream_id, e.category ORDER BY e.version) AS expected
    FROM log.events e
    WHERE e.lane = $1
) v
WHERE v.version <> v.expected
