-- +goose Up
CREATE TABLE stats_counts (
  hour_start BIGINT NOT NULL,
  counter VARCHAR(64) NOT NULL,
  run VARCHAR(22) NOT NULL,
  n BIGINT NOT NULL,
  PRIMARY KEY (hour_start, counter, run)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE stats_counts;
