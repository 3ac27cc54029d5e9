-- How deliveries go: where each webhook stands, and what became of each attempt. State of its own, not of the log: it is
-- made by whoever delivers first, and losing it delivers again from the start of each webhook.
-- Every statement can be repeated.

CREATE SCHEMA IF NOT EXISTS webhooks;

CREATE TABLE IF NOT EXISTS webhooks.progress (
    workspace_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    start_version integer NOT NULL,
    position bigint NOT NULL,
    failing_since timestamptz,
    CONSTRAINT progress_pkey PRIMARY KEY (workspace_id, webhook_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE webhooks.progress IS 'Everything up to position is delivered, or was given up.';
COMMENT ON COLUMN webhooks.progress.start_version IS 'Of the webhook, which said from where to deliver; a higher one starts anew.';
COMMENT ON COLUMN webhooks.progress.failing_since IS 'The first failure since the last success; NULL while all is well.';

CREATE TABLE IF NOT EXISTS webhooks.delivery (
    workspace_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    event_id uuid NOT NULL,
    type text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    attempt integer NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    status smallint,
    reason text COLLATE "C",
    duration_ms integer NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT delivery_pkey PRIMARY KEY (workspace_id, webhook_id, number)
);
COMMENT ON TABLE webhooks.delivery IS 'One attempt to deliver one event; kept for a while.';
COMMENT ON COLUMN webhooks.delivery.outcome IS 'delivered, failed, or given_up.';
COMMENT ON COLUMN webhooks.delivery.reason IS 'Why it failed, in our words: never what the receiver answered.';

SELECT projector.secure('webhooks');
