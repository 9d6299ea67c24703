package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"golang.org/x/sync/errgroup"

	"causeway/internal/sqldb"
	"causeway/internal/sqldb/sqldbtest"
)

// migrations has a table and, later, a column more, in each dialect.
func migrations() fstest.MapFS {
	files := fstest.MapFS{}
	for _, d := range sqldb.Dialects() {
		files[d.Name+"/00001_rows.sql"] = &fstest.MapFile{Data: []byte(`-- +goose Up
CREATE TABLE t (a VARCHAR(20) NOT NULL, b BIGINT NOT NULL, n BIGINT NOT NULL, top BIGINT NOT NULL, last VARCHAR(20) NOT NULL, PRIMARY KEY (a, b));
-- +goose Down
DROP TABLE t;
`)}
		files[d.Name+"/00002_more.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE u (a BIGINT NOT NULL);\n")}
	}
	return files
}

var upsert = sqldb.Upsert{Table: "t", Keys: []string{"a", "b"}, Values: []sqldb.Change{{"n", sqldb.Add}, {"top", sqldb.Max}, {"last", sqldb.Replace}}}

func put(t *testing.T, db *sqldb.DB, args ...any) {
	t.Helper()
	if err := db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), db.Dialect.Upsert(upsert), args...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestDatabases(t *testing.T) {
	sqldbtest.All(t, func(t *testing.T, url func(*testing.T) string) {
		t.Run("upsert", func(t *testing.T) {
			db := migrated(t, url(t))
			put(t, db, "x", 1, 3, 3, "first")
			put(t, db, "x", 1, 4, 2, "second")
			put(t, db, "x", 2, 9, 9, "other")
			var n, top int64
			var last string
			if err := db.QueryRow(db.Rebind("SELECT n, top, last FROM t WHERE a = ? AND b = ?"), "x", 1).Scan(&n, &top, &last); err != nil {
				t.Fatal(err)
			}
			if n != 7 || top != 3 || last != "second" {
				t.Errorf("%d %d %s", n, top, last)
			}
		})
		t.Run("a failed transaction leaves nothing", func(t *testing.T) {
			db := migrated(t, url(t))
			calls, fail := 0, errors.New("no")
			err := db.Tx(t.Context(), func(tx *sql.Tx) error {
				calls++
				if _, err := tx.Exec("INSERT INTO u (a) VALUES (1)"); err != nil {
					return err
				}
				return fail
			})
			if !errors.Is(err, fail) || calls != 1 || count(t, db, "u") != 0 {
				t.Errorf("%v, %d calls, %d rows", err, calls, count(t, db, "u"))
			}
		})
		t.Run("several at once", func(t *testing.T) { several(t, url(t)) })
	})
}

