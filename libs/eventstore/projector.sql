-- What projectors, rebuilds and those who wait for them ask of the schema `projector`.

-- advance --
-- The checkpoint moves first, in the transaction that then writes the rows: its row lock keeps a second instance out,
-- position and fence refuse one that is late, and the build's current schema becomes the search path.
UPDATE projector.checkpoints AS c
SET position = $6, moved_at = clock_timestamp(), leased_until = clock_timestamp() + $9::interval, trouble = NULL
FROM projector.projections AS p
WHERE c.name = $1 AND c.build = $2 AND c.lane = $3 AND c.slice_from = $4 AND c.position = $5 AND c.fence = $7
    AND p.name = c.name AND p.build = c.build AND p.state = $8
RETURNING set_config('search_path', quote_ident(p.schema_name) || ', public', true)

-- announce --
-- After COMMIT, on its own: what is promised is the slowest slice range of the lane. Only live builds are waited for.
SELECT pg_notify('rollbook_progress', c.name || ' ' || c.lane || ' ' || min(c.position))
FROM unnest($1::text[], $2::smallint[]) AS m (name, lane)
JOIN projector.checkpoints c ON c.name = m.name AND c.lane = m.lane
JOIN projector.projections p ON p.name = c.name AND p.build = c.build AND p.state = 'live'
GROUP BY c.name, c.lane

-- lease_free --
-- Takes free slice ranges of live builds, those furthest behind first. On disk before the worker knows: a server that
-- crashed must not give the same fence out again.
WITH free AS (
    SELECT c.name, c.build, c.lane, c.slice_from
    FROM projector.checkpoints c
    JOIN projector.projections p ON p.name = c.name AND p.build = c.build AND p.state = 'live'
    JOIN unnest($2::text[], $3::integer[]) AS mine (name, code_version)
        ON mine.name = p.name AND mine.code_version = p.code_version
    WHERE c.leased_until IS NULL OR c.leased_until < clock_timestamp()
    ORDER BY c.moved_at
    LIMIT $4
    FOR UPDATE OF c SKIP LOCKED
)
UPDATE projector.checkpoints AS c
SET owner = $1, fence = c.fence + 1, leased_until = clock_timestamp() + $5::interval
FROM free
WHERE c.name = free.name AND c.build = free.build AND c.lane = free.lane AND c.slice_from = free.slice_from
RETURNING c.name, c.build, c.lane, c.slice_from, c.slice_to, c.position, c.fence,
    set_config('synchronous_commit', 'on', true) AS durable

-- lease_build --
-- Takes all slice ranges of a build that is not live, from whoever has them: callers hold the build lock. On disk, as
-- every new fence.
UPDATE projector.checkpoints AS c
SET owner = $3, fence = c.fence + 1, leased_until = clock_timestamp() + $4::interval
WHERE c.name = $1 AND c.build = $2
RETURNING c.name, c.build, c.lane, c.slice_from, c.slice_to, c.position, c.fence,
    set_config('synchronous_commit', 'on', true) AS durable

-- renew --
-- Answers a row while the lease is still held. Trouble: NULL leaves it, an empty text ends it.
UPDATE projector.checkpoints AS c
SET leased_until = clock_timestamp() + $6::interval, trouble = nullif(coalesce($7, c.trouble), '')
FROM projector.projections AS p
WHERE c.name = $1 AND c.build = $2 AND c.lane = $3 AND c.slice_from = $4 AND c.fence = $5
    AND p.name = c.name AND p.build = c.build AND p.state = $8
RETURNING c.position

-- release --
UPDATE projector.checkpoints AS c
SET owner = NULL, leased_until = NULL
WHERE c.name = $1 AND c.build = $2 AND c.lane = $3 AND c.slice_from = $4 AND c.fence = $5

-- heartbeat --
INSERT INTO projector.workers (worker, runs, seen_at)
VALUES ($1, $2, clock_timestamp())
ON CONFLICT (worker) DO UPDATE SET seen_at = excluded.seen_at

-- leave --
-- Also forgets workers that died.
DELETE FROM projector.workers AS w
WHERE w.worker = $1 OR w.seen_at < clock_timestamp() - interval '1 hour'

