// Package sharedsql is package shared's Store in a SQL database: SQLite for tests and one machine,
// PostgreSQL, Azure SQL.
//
// A pair is a row whose id its members determine, so that of those who add it at once the primary
// key lets one through. What else is known of it is in one column of JSON, its credentials
// among it: whoever reads the database can use the relay as those members until they leave. A
// bucket is the time at which it is full; taking a token is one UPDATE that has its condition in itself.
package sharedsql

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"causeway/internal/grant/shared"
	"causeway/internal/sqldb"
)

//go:embed migrations
var embedded embed.FS

// Store implements shared.Store. It is safe for concurrent use.
type Store struct {
	db     *sqldb.DB
	schema *sqldb.Schema
}

var _ shared.Store = (*Store)(nil)

// New returns a Store; it touches the database when it is first used.
func New(db *sqldb.DB) *Store {
	return &Store{db: db, schema: sqldb.NewSchema(db, Migrations, "relay_pairs")}
}

// Migrations are the tables, in a folder for each dialect.
func Migrations() (fs.FS, error) { return fs.Sub(embedded, "migrations") }

// The statements, with ? for parameters.
const (
	insertPair = "INSERT INTO relay_pairs (id, session_id, peer_a, peer_b, made, seen, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
	updatePair = "UPDATE relay_pairs SET seen = ?, body = ? WHERE id = ? AND made = ?"
	deletePair = "DELETE FROM relay_pairs WHERE id = ?"
	takeToken  = "UPDATE relay_buckets SET full_at = CASE WHEN full_at < ? THEN ? ELSE full_at END + ? WHERE name = ? AND full_at <= ?"
	newBucket  = "INSERT INTO relay_buckets (name, full_at) VALUES (?, ?)"
	oldBuckets = "DELETE FROM relay_buckets WHERE full_at < ?"
)

// keepBuckets is how long a full bucket stays, which says no more than none.
const keepBuckets = time.Minute

// exec runs a statement, and returns how many rows it has changed.
func (s *Store) exec(ctx context.Context, what, query string, args ...any) (int64, error) {
	if err := s.schema.Ready(ctx); err != nil {
		return 0, err
	}
	var n int64
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, s.db.Rebind(query), args...)
		if err != nil {
			return err
		}
		n, err = r.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	return n, nil
}

// Claim implements shared.Store.
func (s *Store) Claim(ctx context.Context, p shared.Pair) (shared.Pair, bool, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return shared.Pair{}, false, fmt.Errorf("add a pair: %w", err)
	}
	_, err = s.exec(ctx, "add a pair", insertPair, p.ID, p.Session, p.Members[0], p.Members[1], p.Made.UnixMicro(), p.Seen.UnixMicro(), string(body))
	if err == nil {
		return p, true, nil
	}
	// Drivers differ in how they say that the key is there; whether it is, can be asked.
	there, look := s.List(ctx, shared.Filter{ID: p.ID}, 1)
	if look != nil || len(there) == 0 {
		return shared.Pair{}, false, errors.Join(err, look)
	}
	return there[0], false, nil
}

// Update implements shared.Store.
func (s *Store) Update(ctx context.Context, p shared.Pair) (bool, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return false, fmt.Errorf("change a pair: %w", err)
	}
	n, err := s.exec(ctx, "change a pair", updatePair, p.Seen.UnixMicro(), string(body), p.ID, p.Made.UnixMicro())
	return n > 0, err
}

// End implements shared.Store.
func (s *Store) End(ctx context.Context, id string) (bool, error) {
	n, err := s.exec(ctx, "end a pair", deletePair, id)
	return n > 0, err
}

// listPairs is the query of a filter, with its parameters.
func listPairs(d sqldb.Dialect, f shared.Filter, limit int) (query string, args []any) {
	var where []string
	add := func(condition string, values ...any) {
		where = append(where, condition)
		args = append(args, values...)
	}
	if f.ID != "" {
		add("id = ?", f.ID)
	}
	if f.Session != "" {
		add("session_id = ?", f.Session)
	}
	if f.Peer != "" {
		add("(peer_a = ? OR peer_b = ?)", f.Peer, f.Peer)
	}
	if !f.Before.IsZero() {
		add("seen < ?", f.Before.UnixMicro())
	}
	query = "SELECT body FROM relay_pairs"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	query += " ORDER BY seen, id"
	if d.Name == "sqlserver" {
		return query + fmt.Sprintf(" OFFSET 0 ROWS FETCH NEXT %d ROWS ONLY", limit), args
	}
	return query + fmt.Sprintf(" LIMIT %d", limit), args
}

// List implements shared.Store.
func (s *Store) List(ctx context.Context, f shared.Filter, limit int) (pairs []shared.Pair, err error) {
	if err := s.schema.Ready(ctx); err != nil {
		return nil, err
	}
	query, args := listPairs(s.db.Dialect, f, limit)
	rows, err := s.db.QueryContext(ctx, s.db.Rebind(query), args...)
	if err != nil {
		return nil, fmt.Errorf("list pairs: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var body string
		var p shared.Pair
		if err := rows.Scan(&body); err != nil {
			return nil, fmt.Errorf("list pairs: %w", err)
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			return nil, fmt.Errorf("list pairs: %w", err)
		}
		pairs = append(pairs, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list pairs: %w", err)
	}
	return pairs, nil
}

// Take implements shared.Store.
func (s *Store) Take(ctx context.Context, bucket string, now time.Time, burst int, every time.Duration) (bool, error) {
	at, most := now.UnixMicro(), now.Add(time.Duration(burst-1)*every).UnixMicro()
	take := func() (int64, error) {
		return s.exec(ctx, "take a token", takeToken, at, at, every.Microseconds(), bucket, most)
	}
	n, err := take()
	if err != nil || n > 0 {
		return n > 0, err
	}
	if _, err := s.exec(ctx, "forget full buckets", oldBuckets, now.Add(-keepBuckets).UnixMicro()); err != nil {
		return false, err
	}
	// It is empty, or there is none; if so, and somebody else makes it meanwhile, it is asked once more.
	if _, err := s.exec(ctx, "make a bucket", newBucket, bucket, now.Add(every).UnixMicro()); err == nil {
		return true, nil
	}
	n, err = take()
	return n > 0, err
}
