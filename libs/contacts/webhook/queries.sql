-- Reads of webhooks and their deliveries, as rollbook_reader in a transaction of `contacts.reading`.

-- list --
SELECT w.state
FROM rm_webhook.webhook AS w
WHERE w.workspace_id = $1 AND w.present
ORDER BY w.webhook_id

-- deliveries --
-- Newest first, behind a number.
SELECT d.number, d.event_id, d.type, d.position, d.attempt, d.outcome, d.status, d.reason, d.duration_ms, d.at
FROM webhooks.delivery AS d
WHERE d.workspace_id = $1 AND d.webhook_id = $2 AND ($3::bigint IS NULL OR d.number < $3)
    AND ($4::text IS NULL OR d.outcome = $4)
ORDER BY d.number DESC
LIMIT $5

-- standing --
SELECT p.position, p.failing_since
FROM webhooks.progress AS p
WHERE p.workspace_id = $1 AND p.webhook_id = $2
