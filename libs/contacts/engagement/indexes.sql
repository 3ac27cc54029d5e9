-- Secondary indexes of the engagement read model: for its own merges and erasures, and for sorting lists.
CREATE INDEX engagement_member_root ON engagement_member (workspace_id, root_id);
CREATE INDEX engagement_history_made_of ON engagement_history USING gin (made_of) WHERE made_of IS NOT NULL;
CREATE INDEX engagement_interaction ON engagement (workspace_id, last_interaction_at, contact_id) WHERE last_interaction_at IS NOT NULL;
CREATE INDEX engagement_rating ON engagement (workspace_id, email_rating, contact_id) WHERE email_rating IS NOT NULL;
