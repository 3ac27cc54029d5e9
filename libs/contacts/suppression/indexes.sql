-- Secondary indexes of the suppression read model. Each statement ends a line with its semicolon; any order, in parallel.

-- The list, newest first, of one channel or of all.
CREATE INDEX suppression_since ON suppression (workspace_id, since, suppression_id) WHERE listed;
CREATE INDEX suppression_channel ON suppression (workspace_id, channel, since, suppression_id) WHERE listed;
