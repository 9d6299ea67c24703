package stats

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"causeway/internal/sqldb"
	"causeway/internal/sqldb/sqldbtest"
)

func at(hours int) time.Time {
	return time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC).Add(time.Duration(hours) * time.Hour)
}

func TestStore(t *testing.T) {
	sqldbtest.All(t, func(t *testing.T, url func(*testing.T) string) {
		open := func(t *testing.T) *Store { return NewStore(sqldbtest.Open(t, url(t))) }
		t.Run("twice is once", func(t *testing.T) { twice(t, open(t)) })
		t.Run("hours and forgetting", func(t *testing.T) { forgets(t, open(t)) })
		t.Run("all or none", func(t *testing.T) { allOrNone(t, open(t)) })
		t.Run("several runs", func(t *testing.T) { runs(t, url(t)) })
		t.Run("recorder", func(t *testing.T) { recorded(t, open(t)) })
		t.Run("killed", func(t *testing.T) { killed(t, url(t)) })
	})
}

func write(t *testing.T, s *Store, run string, rows ...Row) {
	t.Helper()
	if err := s.Write(t.Context(), run, rows); err != nil {
		t.Fatal(err)
	}
}

func usage(t *testing.T, s *Store, from, to int) Usage {
	t.Helper()
	u, err := s.Usage(t.Context(), at(from), at(to))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A write of which nobody knows whether it came through is done again; a late one comes after its
// successor.
func twice(t *testing.T, s *Store) {
	for _, n := range []int64{3, 3, 5, 3} {
		write(t, s, "run", Row{at(0), Sessions, n}, Row{at(0), Messages, 1 << 40})
	}
	write(t, s, "other run", Row{at(0), Sessions, 2})
	if u := usage(t, s, 0, 1); u.Sessions != 7 || u.Messages != 1<<40 || u.Hours != 1 {
		t.Errorf("%+v", u)
	}
}

func forgets(t *testing.T, s *Store) {
	first := func() time.Time {
		t.Helper()
		hour, err := s.First(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return hour
	}
	if !first().IsZero() {
		t.Error("an empty table has a first hour")
	}
	for h := range 5 {
		write(t, s, "run", Row{at(h), Sessions, int64(h + 1)})
	}
	if u := usage(t, s, 1, 4); u.Sessions != 2+3+4 || u.Hours != 3 {
		t.Errorf("%+v", u)
	}
	for from, want := range map[int]int64{0: 1 + 2 + 3 + 4 + 5, 3: 4 + 5, 9: 0} {
		if n, err := s.Total(t.Context(), Sessions, at(from)); err != nil || n != want {
			t.Errorf("total from hour %d: %d, %v; want %d", from, n, err, want)
		}
	}
	if err := s.Forget(t.Context(), at(2)); err != nil {
		t.Fatal(err)
	}
	if u := usage(t, s, 0, 5); u.Sessions != 3+4+5 || !first().Equal(at(2)) {
		t.Errorf("%+v, first %v", u, first())
	}
	// A newer version's counter is no error for an older one.
	if _, err := s.db.ExecContext(t.Context(), s.db.Rebind("INSERT INTO stats_counts (hour_start, counter, run, n) VALUES (?, ?, ?, ?)"), at(3).Unix(), "of tomorrow", "run", 1); err != nil {
		t.Fatal(err)
	}
	if u := usage(t, s, 3, 4); u.Sessions != 4 {
		t.Errorf("%+v", u)
	}
}

func allOrNone(t *testing.T, s *Store) {
	write(t, s, "run", Row{at(0), Sessions, 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, "run", []Row{{at(0), Sessions, 5}}); err == nil {
		t.Error("a write that was given up succeeded")
	}
	no := errors.New("no")
	err := s.db.Tx(t.Context(), func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(t.Context(), writeSQL(s.db.Dialect), at(0).Unix(), "sessions", "run", 9); err != nil {
			return err
		}
		return no
	})
	if u := usage(t, s, 0, 1); !errors.Is(err, no) || u.Sessions != 1 {
		t.Errorf("%v %+v", err, u)
	}
}

// runs are processes that write to one database at the same time, each with its own pool.
func runs(t *testing.T, url string) {
	const processes, times = 6, 15
	var wg sync.WaitGroup
	errs := make(chan error, processes)
	for i := range processes {
		s := NewStore(sqldbtest.Open(t, url))
		if i == 0 || s.db.Dialect.Name == "sqlite" { // one process at a time starts with a folder of data
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r, err := New(Config{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			var err error
			for range times {
				r.SessionCreated()
				r.Refused("work")
				err = errors.Join(err, r.Flush(t.Context()))
			}
			errs <- err
		})
	}
	wg.Wait()
	for range processes {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	s := NewStore(sqldbtest.Open(t, url))
	u, err := s.Usage(t.Context(), time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour))
	if err != nil || u.Sessions != processes*times || u.Refusals["work"] != processes*times {
		t.Errorf("%v %+v", err, u)
	}
}

func recorded(t *testing.T, s *Store) {
	var relayed int64
	r, err := New(Config{Store: s, RelayBytes: func() int64 { return relayed }})
	if err != nil {
		t.Fatal(err)
	}
	r.SessionCreated()
	r.Joined()
	r.Negotiated()
	r.MessagePassed()
	relayed = 5e9
	r.Refused("work")
	r.Refused("something new")
	for range 2 {
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.Joined()
	}
	u, err := s.Usage(t.Context(), time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if u.Sessions != 1 || u.Joins != 2 || u.Negotiations != 1 || u.Messages != 1 || u.RelayBytes != 5e9 || u.Refusals["work"] != 1 || u.Refusals["other"] != 1 {
		t.Errorf("%+v", u)
	}
}

// This is all that is proved of T-SQL: a parser can read it.
func TestTSQL(t *testing.T) {
	d := sqldb.SQLServer()
	files, err := Migrations()
	if err != nil {
		t.Fatal(err)
	}
	statements := sqldbtest.Migrations(t, files, d.Name)
	statements["write"] = writeSQL(d)
	for name, text := range map[string]string{"read": readSQL, "first": firstSQL, "total": totalSQL, "forget": forgetSQL} {
		statements[name] = d.Rebind(text)
	}
	sqldbtest.TSQL(t, statements)
}
