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