-- fair_share --
-- How many slice ranges each of the workers ($1: that run the same code) should keep, rounded up.
SELECT ceil(
    (
        SELECT count(*)
        FROM projector.checkpoints c
        JOIN projector.projections p ON p.name = c.name AND p.build = c.build AND p.state = 'live'
        JOIN unnest($2::text[], $3::integer[]) AS mine (name, code_version)
            ON mine.name = p.name AND mine.code_version = p.code_version
    )::numeric
    / greatest(1, (
        SELECT count(*)
        FROM projector.workers w
        WHERE w.runs = $1 AND w.seen_at > clock_timestamp() - $4::interval
    ))
)::integer

-- parked_keys --
SELECT k.key
FROM projector.parked k
WHERE k.name = $1 AND k.build = $2 AND k.lane = $3

-- park --
INSERT INTO projector.parked (name, build, lane, key, position, error)
SELECT $1, $2, $3, f.key, f.position, f.error
FROM unnest($4::uuid[], $5::bigint[], $6::text[]) AS f (key, position, error)

-- hold --
INSERT INTO projector.held (name, build, lane, key, position)
SELECT $1, $2, $3, h.key, h.position
FROM unnest($4::uuid[], $5::bigint[]) AS h (key, position)

-- wanted_retries --
SELECT k.key
FROM projector.parked k
WHERE k.name = $1 AND k.build = $2 AND k.lane = $3 AND k.retry AND k.key = ANY ($4::uuid[])
ORDER BY k.position

-- held_positions --
SELECT h.position
FROM projector.held h
WHERE h.name = $1 AND h.build = $2 AND h.lane = $3 AND h.key = $4
ORDER BY h.position
LIMIT $5

-- unhold --
-- Forgets what was applied; the caller unparks when nothing is left.
DELETE FROM projector.held AS h
WHERE h.name = $1 AND h.build = $2 AND h.lane = $3 AND h.key = $4 AND h.position <= $5

-- unpark --
-- Unless the key has something left to apply.
DELETE FROM projector.parked AS k
WHERE k.name = $1 AND k.build = $2 AND k.lane = $3 AND k.key = $4
    AND NOT EXISTS (
        SELECT FROM projector.held h
        WHERE h.name = k.name AND h.build = k.build AND h.lane = k.lane AND h.key = k.key
    )

-- repark --
-- The retry stopped at another event, or at the same one again.
UPDATE projector.parked AS k
SET position = $5, error = $6, attempts = k.attempts + 1, retry = false
WHERE k.name = $1 AND k.build = $2 AND k.lane = $3 AND k.key = $4

-- ask_retry --
-- For one key, or all where $2 is NULL; answers what was asked for.
UPDATE projector.parked AS k
SET retry = true
FROM projector.projections AS p
WHERE k.name = $1 AND ($2::uuid IS NULL OR k.key = $2) AND p.name = k.name AND p.build = k.build AND p.state = 'live'
RETURNING k.lane, k.key, k.attempts

-- ask_retry_of_unit --
-- Asked for by a projector that starts: the cure usually comes with new code.
UPDATE projector.parked AS k
SET retry = true
WHERE k.name = $1 AND k.build = $2 AND k.lane = $3

-- retry_outcome --
SELECT k.lane, k.key, k.position, k.error, k.attempts
FROM projector.parked k
JOIN projector.projections p ON p.name = k.name AND p.build = k.build AND p.state = 'live'
WHERE k.name = $1 AND k.key = ANY ($2::uuid[])
ORDER BY k.position

-- envelope --
-- The readable part of an event that cannot be decoded.
SELECT e.lane, e.position, e.workspace_id, e.category, e.stream_id, e.version, e.event_id, e.type, e.schema_version,
       e.recorded_at
FROM log.events e
WHERE e.lane = $1 AND e.position = $2

-- reached --
-- Where every live build is, by its slowest slice range.
SELECT c.name, c.lane, min(c.position) AS position
FROM projector.checkpoints c
JOIN projector.projections p ON p.name = c.name AND p.build = c.build AND p.state = 'live'
GROUP BY c.name, c.lane