func migrated(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	db := sqldbtest.Open(t, url)
	for range 2 { // the second time nothing is to be done
		if err := db.Migrate(t.Context(), migrations(), "test"); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func count(t *testing.T, db *sqldb.DB, table string) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// several pools stand for processes that start, migrate and count at the same time.
func several(t *testing.T, url string) {
	const pools, times = 4, 20
	var wg sync.WaitGroup
	errs := make(chan error, pools)
	for range pools {
		db := sqldbtest.Open(t, url)
		if db.Dialect.Name == "sqlite" { // one process at a time starts with a folder of data
			if err := db.Migrate(t.Context(), migrations(), "test"); err != nil {
				t.Fatal(err)
			}
		}
		wg.Go(func() { errs <- hammer(t.Context(), db, times) })
	}
	wg.Wait()
	for range pools {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	var n int
	if err := sqldbtest.Open(t, url).QueryRow("SELECT SUM(n) FROM t").Scan(&n); err != nil || n != 2*pools*times {
		t.Errorf("%d, %v, want %d", n, err, 2*pools*times)
	}
}

// hammer adds to the same two rows, in an order that makes deadlocks.
func hammer(ctx context.Context, db *sqldb.DB, times int) error {
	if err := db.Migrate(ctx, migrations(), "test"); err != nil {
		return err
	}
	for i := range times {
		for { // a test may be crossed more often than Tx tries
			err := db.Tx(ctx, func(tx *sql.Tx) error {
				for _, b := range []int{i % 2, 1 - i%2} {
					if _, err := tx.ExecContext(ctx, db.Dialect.Upsert(upsert), "x", b, 1, 1, ""); err != nil {
						return fmt.Errorf("put: %w", err)
					}
				}
				return nil
			})
			if err == nil {
				break
			}
			if !db.Dialect.Transient(err) {
				return err
			}
		}
	}
	return nil
}

// A role that may read and write rows, and nothing else, can run on what somebody else migrated.
func TestNoRightToMigrate(t *testing.T) {
	url := sqldbtest.Postgres(t)(t)
	owner := migrated(t, url)
	for _, s := range []string{
		"REVOKE CREATE ON SCHEMA public FROM PUBLIC", "CREATE ROLE app LOGIN",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app",
	} {
		if _, err := owner.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	app := sqldbtest.Open(t, strings.Replace(url, "user=test", "user=app", 1))
	if err := app.Migrate(t.Context(), migrations(), "test"); err != nil {
		t.Error(err)
	}
	put(t, app, "x", 1, 1, 1, "")
	if _, err := app.Exec("CREATE TABLE v (a INT)"); err == nil {
		t.Error("the role may change the schema, so this proved nothing")
	}
}

func TestSQLiteFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a b?c", "stats#1.db") // a path with characters that URLs know
	ctx := t.Context()
	if _, err := sqldb.Open(ctx, sqldb.Config{File: file, ReadOnly: true}); err == nil {
		t.Error("a file that is not there was opened to read")
	}
	db, err := sqldb.Open(ctx, sqldb.Config{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(ctx, migrations(), "test"); err != nil {
		t.Fatal(err)
	}
	put(t, db, "x", 1, 1, 1, "")
	var mode string
	if err := db.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal %s, %v", mode, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	reader, err := sqldb.Open(ctx, sqldb.Config{URL: "sqlite:" + file, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, reader, "t"); n != 1 {
		t.Errorf("%d rows", n)
	}
	if _, err := reader.Exec("DELETE FROM t"); err == nil {
		t.Error("a reader deleted")
	}
	if err := errors.Join(reader.Close(), db.Close()); err != nil {
		t.Error(err)
	}
}

func TestURLs(t *testing.T) {
	const secret = "hunter2@/ü"
	t.Setenv("DB_PASSWORD", secret)
	t.Setenv("DB_URL", "postgres://u:literal@db.example.org/x")
	for _, c := range []struct{ url, wrong string }{
		{"postgres://u:{env:DB_PASSWORD}@db.example.org/x", ""},
		{"env:DB_URL", ""},
		{"sqlserver://u:{env:DB_PASSWORD}@db.example.org?database=x", ""},
		{"sqlserver://db.example.org?database=x&user+id=u&password={env:DB_PASSWORD}", ""},
		{"sqlserver://db.example.org?database=x&fedauth=ActiveDirectoryManagedIdentity", ""},
		{"postgres://u:hunter2@db.example.org/x", "holds a password"},
		{"postgres://db.example.org/x?password=hunter2", "holds a password"},
		{"sqlserver://u:hunter2@db.example.org", "holds a password"},
		{"sqlserver://db.example.org?pwd=hunter2", "holds a password"},
		{"mysql://db.example.org", "begins with none"},
		{"hunter2", "begins with none"},
		{"postgres://u:{env:NOT_SET}@h/x", "NOT_SET"},
		{"postgres://u:{env:DB_PASSWORD}@h:port/x", "malformed"},
		{"postgres://h/x?sslmode=never{env:DB_PASSWORD}", "malformed"},
	} {
		db, err := sqldb.Open(t.Context(), sqldb.Config{URL: c.url})
		if c.wrong == "" {
			if err != nil {
				t.Errorf("%s: %v", c.url, err)
				continue
			}
			_ = db.Close()
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want %q", c.url, err, c.wrong)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

// This is all that is proved of T-SQL: a parser can read it.
func TestTSQL(t *testing.T) {
	d := sqldb.SQLServer()
	statements := sqldbtest.Migrations(t, migrations(), d.Name)
	statements["upsert"] = d.Upsert(upsert)
	statements["rebind"] = d.Rebind("SELECT n FROM t WHERE a = ? AND b = ?")
	sqldbtest.TSQL(t, statements)
	const want = "UPDATE t WITH (UPDLOCK, SERIALIZABLE) SET n = n + @p3, top = CASE WHEN top > @p4 THEN top ELSE @p4 END, last = @p5 WHERE a = @p1 AND b = @p2; " +
		"INSERT INTO t (a, b, n, top, last) SELECT @p1, @p2, @p3, @p4, @p5 WHERE NOT EXISTS (SELECT 1 FROM t WITH (UPDLOCK, SERIALIZABLE) WHERE a = @p1 AND b = @p2)"
	if got := d.Upsert(upsert); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// Several processes may make a file at once; each connection of a DB is as good as one of them.
func TestOpenAtOnce(t *testing.T) {
	for range 20 {
		url := "sqlite:" + filepath.Join(t.TempDir(), "new.db")
		var all errgroup.Group
		for range 16 {
			all.Go(func() error {
				db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url})
				if err != nil {
					return err
				}
				return db.Close()
			})
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}
