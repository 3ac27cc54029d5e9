-- What only questions need. Each statement ends a line with its semicolon; any order, in parallel.

-- The pairs shown, the likeliest first.
CREATE INDEX likely_pair_shown ON likely_pair (workspace_id, score, first_id, second_id) WHERE NOT dismissed;
-- The groups shown, by the alphabet.
CREATE INDEX address_group_shown ON address_group (workspace_id, address_kind, address) WHERE NOT dismissed;