-- find_build --
SELECT p.name, p.build, p.code_version, p.state, p.schema_name, p.loaded_at IS NOT NULL AS loaded
FROM projector.projections p
WHERE p.name = $1 AND p.state = $2
ORDER BY p.build DESC
LIMIT 1

-- log_length --
SELECT coalesce(sum(h.position), 0)::bigint
FROM log.lanes l
CROSS JOIN LATERAL (
    SELECT b.last_position AS position
    FROM log.batches b
    WHERE b.lane = l.lane
    ORDER BY b.last_position DESC
    LIMIT 1
) h

-- create_build --
INSERT INTO projector.projections (name, build, code_version, state, sliceable, schema_name)
SELECT $1, n.build, $2, $3, $4, 'rm_' || $1::text || CASE WHEN $3 = 'live' THEN '' ELSE '_b' || n.build END
FROM (SELECT coalesce(max(p.build), 0) + 1 AS build FROM projector.projections p WHERE p.name = $1) n
RETURNING name, build, code_version, state, schema_name, loaded_at IS NOT NULL AS loaded

-- add_lanes --
-- One slice range for every lane that the build has none of: a lane that is new begins at its start.
INSERT INTO projector.checkpoints (name, build, lane, slice_from, slice_to)
SELECT $1, $2, l.lane, 0, 1023
FROM log.lanes l
WHERE NOT EXISTS (
    SELECT FROM projector.checkpoints c WHERE c.name = $1 AND c.build = $2 AND c.lane = l.lane
)

-- drop_builds --
DELETE FROM projector.projections AS p
WHERE p.name = $1 AND p.state = ANY ($2::text[]) AND p.build <> $3
RETURNING p.name, p.build, p.code_version, p.state, p.schema_name, p.loaded_at IS NOT NULL AS loaded

-- set_state --
-- Ends all leases on the build as well.
WITH fenced AS (
    UPDATE projector.checkpoints AS c
    SET fence = c.fence + 1, owner = NULL, leased_until = NULL
    WHERE c.name = $1 AND c.build = $2
)
UPDATE projector.projections AS p
SET state = $3, changed_at = clock_timestamp()
WHERE p.name = $1 AND p.build = $2

-- set_loaded --
UPDATE projector.projections AS p
SET loaded_at = clock_timestamp()
WHERE p.name = $1 AND p.build = $2

-- secure --
SELECT projector.secure($1)

-- lock_checkpoints --
SELECT c.lane, c.slice_from, c.slice_to, c.position, c.fence, p.sliceable
FROM projector.checkpoints c
JOIN projector.projections p ON p.name = c.name AND p.build = c.build
WHERE c.name = $1 AND c.build = $2
ORDER BY c.lane, c.slice_from
FOR UPDATE OF c

-- drop_checkpoints --
DELETE FROM projector.checkpoints AS c
WHERE c.name = $1 AND c.build = $2 AND c.lane = $3

-- add_checkpoints --
INSERT INTO projector.checkpoints (name, build, lane, slice_from, slice_to, position, fence)
SELECT $1, $2, $3, r.slice_from, r.slice_to, r.position, $7
FROM unnest($4::smallint[], $5::smallint[], $6::bigint[]) AS r (slice_from, slice_to, position)

-- find_load --
SELECT l.head, l.total, l.events, l.stream_id, l.category, l.version
FROM projector.loads l
WHERE l.name = $1 AND l.build = $2 AND l.lane = $3

-- begin_load --
-- Counts beforehand what there is to load, and whether no position is missing.
WITH counted AS (
    SELECT count(*) AS positions, count(*) FILTER (WHERE e.type = ANY ($5::text[])) AS total
    FROM log.events e
    WHERE e.lane = $3 AND e.position <= $4
), begun AS (
    INSERT INTO projector.loads (name, build, lane, head, total)
    SELECT $1, $2, $3, $4, c.total
    FROM counted c
    WHERE c.positions = $4
)
SELECT c.positions, $4::bigint AS head, c.total, 0::bigint AS events,
       '00000000-0000-0000-0000-000000000000'::uuid AS stream_id, ''::text AS category, 0 AS version
