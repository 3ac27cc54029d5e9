-- Secondary indexes of the contact read model. Each statement ends a line with its semicolon; any order, in parallel.
-- Lists show either the present or the deleted, hence the partial indexes. The contact id breaks ties.

-- Sort by created, of the present and of the deleted.
CREATE INDEX contact_created ON contact (workspace_id, created_at, contact_id) WHERE deleted_at IS NULL;
CREATE INDEX contact_deleted_created ON contact (workspace_id, created_at, contact_id) WHERE deleted_at IS NOT NULL;

-- The deleted view in its own order.
CREATE INDEX contact_deleted ON contact (workspace_id, deleted_at, contact_id) WHERE deleted_at IS NOT NULL;

-- Sort by name as shown, and by last name.
CREATE INDEX contact_full_name ON contact (workspace_id, full_name, contact_id) WHERE deleted_at IS NULL;
CREATE INDEX contact_filed_name ON contact (workspace_id, filed_name, contact_id) WHERE deleted_at IS NULL;

-- Sort by these, and find the contact that has one.
CREATE INDEX contact_email ON contact (workspace_id, email, contact_id) WHERE deleted_at IS NULL;
CREATE INDEX contact_external_id ON contact (workspace_id, external_id, contact_id) WHERE deleted_at IS NULL;

-- The same for searches.
CREATE INDEX contact_phone ON contact (workspace_id, phone, contact_id) WHERE deleted_at IS NULL;

-- Find the contact that has one.
CREATE INDEX contact_messaging_id ON contact (workspace_id, messaging_id) WHERE deleted_at IS NULL AND messaging_id IS NOT NULL;

-- The search box: any three letters in a row, or the beginning of a word.
CREATE INDEX contact_search ON contact USING gin (search public.gin_trgm_ops);

-- Sort by changed.
CREATE INDEX contact_recency_changed ON contact_recency (workspace_id, deleted, changed_at, contact_id);

-- Whom an absorbed contact's id, e-mail or phone leads to.
CREATE INDEX contact_member_root ON contact_member (workspace_id, root_id);
CREATE INDEX contact_member_external_id ON contact_member (workspace_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX contact_member_messaging_id ON contact_member (workspace_id, messaging_id) WHERE messaging_id IS NOT NULL;
CREATE INDEX contact_member_email ON contact_member (workspace_id, email) WHERE email IS NOT NULL;
CREATE INDEX contact_member_phone ON contact_member (workspace_id, phone) WHERE phone IS NOT NULL;
