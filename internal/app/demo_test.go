package app

import (
	"path/filepath"
	"testing"
	"time"

	"causeway/internal/sqldb"
	"causeway/internal/stats"
)

// What was stored before counts, once, and so does what another process stores.
func TestDemoMessageCount(t *testing.T) {
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: "sqlite:", File: filepath.Join(t.TempDir(), "stats.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	store := stats.NewStore(db)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	write := func(run string, hour time.Time, n int64) {
		t.Helper()
		if err := store.Write(t.Context(), run, []stats.Row{{Hour: hour, Counter: stats.DemoMessages, N: n}}); err != nil {
			t.Fatal(err)
		}
	}
	write("before", today.Add(-24*time.Hour), 40)
	write("before", today, 2)
	recorder, err := stats.New(stats.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	c := &messageCount{recorder: recorder, store: store}
	add := func(wantAll, wantToday int64) {
		t.Helper()
		if all, today, err := c.add(t.Context()); err != nil || all != wantAll || today != wantToday {
			t.Errorf("%d ever, %d today, %v; want %d and %d", all, today, err, wantAll, wantToday)
		}
	}
	add(43, 3)
	add(44, 4)
	write("another", today, 10)
	add(45, 5)
	c.looked = c.looked.Add(-recountEvery)
	add(52, 12) // its own three are not stored yet, or it would be 55
}

// Processes that count together know each other's messages at once.
func TestDemoMessagesTogether(t *testing.T) {
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: "sqlite:", File: filepath.Join(t.TempDir(), "stats.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	hour := time.Now().UTC().Truncate(time.Hour)
	if err := stats.NewStore(db).Write(t.Context(), "before", []stats.Row{{Hour: hour.Add(-48 * time.Hour), Counter: stats.DemoMessages, N: 40}}); err != nil {
		t.Fatal(err)
	}
	var both [2]*messageCount
	for i := range both {
		s := &statistics{db: db}
		if s.Recorder, err = stats.New(stats.Config{Store: stats.NewStore(db)}); err != nil {
			t.Fatal(err)
		}
		both[i] = s.demoMessages(true)
	}
	for n := int64(1); n <= 6; n++ {
		if all, today, err := both[n%2].add(t.Context()); err != nil || all != 40+n || today != n {
			t.Errorf("message %d: %d ever, %d today, %v", n, all, today, err)
		}
	}
}
