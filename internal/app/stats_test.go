package app

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/internal/config"
	"causeway/internal/guard"
	"causeway/internal/sqldb"
	"causeway/internal/stats"
)

// postJSON returns the status and the decoded answer.
func postJSON(t *testing.T, url, grant, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+grant)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	v := map[string]any{}
	if err := json.NewDecoder(answer.Body).Decode(&v); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return answer.StatusCode, v
}

// Each code that signaling refuses with, and each reason of the guard's, has its own counter.
func TestRefusalsAreNamed(t *testing.T) {
	files, err := filepath.Glob("../signaling/*.go")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`(?:Code:|code, reason :?=|Refused\() ?"([a-z_]+)"`)
	found := map[string]bool{}
	for _, name := range append(files, "../stats/report.go", "../demo/demo.go", "../demo/negotiate.go") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range code.FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = !strings.HasSuffix(name, "_test.go") || found[m[1]]
		}
	}
	delete(found, "unknown_request") // of nothing that is counted
	for r := guard.Blocked; r <= guard.Origin; r++ {
		found[r.String()] = true
	}
	names := stats.Names()
	for reason := range found {
		if found[reason] && !slices.Contains(names, "refusals."+reason) {
			t.Errorf("%s is counted as other", reason)
		}
	}
	for _, name := range names {
		if reason, ok := strings.CutPrefix(name, "refusals."); ok && reason != "other" && !found[reason] {
			t.Errorf("nothing is refused for %s", reason)
		}
	}
}

// From requests to the file, and what may be published of it.
func TestStatistics(t *testing.T) {
	c := testConfig(t)
	a, stop := start(t, c)
	url := a.URLs()[0]
	status, host := postJSON(t, url+"/api/sessions", "", "{}")
	grant, _ := host["grant"].(string)
	if status != http.StatusCreated || grant == "" {
		t.Fatalf("%d %v", status, host)
	}
	const report = `{"outcome":"worked","path":"relay","seconds":"2","transfer":"done","size":20}`
	for _, r := range []struct {
		path, grant, body string
		want              int
	}{
		{"/api/sessions/join", "", `{"invite":"` + host["invite"].(string) + `"}`, 200},
		{"/api/sessions/join", "", `{"invite":"x"}`, 404},
		{"/api/report", "", report, 401},
		{"/api/report", grant, report, 204},
		{"/api/report", grant, report, 204},
	} {
		if status, v := postJSON(t, url+r.path, r.grant, r.body); status != r.want {
			t.Errorf("%s %s: %d %v, want %d", r.path, r.body, status, v, r.want)
		}
	}
	if status, body := get(t, http.DefaultClient, url+"/api/stats"); status != 200 || !strings.Contains(body, `"step":10`) {
		t.Errorf("%d %s", status, body)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(t.Context(), sqldb.Config{File: filepath.Join(c.DataDir, config.StatsFile), ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	u, err := stats.NewStore(db).Usage(t.Context(), time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if u.Sessions != 1 || u.Joins != 1 || u.Refusals["unknown_link"] != 1 || u.Reports["worked"] != 1 || u.TransfersDone != 1 || u.Paths["relay"] != 1 {
		t.Errorf("%+v", u)
	}
}

func TestStatisticsOff(t *testing.T) {
	c := testConfig(t)
	c.Stats = config.StatsOff
	a, stop := start(t, c)
	if status, body := get(t, http.DefaultClient, a.URLs()[0]+"/api/stats"); status != 404 || !strings.Contains(body, "stats_off") {
		t.Errorf("%d %s", status, body)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(c.DataDir, config.StatsFile)); !os.IsNotExist(err) {
		t.Errorf("a file of statistics was made: %v", err)
	}
}

// The server starts, serves and ends while its database is away.
func TestStatisticsAway(t *testing.T) {
	c := testConfig(t)
	c.Stats = "postgres://nobody@/none?host=" + t.TempDir() // no server has a socket there
	a, stop := start(t, c)
	if status, v := postJSON(t, a.URLs()[0]+"/api/sessions", "", "{}"); status != http.StatusCreated {
		t.Errorf("%d %v", status, v)
	}
	if status, body := get(t, http.DefaultClient, a.URLs()[0]+"/api/stats"); status != 503 || !strings.Contains(body, "no_statistics") {
		t.Errorf("%d %s", status, body)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	c.Stats = "postgres://nobody:secret@localhost/none"
	if _, err := New(context.Background(), c, Options{}, slog.New(slog.DiscardHandler)); err == nil || strings.Contains(err.Error(), "secret@") {
		t.Errorf("%v", err)
	}
}

// The dashboard asks for nothing that the program does not have.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile("../../deploy/grafana/causeway.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct{ List []struct{ Query string } }
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	a, stop := start(t, testConfig(t))
	_, text := get(t, http.DefaultClient, a.URLs()[0]+"/metrics")
	if err := stop(); err != nil {
		t.Error(err)
	}
	var have []string
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		if name, ok := strings.CutPrefix(s.Text(), "# TYPE "); ok {
			name, _, _ = strings.Cut(name, " ")
			have = append(have, name)
		}
	}
	asked := map[string]bool{}
	metric := regexp.MustCompile(`causeway_[a-z_]+`)
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			names := metric.FindAllString(target.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s asks for no metric of ours: %s", p.Title, target.Expr)
			}
			for _, name := range names {
				asked[name] = true
				if !slices.Contains(have, name) {
					t.Errorf("%s asks for %s, which /metrics does not have", p.Title, name)
				}
			}
		}
	}
	for _, part := range []string{"hub", "relay", "budget", "grant", "stats"} {
		if !slices.ContainsFunc(have, func(name string) bool { return strings.HasPrefix(name, "causeway_"+part) && asked[name] }) {
			t.Errorf("the dashboard shows nothing of %s", part)
		}
	}
	for _, one := range board.Templating.List {
		if name := metric.FindString(one.Query); name != "" && !slices.Contains(have, name) {
			t.Errorf("a variable asks for %s", name)
		}
	}
}
