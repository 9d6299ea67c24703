package app

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"causeway/internal/config"
	"causeway/internal/stats"
)

// Instances count into one database, and each of them takes reports and publishes.
func TestFunctionsStatistics(t *testing.T) {
	var settings config.Config
	base, f := startFunctions(t, func(c *config.Config) {
		c.Stats = "sqlite:" + filepath.Join(t.TempDir(), "stats.db")
		settings = *c
	})
	second := startSecond(t, settings)
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	var h joined
	if status := call(t, base+"/api/sessions", "", struct{}{}, &h); status != 201 {
		t.Fatal(status)
	}
	const report = `{"outcome":"worked","path":"relay","seconds":"2","transfer":"done","size":20}`
	for at, want := range map[string]int{base: 204, second: 204} {
		if status, v := postJSON(t, at+"/api/report", h.Grant, report); status != want {
			t.Errorf("a report: %d %v", status, v)
		}
		if status, _ := postJSON(t, at+"/api/report", "", report); status != 401 {
			t.Errorf("a report of nobody: %d", status)
		}
		if status, body := get(t, http.DefaultClient, at+"/api/stats"); status != 200 || !strings.Contains(body, `"step":10`) {
			t.Errorf("%d %s", status, body)
		}
	}
	if err := f.stats.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	u, err := stats.NewStore(f.stats.db).Usage(t.Context(), time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if u.Sessions != 1 || u.Reports["worked"] < 1 || u.TransfersDone < 1 {
		t.Errorf("%+v", u)
	}
}
