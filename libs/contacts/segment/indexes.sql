-- Secondary indexes of the segment read model. Each statement ends a line with its semicolon; any order, in parallel.

-- What a contact is in now.
CREATE INDEX membership_now ON membership (workspace_id, contact_id, segment_id) WHERE to_position = 9223372036854775807;

-- What time changes next.
CREATE INDEX watch_due ON watch (lane, flip_at);

-- Whether what a filling changed was told before something that came later (contacts_bridge.segments).
CREATE INDEX change_pair ON change (segment_id, contact_id);

-- What is being filled.
CREATE INDEX filling_open ON filling (lane, position) WHERE NOT is_done;
