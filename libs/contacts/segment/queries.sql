-- Reads of the segment read model, as rollbook_reader in a transaction of `contacts.reading`. A moment is an instant and a
-- position: what is in force then began not after it and ends after it, compared in this order.

-- page --
-- Lists, or segments, in the order of their names from a place on, with how many contacts were asked where it is filled.
SELECT
    g.segment_id, g.name, g.filed_name, g.version, g.created_at, g.changed_at, g.archived_at, c.members, d.filter,
    (
        SELECT min(f.counted)
        FROM rm_segment.filling AS f
        WHERE f.workspace_id = $1 AND NOT f.is_done AND g.segment_id = ANY (f.segment_ids)
    ) AS counted
FROM rm_segment.segment AS g
JOIN rm_segment.segment_count AS c ON c.workspace_id = g.workspace_id AND c.segment_id = g.segment_id
JOIN rm_segment.definition AS d ON d.workspace_id = g.workspace_id AND d.segment_id = g.segment_id
WHERE g.workspace_id = $1 AND g.is_list = $2 AND (g.archived_at IS NOT NULL) = $3
    AND d.to_position = 9223372036854775807 AND (g.filed_name, g.segment_id) > ($4, $5)
ORDER BY g.filed_name, g.segment_id
LIMIT $6

-- total --
SELECT count(*)
FROM rm_segment.segment AS g
WHERE g.workspace_id = $1 AND g.is_list = $2 AND (g.archived_at IS NOT NULL) = $3

-- count --
-- How many are in it now; NULL where the read model does not know it yet.
SELECT c.members
FROM rm_segment.segment_count AS c
WHERE c.workspace_id = $1 AND c.segment_id = $2

-- filled --
-- How many contacts were asked of those a segment is filled from; no row where it is not being filled.
SELECT f.counted
FROM rm_segment.filling AS f
WHERE f.workspace_id = $1 AND NOT f.is_done AND $2 = ANY (f.segment_ids)
ORDER BY f.position
LIMIT 1

-- contacts --
-- How many contacts there are, deleted ones too.
SELECT coalesce(sum(c.contacts), 0)::bigint
FROM rm_contact.contact_count AS c
WHERE c.workspace_id = $1

-- count_at --
SELECT count(*)
FROM rm_segment.membership AS m
WHERE m.workspace_id = $1 AND m.segment_id = $2 AND (m.from_at, m.from_position) <= ($3, $4)
    AND (m.to_at, m.to_position) > ($3, $4)

-- members --
-- Who is in it at a moment ($3, $4), each as it was shown at a position ($5), in the order of ids from a place on.
SELECT m.contact_id, m.from_at, m.from_position, m.from_cause, m.from_event, h.state
FROM rm_segment.membership AS m
CROSS JOIN LATERAL (
    SELECT h.state, h.from_position
    FROM rm_history.contact_history AS h
    WHERE h.workspace_id = m.workspace_id AND h.contact_id = m.contact_id AND h.to_position > $5
    ORDER BY h.to_position
    LIMIT 1
) AS h
WHERE m.workspace_id = $1 AND m.segment_id = $2 AND (m.from_at, m.from_position) <= ($3, $4)
    AND (m.to_at, m.to_position) > ($3, $4) AND m.contact_id > $6 AND h.from_position <= $5
ORDER BY m.contact_id
LIMIT $7

-- matching --
-- Who matched a compiled condition on c at a position ($2), in the order of ids from a place on.
SELECT c.contact_id, c.state
FROM rm_history.own_contact_history AS c
WHERE c.workspace_id = $1 AND c.from_position <= $2 AND c.to_position > $2 AND c.deleted_at IS NULL
    AND c.contact_id > $3 AND {condition}
ORDER BY c.contact_id
LIMIT $4

-- count_matching --
-- How many there were, counted up to a limit.
SELECT count(*)
FROM (
    SELECT
    FROM rm_history.own_contact_history AS c
    WHERE c.workspace_id = $1 AND c.from_position <= $2 AND c.to_position > $2 AND c.deleted_at IS NULL
        AND {condition}
    LIMIT $3
) AS counted

