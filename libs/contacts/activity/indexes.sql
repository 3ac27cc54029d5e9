-- Secondary index of the activity read model. A statement ends a line with its semicolon.

-- Filters asked of everybody: whom something happened to in a while, now and at an earlier position, without a look at
-- what else did.
CREATE INDEX activity_kind ON activity (workspace_id, kind, occurred_at) INCLUDE (contact_id, position);
