//go:build unix

// Package sqldbtest gives tests the databases: SQLite in a folder of their own, a real PostgreSQL
// that they start, and a parser for T-SQL, which nothing here can run.
//
// Where PostgreSQL, or the parser, is missing, a test fails in CI and is skipped loudly
// elsewhere; scripts/setup.sh test and make test-web install them.
package sqldbtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"causeway/internal/sqldb"
)

// All runs test with an empty database of each kind that can be run. One PostgreSQL serves all
// of the calls of url by one test.
func All(t *testing.T, test func(t *testing.T, url func(t *testing.T) string)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "test.db") })
	})
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// Open opens a database that is closed with the test.
func Open(t testing.TB, url string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(context.Background(), sqldb.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// missing ends a test that lacks something.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" || os.Getenv("CAUSEWAY_TEST_POSTGRES") != "" {
		t.Fatalf("%s is missing; scripts/setup.sh test and make build install what tests need", what)
	}
	t.Skipf("SKIPPED, NOTHING PROVED: %s is missing; scripts/setup.sh test and make build install what tests need", what)
}

// program finds a program of PostgreSQL, which Debian keeps beside the path.
func program(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		return "", fmt.Errorf("no %s", name)
	}
	slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
	return found[len(found)-1], nil
}

func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// Postgres starts a PostgreSQL that ends with the test, on a socket in a folder of its own. The
// function that it returns makes an empty database, and returns its URL.
func Postgres(t testing.TB) func(t *testing.T) string {
	t.Helper()
	initdb, err := program("initdb")
	server, err2 := program("postgres")
	if err = errors.Join(err, err2); err != nil {
		missing(t, "PostgreSQL")
	}
	// Not t.TempDir: its path can be too long for a socket, and its parents are closed to others.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	as, err := owner(dir)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	run(t, as, dir, initdb, "-D", data, "-U", "test", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	ready := start(t, as, dir, server, "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=64")
	admin := Open(t, address(dir, "postgres"))
	if err := ready(admin.Ping); err != nil {
		t.Fatal(err)
	}
	var count int
	return func(t *testing.T) string {
		t.Helper()
		count++
		name := fmt.Sprintf("test%d", count)
		if _, err := admin.Exec("CREATE DATABASE " + name); err != nil {
			t.Fatal(err)
		}
		return address(dir, name)
	}
}

func address(dir, database string) string {
	return "postgres:///" + database + "?" + url.Values{"host": {dir}, "user": {"test"}, "sslmode": {"disable"}}.Encode()
}

// owner gives dir to somebody who isn't root, whom PostgreSQL refuses.
func owner(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}

func command(as *syscall.Credential, dir, name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = dir
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	c.SysProcAttr = attributes(as)
	return c
}

func run(t testing.TB, as *syscall.Credential, dir, name string, args ...string) {
	t.Helper()
	if out, err := command(as, dir, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// TSQL has a parser read statements of T-SQL, each with a name for the report.
func TSQL(t *testing.T, statements map[string]string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "Node")
	}
	_, here, _, _ := runtime.Caller(0)
	web := filepath.Join(filepath.Dir(here), "..", "..", "..", "web")
	if _, err := os.Stat(filepath.Join(web, "node_modules", "node-sql-parser")); err != nil {
		missing(t, "node-sql-parser")
	}
	in, err := json.Marshal(statements)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(node, filepath.Join(web, "scripts", "tsql.js"))
	c.Stdin = strings.NewReader(string(in))
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("the parser refuses T-SQL: %v\n%s", err, out)
	}
}

// Migrations returns the statements in a folder of migrations, by file and number. The files
// hold no semicolon but at ends of statements.
func Migrations(t *testing.T, all fs.FS, dialect string) map[string]string {
	t.Helper()
	statements := map[string]string{}
	files, err := fs.Glob(all, dialect+"/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations of %s: %v", dialect, err)
	}
	for _, name := range files {
		b, err := fs.ReadFile(all, name)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for line := range strings.Lines(string(b)) {
			if !strings.HasPrefix(line, "--") {
				text.WriteString(line)
			}
		}
		for i, s := range strings.Split(text.String(), ";") {
			if s = strings.TrimSpace(s); s != "" {
				statements[fmt.Sprintf("%s:%d", name, i+1)] = s
			}
		}
	}
	return statements
}
