-- Secondary indexes of the webhook read model. Each statement ends a line with its semicolon; any order, in parallel.

-- Whom to deliver to, over all workspaces.
CREATE INDEX webhook_enabled ON webhook (webhook_id) WHERE enabled;
