-- +goose Up
CREATE TABLE relay_pairs (
  id NVARCHAR(40) NOT NULL,
  session_id NVARCHAR(64) NOT NULL,
  peer_a NVARCHAR(64) NOT NULL,
  peer_b NVARCHAR(64) NOT NULL,
  made BIGINT NOT NULL,
  seen BIGINT NOT NULL,
  body NVARCHAR(MAX) NOT NULL,
  CONSTRAINT relay_pairs_key PRIMARY KEY (id)
);
CREATE INDEX relay_pairs_session ON relay_pairs (session_id);
CREATE INDEX relay_pairs_seen ON relay_pairs (seen);
CREATE TABLE relay_buckets (
  name NVARCHAR(200) NOT NULL,
  full_at BIGINT NOT NULL,
  CONSTRAINT relay_buckets_key PRIMARY KEY (name)
);
CREATE INDEX relay_buckets_full ON relay_buckets (full_at);

-- +goose Down
DROP TABLE relay_buckets;
DROP TABLE relay_pairs;
