package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/azuread"
	"modernc.org/sqlite" // is the driver "sqlite", too

	"causeway/internal/secret"
)

// Config says which database.
type Config struct {
	// URL as the package comment has it.
	URL string
	// File is the SQLite file where the URL names none. Its folder is made if missing.
	File string
	// ReadOnly opens a SQLite file that has to be there, to read only.
	ReadOnly bool
	// Resolver resolves the references in URL.
	Resolver secret.Resolver
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	*sql.DB
	Dialect Dialect
}

// Bounds of a pool. Lives end so that a failover or a new certificate is noticed.
const (
	maxConns    = 8
	maxIdle     = 5 * time.Minute
	maxLife     = 30 * time.Minute
	busyTimeout = 5 * time.Second // SQLite waits that long for another writer
)

// Open opens a database. It connects to none; but a SQLite file is opened at once.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	text, err := resolve(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	scheme, rest, _ := strings.Cut(text, ":")
	var db *DB
	switch scheme {
	case "sqlite":
		db, err = openSQLite(ctx, strings.TrimPrefix(rest, "//"), cfg)
	case "postgres", "postgresql":
		db, err = openPostgres(text)
	case "sqlserver":
		db, err = openSQLServer(text)
	default:
		err = errors.New("the URL begins with none of sqlite:, postgres:// and sqlserver://")
	}
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	db.SetMaxOpenConns(maxConns)
	db.SetConnMaxIdleTime(maxIdle)
	db.SetConnMaxLifetime(maxLife)
	return db, nil
}

func openSQLite(ctx context.Context, path string, cfg Config) (*DB, error) {
	if path == "" {
		path = cfg.File
	}
	if path == "" {
		return nil, errors.New("sqlite: names no file")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	mode := "ro"
	if !cfg.ReadOnly {
		mode = "rw"
		if err := makeFile(path); err != nil {
			return nil, err
		}
	}
	// A transaction takes the right to write at its begin, or two that read first and then both write
	// could only fail. FULL, as the file may hold what money was spent.
	q := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
	}}
	if cfg.ReadOnly {
		q["_pragma"] = q["_pragma"][:1]
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	if err := pingSQLite(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return &DB{db, SQLite()}, nil
}

// pingSQLite makes a connection. Where two processes make the same new file one that has a WAL, SQLite tells one of
// them that it is locked without waiting as busy_timeout says.
func pingSQLite(ctx context.Context, db *sql.DB) error {
	for began := time.Now(); ; {
		err := db.PingContext(ctx)
		var e *sqlite.Error
		if !errors.As(err, &e) || e.Code()&0xff != sqliteBusy || time.Since(began) >= busyTimeout {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sqliteBusy is SQLITE_BUSY, without what is in the upper bits (sqlite.org/rescode.html).
const sqliteBusy = 5

// makeFile makes an empty file that is the owner's only.
func makeFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// errURL stands for what the drivers say about a URL, which may hold the password.
func errURL(scheme string) error {
	return fmt.Errorf("the %s:// URL is malformed (a password with special characters is escaped by itself if it is a reference in braces)", scheme)
}

func openPostgres(text string) (*DB, error) {
	cfg, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, errURL("postgres")
	}
	return &DB{stdlib.OpenDB(*cfg), Postgres()}, nil
}

func openSQLServer(text string) (*DB, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errURL("sqlserver")
	}
	if u.Query().Has("fedauth") {
		c, err := azuread.NewConnector(text)
		if err != nil {
			return nil, errURL("sqlserver")
		}
		return &DB{sql.OpenDB(c), SQLServer()}, nil
	}
	c, err := mssql.NewConnector(text)
	if err != nil {
		return nil, errURL("sqlserver")
	}
	return &DB{sql.OpenDB(c), SQLServer()}, nil
}

// Rebind replaces each ? of a query by the parameter as the database writes it. Queries here hold no
// ? otherwise.
func (db *DB) Rebind(query string) string { return db.Dialect.Rebind(query) }

// attempts is how often a transaction is tried that others have crossed.
const attempts = 5

// Tx runs f in a transaction, and commits it unless f fails. If it was crossed by another
// transaction it is done again, so f must not keep anything from a call that fails.
func (db *DB) Tx(ctx context.Context, f func(*sql.Tx) error) error {
	for i := 1; ; i++ {
		err := db.once(ctx, f)
		if err == nil || i == attempts || !db.Dialect.Transient(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(i*i) * 10 * time.Millisecond):
		}
	}
}

func (db *DB) once(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(tx); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, fmt.Errorf("roll back: %w", undo))
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
