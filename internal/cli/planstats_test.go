package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"causeway/internal/sqldb"
	"causeway/internal/stats"
)

// A database of statistics, with the same counts in each of the last ten whole hours.
func statistics(t *testing.T, perHour map[string]int64) (url string) {
	t.Helper()
	url = "sqlite:" + filepath.Join(t.TempDir(), "stats.db")
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var rows []stats.Row
	now := time.Now().UTC().Truncate(time.Hour)
	for hours := range 10 {
		for i, name := range stats.Names() {
			if n := perHour[name]; n > 0 {
				rows = append(rows, stats.Row{Hour: now.Add(-time.Duration(hours+1) * time.Hour), Counter: stats.Counter(i), N: n})
			}
		}
	}
	if err := stats.NewStore(db).Write(t.Context(), "run", rows); err != nil {
		t.Fatal(err)
	}
	return url
}

func run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(context.Background(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestPlanCostFromStatistics(t *testing.T) {
	url := statistics(t, map[string]int64{
		"sessions": 20, "joins": 22, "negotiations": 42, "messages": 600, "relay_bytes": 0.5 * 1.05e9, "bytes.direct": 1.5e9, "bytes.relay": 0.4e9,
	})
	code, stdout, stderr := run("plan", "cost", "--stats", url, "--json")
	if code != 0 {
		t.Fatal(stderr)
	}
	var got struct {
		Assumptions []struct {
			Name, From string
			Value      float64
		}
		Lines []struct {
			Service string
			Next    float64 `json:"next_click"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"file_mb": 100, "relayed": 0.25, "messages": 30, "executions": (20 + 22 + 3*42 + 600) / 20.0}
	for _, a := range got.Assumptions {
		w, counted := want[a.Name]
		switch {
		case a.Name == "clicks": // ten hours, or eleven if one has begun meanwhile
			if a.From != "statistics" || a.Value < 20*730.5*10/11-1 || a.Value > 20*730.5+1 {
				t.Errorf("clicks %+v", a)
			}
		case counted:
			if delete(want, a.Name); a.From != "statistics" || a.Value < w*(1-1e-9) || a.Value > w*(1+1e-9) {
				t.Errorf("%+v, want %v", a, w)
			}
		case a.From != "scenario":
			t.Errorf("%+v was not counted", a)
		}
	}
	if len(want) > 0 {
		t.Errorf("not among the assumptions: %v", want)
	}
	for _, l := range got.Lines { // a quarter of 100 MB, with headers, at $0.40/GB
		if l.Service == "relay" && (l.Next < 0.01049 || l.Next > 0.01051) {
			t.Errorf("the relay's part is %v", l.Next)
		}
	}

	// A flag wins, and the table says what was counted.
	code, stdout, stderr = run("plan", "cost", "--stats", url, "--file-mb", "7")
	if code != 0 || !strings.Contains(stdout, "(statistics)") || !strings.Contains(strings.Join(strings.Fields(stdout), " "), "file_mb 7 MB (flag)") {
		t.Errorf("code %d: %s%s", code, stdout, stderr)
	}
}

// A server that has just begun to count has told what a session is like, but not how many a month has.
func TestPlanCostInTheFirstHour(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "stats.db")
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	store := stats.NewStore(db)
	hour := time.Now().UTC().Truncate(time.Hour)
	if err := store.Write(t.Context(), "run", []stats.Row{{Hour: hour, Counter: stats.Sessions, N: 2}, {Hour: hour, Counter: stats.Messages, N: 34}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := run("plan", "cost", "--stats", url)
	words := strings.Join(strings.Fields(stdout), " ")
	if code != 0 || !strings.Contains(words, "messages 17 of 2 KB (statistics)") || !strings.Contains(words, "clicks 100 000 a month file_mb") {
		t.Errorf("code %d: %s%s", code, stdout, stderr)
	}
}

func TestPlanCostWithoutStatistics(t *testing.T) {
	nowhere := "sqlite:" + filepath.Join(t.TempDir(), "nothing.db")
	for what, url := range map[string]string{
		"no file": nowhere, "no scheme": "nonsense", "nothing counted": statistics(t, map[string]int64{"messages": 1}),
		"a password": "postgres://user:hunter2@localhost/db",
	} {
		code, stdout, stderr := run("plan", "cost", "--stats", url)
		if code == 0 || stdout != "" || !strings.Contains(stderr, "--stats: ") || !strings.Contains(stderr, "causeway: hint: ") || strings.Contains(stderr, "hunter2") {
			t.Errorf("%s: code %d, %s", what, code, stderr)
		}
	}
}
