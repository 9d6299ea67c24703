package stats

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"causeway/internal/sqldb/sqldbtest"
)

// The plain counters are named by constants, so their order is that of the families.
func TestCounters(t *testing.T) {
	names := Names()
	for c, want := range map[Counter]string{
		Sessions: "sessions", Joins: "joins", Negotiations: "negotiations", Messages: "messages",
		RelayBytes: "relay_bytes", TransfersOffered: "transfers_offered", TransfersDone: "transfers_done", DemoMessages: "demo_messages", plain: "refusals.bad_grant",
	} {
		if names[c] != want {
			t.Errorf("counter %d is %s, want %s", c, names[c], want)
		}
	}
	if len(index()) != len(names) {
		t.Error("two counters have one name")
	}
	for _, n := range names {
		if len(n) > 64 {
			t.Errorf("%s does not fit its column", n)
		}
	}
}

// What the user is told is complete.
func TestPrivacyPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/privacy.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, column := range []string{"hour_start", "counter", "run", "n"} {
		if !strings.Contains(text, "| `"+column+"` |") {
			t.Errorf("docs/privacy.md does not list the column %s", column)
		}
	}
	for _, f := range families {
		line := "| `" + f.name + "` | "
		if len(f.kinds) > 0 {
			line += "`" + strings.Join(f.kinds, "`, `") + "` |"
		}
		if !strings.Contains(text, line) {
			t.Errorf("docs/privacy.md does not have: %s", line)
		}
	}
}

// Neither are there tables, or columns, of which it does not tell.
func TestPrivacyPageTables(t *testing.T) {
	b, err := os.ReadFile("../../docs/privacy.md")
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]map[string][]string{} // columns by dialect and table
	for _, pattern := range []string{"../*/migrations/*/*.sql", "../*/*/migrations/*/*.sql"} {
		files, err := filepath.Glob(pattern) // in their order
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			dialect := filepath.Base(filepath.Dir(name))
			if made[dialect] == nil {
				made[dialect] = map[string][]string{}
			}
			migrate(t, name, made[dialect])
		}
	}
	if len(made) != 3 || len(made["sqlite"]) < 6 {
		t.Errorf("only %d dialects, and %d tables, were found", len(made), len(made["sqlite"]))
	}
	for dialect, tables := range made {
		if !maps.EqualFunc(tables, made["sqlite"], slices.Equal[[]string]) {
			t.Errorf("%s has other tables or columns than sqlite", dialect)
		}
	}
	for name, columns := range made["sqlite"] {
		if name == "stats_counts" && slices.Equal(columns, []string{"hour_start", "counter", "run", "n"}) {
			continue // these have lines of their own
		}
		if !strings.Contains(string(b), "| `"+name+"` | `"+strings.Join(columns, "`, `")+"` |") {
			t.Errorf("docs/privacy.md does not list %s with %v", name, columns)
		}
	}
}

var (
	createTable = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\)`)
	columnLine  = regexp.MustCompile(`(?m)^  ([a-z]\w*) `)
	addColumn   = regexp.MustCompile(`ALTER TABLE (\w+) ADD (?:COLUMN )?([a-z]\w*) `)
)

// migrate does to tables what a migration does.
func migrate(t *testing.T, name string, tables map[string][]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	up, _, _ := strings.Cut(string(text), "-- +goose Down")
	for _, m := range createTable.FindAllStringSubmatch(up, -1) {
		for _, c := range columnLine.FindAllStringSubmatch(m[2], -1) {
			tables[m[1]] = append(tables[m[1]], c[1])
		}
	}
	added := addColumn.FindAllStringSubmatch(up, -1)
	for _, m := range added {
		tables[m[1]] = append(tables[m[1]], m[2])
	}
	if n := strings.Count(up, "ALTER TABLE"); n != len(added) {
		t.Errorf("%s changes a table in a way that this test does not understand", name)
	}
}

// A write begins every Interval, one more at the end of each hour, and one when all has ended.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.db")
	synctest.Test(t, func(t *testing.T) {
		store := NewStore(sqldbtest.Open(t, "sqlite:"+file))
		r, err := New(Config{Store: store, Interval: 25 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		begin := hourOf(time.Now())
		time.Sleep(time.Until(begin.Add(time.Hour - time.Second))) // 10 s after the last write
		r.Add(Messages, 3)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		see := func(when string, from time.Time, want int64) {
			t.Helper()
			u, err := store.Usage(t.Context(), from, from.Add(time.Hour))
			if err != nil || u.Messages != want {
				t.Errorf("%s: %d, %v, want %d", when, u.Messages, err, want)
			}
		}
		see("the hour is over", begin, 3)
		r.Add(Messages, 4)
		time.Sleep(23 * time.Second)
		see("before the interval is over", begin.Add(time.Hour), 0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		see("after it", begin.Add(time.Hour), 4)
		r.Add(Messages, 5)
		cancel()
		if err := errors.Join(<-done, r.Last(ctx)); err != nil {
			t.Error(err)
		}
		see("after the end", begin.Add(time.Hour), 9)
	})
}

// While the database is away hours wait, and only the oldest are given up; the counters go on.
func TestDatabaseAway(t *testing.T) {
	db := sqldbtest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "s.db"))
	store := NewStore(db)
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	r, err := New(Config{Store: store, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	first := r.hour.Add(-(maxHours + 2) * time.Hour)
	r.hour = first
	for h := range maxHours + 2 {
		r.Add(Sessions, 10)
		r.collect(first.Add(time.Duration(h+1) * time.Hour))
	}
	if n := r.dropped.Load(); n != 20 || len(r.hours) != maxHours {
		t.Errorf("%d dropped, %d hours kept", n, len(r.hours))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	u, err := store.Usage(t.Context(), first, first.Add(100*time.Hour))
	if err != nil || u.Sessions != 10*maxHours || u.Hours != maxHours {
		t.Errorf("%+v %v", u, err)
	}
	if len(r.hours) != 0 {
		t.Errorf("%d hours are kept that are stored", len(r.hours))
	}
	const want = `# HELP causeway_stats_dropped_total Counts that were dropped, as the database was away for too long.
# TYPE causeway_stats_dropped_total counter
causeway_stats_dropped_total 20
# HELP causeway_stats_sessions_total Sessions made.
# TYPE causeway_stats_sessions_total counter
causeway_stats_sessions_total 740
# HELP causeway_stats_writes_total Writes to the database, by result.
# TYPE causeway_stats_writes_total counter
causeway_stats_writes_total{result="failed"} 1
causeway_stats_writes_total{result="ok"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "causeway_stats_dropped_total", "causeway_stats_sessions_total", "causeway_stats_writes_total"); err != nil {
		t.Error(err)
	}
}

// Counting waits for nothing and allocates nothing.
func TestCheap(t *testing.T) {
	r, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock() // whatever a write does
	r.writing.Lock()
	if n := testing.AllocsPerRun(100, func() { r.MessagePassed() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	r.Refused("work")
	if r.total[Messages].Load() == 0 {
		t.Error("nothing was counted")
	}
}
