-- The webhooks of each workspace, without their secrets, and from where each is to be delivered.
-- Names are unqualified: every build of the read model is a schema of its own.

CREATE TABLE webhook (
    workspace_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    version integer NOT NULL,
    present boolean NOT NULL,
    enabled boolean NOT NULL,
    lane smallint NOT NULL,
    start_version integer NOT NULL,
    start_position bigint NOT NULL,
    state bytea NOT NULL,
    CONSTRAINT webhook_pkey PRIMARY KEY (workspace_id, webhook_id)
);
COMMENT ON TABLE webhook IS 'Targets of deliveries. How the deliveries go is in the schema webhooks.';
COMMENT ON COLUMN webhook.start_version IS 'Version of the event that said from where to deliver: the first, or a replay.';
COMMENT ON COLUMN webhook.start_position IS 'Deliveries begin after this position of the lane.';
COMMENT ON COLUMN webhook.state IS 'The folded webhook as msgpack (contacts.webhook.state), secrets left out.';