FROM counted c

-- first_gap --
SELECT coalesce(min(n.expected), $2 + 1)
FROM (
    SELECT e.position, row_number() OVER (ORDER BY e.position) AS expected
    FROM log.events e
    WHERE e.lane = $1 AND e.position <= $2
) n
WHERE n.position <> n.expected

-- read_by_stream --
-- Whole histories one after the other, by the unique index on streams and versions.
SELECT e.lane, e.position, e.workspace_id, e.category, e.stream_id, e.version, e.event_id, e.type, e.schema_version,
       e.recorded_at, e.metadata, e.payload, e.subject_id, k.wrapped
FROM log.events e
LEFT JOIN keys.subject_keys k ON k.subject_id = e.subject_id
WHERE e.lane = $1 AND (e.stream_id, e.category, e.version) > ($2, $3, $4) AND e.position <= $5
    AND e.type = ANY ($6::text[])
ORDER BY e.stream_id, e.category, e.version
LIMIT $7

-- move_load --
UPDATE projector.loads AS l
SET stream_id = $4, category = $5, version = $6, events = $7
WHERE l.name = $1 AND l.build = $2 AND l.lane = $3

-- end_load --
DELETE FROM projector.loads AS l
WHERE l.name = $1 AND l.build = $2 AND l.lane = $3

-- swap --
SELECT projector.swap($1, $2)

-- differences --
SELECT d.table_name, d.old_rows, d.new_rows, d.sampled, d.differing
FROM projector.differences($1, $2, $3, $4) d

-- lock_live --
-- Keeps the live build where it is until the end of the transaction.
SELECT c.lane, c.slice_from, c.position, coalesce(c.leased_until > clock_timestamp(), false) AS kept
FROM projector.checkpoints c
JOIN projector.projections p ON p.name = c.name AND p.build = c.build AND p.state = 'live'
WHERE c.name = $1
ORDER BY c.lane, c.position
FOR UPDATE OF c

-- announce_build --
-- All lanes of a build that has just become the live one.
SELECT pg_notify('rollbook_progress', c.name || ' ' || c.lane || ' ' || min(c.position))
FROM projector.checkpoints c
WHERE c.name = $1 AND c.build = $2
GROUP BY c.name, c.lane

-- count_parked --
SELECT count(*)
FROM projector.parked k
WHERE k.name = $1 AND k.build = $2

-- status --
-- Every unit of every build, with how far it is behind the log. The wait of an event counts from its commit.
SELECT p.name, p.build, p.code_version, p.state, p.schema_name, p.loaded_at IS NOT NULL AS loaded, c.lane, c.slice_from,
       c.slice_to, c.position, coalesce(h.head, 0) AS head,
       CASE WHEN c.leased_until > clock_timestamp() THEN c.owner END AS owner, c.trouble,
       CASE WHEN c.position < h.head THEN
           coalesce(1000 * extract(epoch FROM clock_timestamp() - w.recorded_at), 0)::float8
       ELSE 0 END AS lag_ms
FROM projector.projections p
JOIN projector.checkpoints c ON c.name = p.name AND c.build = p.build
LEFT JOIN LATERAL (
    SELECT b.last_position AS head
    FROM log.batches b
    WHERE b.lane = c.lane
    ORDER BY b.last_position DESC
    LIMIT 1
) h ON true
LEFT JOIN LATERAL (
    SELECT e.recorded_at
    FROM log.events e
    WHERE e.lane = c.lane AND e.position = c.position + 1
) w ON true
ORDER BY p.name, p.build, c.lane, c.slice_from

-- parked_reasons --
-- Per build and reason: how many keys, since when, and the first event to look at.
SELECT k.name, k.build, k.error, count(*) AS keys, min(k.since) AS since, max(k.attempts) AS attempts,
       (array_agg(k.key ORDER BY k.position))[1] AS example_key, min(k.position) AS example_position
FROM projector.parked k
GROUP BY k.name, k.build, k.error
ORDER BY k.name, k.build, count(*) DESC
