-- +goose Up
CREATE TABLE stats_counts (
  hour_start BIGINT NOT NULL,
  counter NVARCHAR(64) NOT NULL,
  run NVARCHAR(22) NOT NULL,
  n BIGINT NOT NULL,
  CONSTRAINT stats_counts_key PRIMARY KEY (hour_start, counter, run)
);

-- +goose Down
DROP TABLE stats_counts;
