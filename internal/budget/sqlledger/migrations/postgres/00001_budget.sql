-- +goose Up
CREATE TABLE budget_total (
  id BIGINT NOT NULL PRIMARY KEY,
  version BIGINT NOT NULL,
  body TEXT NOT NULL
);
INSERT INTO budget_total (id, version, body) VALUES (1, 0, '');
CREATE TABLE budget_sessions (
  id VARCHAR(43) NOT NULL PRIMARY KEY,
  idle_at BIGINT NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX budget_sessions_idle ON budget_sessions (idle_at);
CREATE TABLE budget_grants (
  id VARCHAR(43) NOT NULL PRIMARY KEY,
  session_id VARCHAR(43) NOT NULL,
  provider VARCHAR(64) NOT NULL,
  polled_at BIGINT NOT NULL,
  handle TEXT NOT NULL
);
CREATE INDEX budget_grants_poll ON budget_grants (provider, polled_at);

-- +goose Down
DROP TABLE budget_grants;
DROP TABLE budget_sessions;
DROP TABLE budget_total;
