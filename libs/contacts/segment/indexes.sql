-- Secondary indexes of the segment read model. Each statement ends a line with its semicolon; any order, in parallel.

-- What a contact is in now.
CREATE INDEX membership_now ON membership (workspace_id, contact_id, segment_id) WHERE to_position = 9223372036854775807;

-- What time changes next.
CREATE INDEX watch_due ON watch (lane, flip_at);
