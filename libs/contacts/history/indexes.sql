-- Secondary indexes of the history read model. Each statement ends a line with its semicolon; any order, in parallel.

-- Sort by created, and who is beyond the limit of a plan.
CREATE INDEX contact_history_created ON contact_history (workspace_id, created_at, contact_id);

-- Sort by changed.
CREATE INDEX contact_history_changed ON contact_history (workspace_id, changed_at, contact_id);

-- Sort by name as shown.
CREATE INDEX contact_history_full_name ON contact_history (workspace_id, full_name, contact_id);

-- The search box: whoever was ever found by it. Most versions have the text of the one before.
CREATE INDEX contact_history_search ON contact_history USING gin (search public.gin_trgm_ops) WHERE search_is_new;

-- What was valid long ago is among the little that had begun.
CREATE INDEX contact_history_began ON contact_history (workspace_id, from_position);

-- What was valid not long ago is what is valid still and the little that ended since.
CREATE INDEX contact_history_ended ON contact_history_past (workspace_id, to_position);

-- Filters asked of everybody: who had absorbed anybody.
CREATE INDEX contact_history_composed ON contact_history (workspace_id, from_position) WHERE absorbed IS NOT NULL;

-- Erasure: who was ever part of a contact, and which addresses it ever had.
CREATE INDEX history_kin_root ON history_kin (root_id);
CREATE INDEX contact_address_contact ON contact_address (contact_id);
