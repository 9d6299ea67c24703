package stats

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"causeway/internal/sqldb"
)

//go:embed migrations
var embedded embed.FS

// Row is what one run has counted in an hour so far.
type Row struct {
	Hour    time.Time
	Counter Counter
	N       int64
}

// Store keeps counts in a database. It is safe for concurrent use.
type Store struct {
	db     *sqldb.DB
	schema *sqldb.Schema
	names  []string
	index  map[string]Counter
}

// NewStore returns a Store; it touches the database when it is first used.
func NewStore(db *sqldb.DB) *Store {
	return &Store{db: db, schema: sqldb.NewSchema(db, Migrations, "stats"), names: Names(), index: index()}
}

// Migrations are the tables, in a folder for each dialect.
func Migrations() (fs.FS, error) { return fs.Sub(embedded, "migrations") }

// The statements, with ? for parameters.
const (
	readSQL  = "SELECT hour_start, counter, CAST(SUM(n) AS BIGINT) FROM stats_counts WHERE hour_start >= ? AND hour_start < ? GROUP BY hour_start, counter"
	totalSQL = "SELECT CAST(SUM(n) AS BIGINT) FROM stats_counts WHERE counter = ? AND hour_start >= ?"
	// firstSQL is NULL in an empty table.
	firstSQL  = "SELECT MIN(hour_start) FROM stats_counts"
	forgetSQL = "DELETE FROM stats_counts WHERE hour_start < ?"
)

// writeSQL keeps the larger count: a run only ever counts up, so that a write that comes late, or
// again, changes nothing.
func writeSQL(d sqldb.Dialect) string {
	return d.Upsert(sqldb.Upsert{
		Table: "stats_counts", Keys: []string{"hour_start", "counter", "run"},
		Values: []sqldb.Change{{Column: "n", How: sqldb.Max}},
	})
}

// Migrate makes or changes the tables, once. The other methods call it themselves, so that a
// database that was away at the start is no harm.
func (s *Store) Migrate(ctx context.Context) error { return s.schema.Ready(ctx) }

// Write stores rows of a run, all or none. Doing it again changes nothing.
func (s *Store) Write(ctx context.Context, run string, rows []Row) error {
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		statement, err := tx.PrepareContext(ctx, writeSQL(s.db.Dialect))
		if err != nil {
			return err
		}
		defer statement.Close()
		for _, r := range rows {
			if _, err := statement.ExecContext(ctx, r.Hour.Unix(), s.names[r.Counter], run, r.N); err != nil {
				return err
			}
		}
		return nil
	})
}

// Forget deletes what is older than before.
func (s *Store) Forget(ctx context.Context, before time.Time) error {
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	_, err := s.db.ExecContext(ctx, s.db.Rebind(forgetSQL), before.Unix())
	return err
}

// Read returns the counts of all runs in the hours that begin from from to before to. Counters
// that this version does not know are left out.
func (s *Store) Read(ctx context.Context, from, to time.Time) ([]Row, error) {
	if err := s.Migrate(ctx); err != nil {
		return nil, err
	}
	list, err := s.db.QueryContext(ctx, s.db.Rebind(readSQL), from.Unix(), to.Unix())
	if err != nil {
		return nil, fmt.Errorf("read statistics: %w", err)
	}
	defer list.Close()
	var rows []Row
	for list.Next() {
		var hour, n int64
		var name string
		if err := list.Scan(&hour, &name, &n); err != nil {
			return nil, fmt.Errorf("read statistics: %w", err)
		}
		if c, ok := s.index[name]; ok {
			rows = append(rows, Row{time.Unix(hour, 0).UTC(), c, n})
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("read statistics: %w", err)
	}
	return rows, nil
}

// Total is what all runs have stored of a counter, in the hours that begin at from or later.
func (s *Store) Total(ctx context.Context, c Counter, from time.Time) (int64, error) {
	if err := s.Migrate(ctx); err != nil {
		return 0, err
	}
	var n sql.NullInt64 // NULL in an empty table
	if err := s.db.QueryRowContext(ctx, s.db.Rebind(totalSQL), s.names[c], from.Unix()).Scan(&n); err != nil {
		return 0, fmt.Errorf("read statistics: %w", err)
	}
	return n.Int64, nil
}

// First is the first hour that is stored; zero if nothing is.
func (s *Store) First(ctx context.Context) (time.Time, error) {
	if err := s.Migrate(ctx); err != nil {
		return time.Time{}, err
	}
	var hour sql.NullInt64
	if err := s.db.QueryRowContext(ctx, firstSQL).Scan(&hour); err != nil || !hour.Valid {
		return time.Time{}, err
	}
	return time.Unix(hour.Int64, 0).UTC(), nil
}
