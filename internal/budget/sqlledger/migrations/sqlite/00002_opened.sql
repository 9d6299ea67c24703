-- +goose Up
-- Those that are there are no younger than this. NULL is what an older program leaves: not known.
ALTER TABLE budget_grants ADD COLUMN opened_at BIGINT;
UPDATE budget_grants SET opened_at = polled_at;
CREATE INDEX budget_grants_opened ON budget_grants (opened_at);

-- +goose Down
DROP INDEX budget_grants_opened;
ALTER TABLE budget_grants DROP COLUMN opened_at;
