-- What a build of the contact read model is compared with the log by, in one snapshot. Tables of the log are qualified; those
-- of the build are not: whoever verifies sets search_path to it.

-- positions --
-- How far the build with this schema is, in each lane.
SELECT c.lane, min(c.position) AS position
FROM projector.projections AS p
JOIN projector.checkpoints AS c ON c.name = p.name AND c.build = p.build
WHERE p.schema_name = $1
GROUP BY c.lane
ORDER BY c.lane

-- parked --
-- Keys whose events the build does not follow.
SELECT k.key
FROM projector.projections AS p
JOIN projector.parked AS k ON k.name = p.name AND k.build = p.build
WHERE p.schema_name = $1

-- facts --
-- Events of some types in the order of a lane, after a position and up to another.
SELECT
    e.lane, e.position, e.workspace_id, e.category, e.stream_id, e.version, e.event_id, e.type, e.schema_version,
    e.recorded_at, e.metadata, e.payload, e.subject_id, k.wrapped
FROM log.events AS e
LEFT JOIN keys.subject_keys AS k ON k.subject_id = e.subject_id
WHERE e.lane = $1 AND e.position > $2 AND e.position <= $3 AND e.type = ANY ($4::text[])
ORDER BY e.position
LIMIT $5

-- contacts --
-- Streams of contacts one after the other, from a place on.
SELECT
    e.lane, e.position, e.workspace_id, e.category, e.stream_id, e.version, e.event_id, e.type, e.schema_version,
    e.recorded_at, e.metadata, e.payload, e.subject_id, k.wrapped
FROM log.events AS e
LEFT JOIN keys.subject_keys AS k ON k.subject_id = e.subject_id
WHERE e.lane = $1 AND (e.stream_id, e.category, e.version) > ($2, 'contact', $3) AND e.position <= $4
    AND e.category = 'contact'
ORDER BY e.stream_id, e.category, e.version
LIMIT $5

-- stored --
SELECT c.*
FROM unnest($1::uuid[], $2::uuid[]) AS w (workspace_id, contact_id)
JOIN contact AS c ON c.workspace_id = w.workspace_id AND c.contact_id = w.contact_id

-- rows --
SELECT count(*)
FROM contact AS c
WHERE c.contact_id <> ALL ($1::uuid[])

-- totals --
-- Totals that are not those of the rows.
SELECT count(*)
FROM (
    SELECT
        c.workspace_id, c.deleted_at IS NOT NULL AS deleted, coalesce(c.email_status, '') AS email_status,
        coalesce(c.phone_status, '') AS phone_status, count(*) AS contacts
    FROM contact AS c
    GROUP BY 1, 2, 3, 4
) AS r
FULL JOIN contact_count AS n ON n.workspace_id = r.workspace_id AND n.deleted = r.deleted
    AND n.email_status = r.email_status AND n.phone_status = r.phone_status
WHERE n.contacts IS DISTINCT FROM r.contacts

-- recency --
-- Contacts whose place in the order of changes is not theirs.
SELECT count(*)
FROM contact AS c
FULL JOIN contact_recency AS r ON r.workspace_id = c.workspace_id AND r.contact_id = c.contact_id
WHERE r.changed_at IS DISTINCT FROM c.changed_at OR r.deleted IS DISTINCT FROM (c.deleted_at IS NOT NULL)