-- diff --
-- Who is in it at the later moment ($5, $6) and was not at the earlier one ($3, $4), and the other way round, with what
-- made it so last: from a place on, in the order of ids.
SELECT
    m.contact_id,
    bool_or((m.to_at, m.to_position) > ($5, $6)) AS entered,
    (array_agg(m.from_at ORDER BY m.from_at DESC, m.from_position DESC))[1] AS from_at,
    (array_agg(m.from_position ORDER BY m.from_at DESC, m.from_position DESC))[1] AS from_position,
    (array_agg(m.from_cause ORDER BY m.from_at DESC, m.from_position DESC))[1] AS from_cause,
    (array_agg(m.from_event ORDER BY m.from_at DESC, m.from_position DESC))[1] AS from_event,
    (array_agg(m.to_at ORDER BY m.from_at DESC, m.from_position DESC))[1] AS to_at,
    (array_agg(m.to_position ORDER BY m.from_at DESC, m.from_position DESC))[1] AS to_position,
    (array_agg(m.to_cause ORDER BY m.from_at DESC, m.from_position DESC))[1] AS to_cause,
    (array_agg(m.to_event ORDER BY m.from_at DESC, m.from_position DESC))[1] AS to_event
FROM rm_segment.membership AS m
WHERE m.workspace_id = $1 AND m.segment_id = $2 AND m.contact_id > $7 AND (m.from_at, m.from_position) <= ($5, $6)
    AND (m.to_at, m.to_position) > ($3, $4)
    AND ((m.from_at, m.from_position) > ($3, $4) OR (m.to_at, m.to_position) <= ($5, $6))
GROUP BY m.contact_id
HAVING bool_or((m.to_at, m.to_position) > ($5, $6)) <> bool_or((m.from_at, m.from_position) <= ($3, $4))
ORDER BY m.contact_id
LIMIT $8

-- diff_counts --
-- How many entered and left in all.
SELECT count(*) FILTER (WHERE d.there_then) AS entered, count(*) FILTER (WHERE NOT d.there_then) AS gone
FROM (
    SELECT bool_or((m.to_at, m.to_position) > ($5, $6)) AS there_then
    FROM rm_segment.membership AS m
    WHERE m.workspace_id = $1 AND m.segment_id = $2 AND (m.from_at, m.from_position) <= ($5, $6)
        AND (m.to_at, m.to_position) > ($3, $4)
        AND ((m.from_at, m.from_position) > ($3, $4) OR (m.to_at, m.to_position) <= ($5, $6))
    GROUP BY m.contact_id
    HAVING bool_or((m.to_at, m.to_position) > ($5, $6)) <> bool_or((m.from_at, m.from_position) <= ($3, $4))
) AS d

-- of_contact --
-- What a contact is in now.
SELECT m.segment_id, g.is_list, g.name, m.from_at
FROM rm_segment.membership AS m
JOIN rm_segment.segment AS g ON g.workspace_id = m.workspace_id AND g.segment_id = m.segment_id
WHERE m.workspace_id = $1 AND m.contact_id = $2 AND m.to_position = 9223372036854775807
ORDER BY g.is_list, g.filed_name, m.segment_id

-- moment_of --
-- When the event at a position of a lane was recorded.
SELECT b.recorded_at
FROM log.batches AS b
WHERE b.lane = $1 AND b.last_position >= $2
ORDER BY b.last_position
LIMIT 1

-- versions --
-- How a contact was shown up to a position, the latest first.
SELECT h.from_position, h.to_position, h.state
FROM rm_history.contact_history AS h
WHERE h.workspace_id = $1 AND h.contact_id = $2 AND h.from_position <= $3
ORDER BY h.to_position DESC
LIMIT $4

-- engagements --
-- What its activity came to up to a position, the latest first.
SELECT h.from_position, h.to_position, h.shown
FROM rm_engagement.engagement_history AS h
WHERE h.workspace_id = $1 AND h.contact_id = $2 AND h.from_position <= $3
ORDER BY h.from_position DESC
LIMIT $4

-- activities --
-- What was recorded for contacts up to a position, of some kinds and families.
SELECT a.position, a.kind, a.occurred_at, a.data
FROM rm_activity.activity AS a
WHERE a.workspace_id = $1 AND a.contact_id = ANY ($2::uuid[]) AND a.position <= $3
    AND (a.kind = ANY ($4::text[]) OR split_part(a.kind, '.', 1) = ANY ($5::text[]))
ORDER BY a.occurred_at, a.position

-- events --
-- What is known of events without reading them, by a session that may look into the log.
SELECT e.position, e.event_id, e.type, e.recorded_at
FROM log.events AS e
WHERE e.lane = $1 AND e.position = ANY ($2::bigint[]) AND e.workspace_id = $3
