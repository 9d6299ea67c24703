package sharedsql

import (
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"causeway/internal/grant"
	"causeway/internal/grant/shared"
	"causeway/internal/ice"
	"causeway/internal/sqldb"
	"causeway/internal/sqldb/sqldbtest"
)

func pair(id, a, b string) shared.Pair {
	now := time.Now().Truncate(time.Microsecond).UTC()
	return shared.Pair{ID: id, Session: "s", Members: [2]string{a, b}, Made: now, Seen: now, NotAfter: now.Add(time.Hour)}
}

// The Store of one process and those of databases keep the same promises.
func TestStores(t *testing.T) {
	t.Run("memory", func(t *testing.T) { promises(t, shared.NewMemory()) })
	sqldbtest.All(t, func(t *testing.T, url func(*testing.T) string) {
		address := url(t)
		one, two := New(sqldbtest.Open(t, address)), New(sqldbtest.Open(t, address))
		promises(t, one)
		together(t, one, two)
	})
}

func promises(t *testing.T, s shared.Store) {
	t.Helper()
	ctx := t.Context()
	p := pair("id1", "a", "b")
	if got, mine, err := s.Claim(ctx, p); err != nil || !mine || got.ID != "id1" {
		t.Fatalf("%+v, %v, %v", got, mine, err)
	}
	other := p
	other.Members = [2]string{"b", "a"}
	if got, mine, err := s.Claim(ctx, other); err != nil || mine || got.Members[0] != "a" {
		t.Errorf("the second one: %+v, %v, %v", got, mine, err)
	}
	p.Minted, p.Lost, p.Seen = true, p.Made, p.Seen.Add(time.Second)
	p.Credentials[1] = grant.Credential{Handle: "h:1", Servers: []ice.Server{{URLs: []string{"turn:x"}, Username: "u", Credential: "c"}}}
	if ok, err := s.Update(ctx, p); err != nil || !ok {
		t.Errorf("update: %v, %v", ok, err)
	}
	later := p
	later.Made = p.Made.Add(time.Second)
	if ok, err := s.Update(ctx, later); err != nil || ok {
		t.Errorf("update of one that was made at another time: %v, %v", ok, err)
	}
	if _, _, err := s.Claim(ctx, pair("id2", "b", "c")); err != nil {
		t.Fatal(err)
	}
	ids := func(f shared.Filter, limit int) string {
		t.Helper()
		list, err := s.List(ctx, f, limit)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, p := range list {
			all = append(all, p.ID)
		}
		return strings.Join(all, " ")
	}
	for want, f := range map[string]shared.Filter{"id1": {ID: "id1"}, "id2": {Session: "s", Peer: "c"}, "id2 id1": {Session: "s", Peer: "b"}, "": {Session: "other"}} {
		if got := ids(f, 10); got != want {
			t.Errorf("%+v: %q", f, got)
		}
	}
	if got := ids(shared.Filter{}, 1); got != "id2" {
		t.Errorf("the one that was seen longest ago: %q", got)
	}
	if got := ids(shared.Filter{Before: p.Seen}, 10); got != "id2" {
		t.Errorf("seen before: %q", got)
	}
	list, err := s.List(ctx, shared.Filter{ID: "id1"}, 1)
	if err != nil || len(list) != 1 || !list[0].Minted || !list[0].Lost.Equal(p.Lost) || !list[0].NotAfter.Equal(p.NotAfter) || list[0].Credentials[1].Servers[0].Credential != "c" {
		t.Errorf("%+v, %v", list, err)
	}
	for _, want := range []bool{true, false} {
		if ok, err := s.End(ctx, "id1"); err != nil || ok != want {
			t.Errorf("end: %v, %v", ok, err)
		}
	}
	if ok, err := s.Update(ctx, p); err != nil || ok {
		t.Errorf("update of what has ended: %v, %v", ok, err)
	}
	buckets(t, s)
}

func buckets(t *testing.T, s shared.Store) {
	t.Helper()
	now := time.Now()
	taken := 0
	for range 10 {
		ok, err := s.Take(t.Context(), "bucket", now, 4, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			taken++
		}
	}
	if taken != 4 {
		t.Errorf("%d of a burst of 4", taken)
	}
	for i, want := range []bool{true, true, false} {
		if ok, err := s.Take(t.Context(), "bucket", now.Add(2*time.Minute+time.Second), 4, time.Minute); err != nil || ok != want {
			t.Errorf("two minutes later, %d: %v, %v", i, ok, err)
		}
	}
	if ok, err := s.Take(t.Context(), "another", now.Add(time.Hour), 1, time.Minute); err != nil || !ok {
		t.Errorf("another bucket: %v, %v", ok, err)
	}
}

// Two processes, many at once: one of all gets a pair, and a bucket gives what it holds.
func together(t *testing.T, one, two *Store) {
	t.Helper()
	stores := []*Store{one, two}
	now := time.Now()
	var mine, taken, ended atomic.Int32
	var g sync.WaitGroup
	for i := range 24 {
		g.Go(func() {
			s := stores[i%2]
			for j := range 5 {
				_, ok, err := s.Claim(t.Context(), pair(fmt.Sprintf("race%d", j), "a", "b"))
				if err != nil {
					t.Error(err)
				}
				if ok {
					mine.Add(1)
				}
			}
			for range 2 {
				ok, err := s.Take(t.Context(), "race", now, 7, time.Hour)
				if err != nil {
					t.Error(err)
				}
				if ok {
					taken.Add(1)
				}
			}
			ok, err := s.End(t.Context(), "id2")
			if err != nil {
				t.Error(err)
			}
			if ok {
				ended.Add(1)
			}
		})
	}
	g.Wait()
	if mine.Load() != 5 || taken.Load() != 7 || ended.Load() != 1 {
		t.Errorf("%d pairs were added, %d tokens taken, one pair ended %d times", mine.Load(), taken.Load(), ended.Load())
	}
}

// What Azure SQL would be told parses as T-SQL.
func TestTSQL(t *testing.T) {
	d := sqldb.SQLServer()
	list, _ := listPairs(d, shared.Filter{ID: "i", Session: "s", Peer: "p", Before: time.Now()}, 3)
	statements := map[string]string{"list": d.Rebind(list)}
	for name, text := range map[string]string{"insert": insertPair, "update": updatePair, "delete": deletePair, "take": takeToken, "new bucket": newBucket, "old buckets": oldBuckets} {
		statements[name] = d.Rebind(text)
	}
	files, err := Migrations()
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(files, "sqlserver/00001_pairs.sql")
	if err != nil {
		t.Fatal(err)
	}
	up, _, _ := strings.Cut(string(text), "-- +goose Down")
	for i, s := range strings.Split(strings.TrimPrefix(up, "-- +goose Up"), ";") {
		if s = strings.TrimSpace(s); s != "" {
			statements[fmt.Sprint("migration ", i)] = s
		}
	}
	sqldbtest.TSQL(t, statements)
}
