package stats

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/httpx"
)

// reporting is a Reports whose grants are the words in the Authorization header, and its recorder.
func reporting(t *testing.T, rate float64) (func(grant, body string) int, *Recorder) {
	t.Helper()
	rec, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	reports, err := NewReports(ReportsConfig{Recorder: rec, Rate: rate, Holder: func(r *http.Request) (Holder, error) {
		g := r.Header.Get("Authorization")
		if g == "" {
			return Holder{}, &httpx.Error{Status: http.StatusUnauthorized, Code: "bad_grant"}
		}
		return Holder{ID: g, Expires: time.Now().Add(time.Hour)}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return func(grant, body string) int {
		r := httptest.NewRequest("POST", "/api/report", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", grant)
		w := httptest.NewRecorder()
		if err := reports.Handle(w, r); err != nil {
			var e *httpx.Error
			if !errors.As(err, &e) {
				t.Errorf("%s: %v", body, err)
				return 0
			}
			return e.Status
		}
		return w.Code
	}, rec
}

// counted are the counters that are not zero.
func counted(r *Recorder) string {
	var all []string
	for c, name := range Names() {
		if n := r.total[c].Load(); n != 0 {
			all = append(all, fmt.Sprintf("%s=%d", name, n))
		}
	}
	return strings.Join(all, " ")
}

func TestReports(t *testing.T) {
	for body, want := range map[string]string{
		`{"outcome":"worked","path":"direct","seconds":"2","transfer":"done","size":22}`: "transfers_offered=1 transfers_done=1 reports.worked=1 paths.direct=1 connect_seconds.2=1 transfers_size.10mb=1 bytes.direct=3145728 bytes_by_size.10mb=3145728",
		`{"outcome":"worked","path":"relay","seconds":"more","transfer":"done"}`:         "transfers_offered=1 transfers_done=1 reports.worked=1 paths.relay=1 connect_seconds.more=1 transfers_size.1mb=1",
		`{"outcome":"worked","path":"relay","seconds":"1","transfer":"disk"}`:            "transfers_offered=1 reports.worked=1 paths.relay=1 connect_seconds.1=1 transfers_failed.disk=1",
		`{"outcome":"worked","path":"relay","seconds":"1","transfer":"offered"}`:         "transfers_offered=1 reports.worked=1 paths.relay=1 connect_seconds.1=1",
		`{"outcome":"worked","path":"direct","seconds":"1","transfer":"none"}`:           "reports.worked=1 paths.direct=1 connect_seconds.1=1",
		`{"outcome":"no_path"}`: "reports.no_path=1",
		`{"outcome":"host"}`:    "reports.host=1",
	} {
		send, rec := reporting(t, 0)
		for range 2 { // the second changes nothing, and the page can't tell
			if status := send("grant", body); status != http.StatusNoContent {
				t.Errorf("%s: %d", body, status)
			}
		}
		if got := counted(rec); got != want && got+" bytes.relay=0" != want {
			t.Errorf("%s\ncounted %s\nwant    %s", body, got, want)
		}
	}
}

func TestReportRefusals(t *testing.T) {
	send, rec := reporting(t, 0)
	for body, want := range map[string]int{
		`{"outcome":"Alice"}`:                400,
		`{"outcome":""}`:                     400,
		`{}`:                                 400,
		`{"outcome":"host","path":"direct"}`: 400,
		`{"outcome":"worked","path":"10.0.0.1","seconds":"1","transfer":"none"}`:          400,
		`{"outcome":"worked","path":"direct","seconds":"3","transfer":"none"}`:            400,
		`{"outcome":"worked","path":"direct","seconds":"1","transfer":"x"}`:               400,
		`{"outcome":"worked","path":"direct","seconds":"1","transfer":"done","size":45}`:  400,
		`{"outcome":"worked","path":"direct","seconds":"1","transfer":"done","size":-1}`:  400,
		`{"outcome":"worked","path":"direct","seconds":"1","transfer":"disk","size":3}`:   400,
		`{"outcome":"worked","path":"direct","seconds":"1","transfer":"done","size":1e9}`: 400,
		`{"outcome":"no_path","seconds":"1"}`:                                             400,
		`{"outcome":"host"} {"outcome":"host"}`:                                           400,
		`{"outcome":"` + strings.Repeat("x", maxReport) + `"}`:                            413,
	} {
		if got := send("grant", body); got != want {
			t.Errorf("%.80s: %d, want %d", body, got, want)
		}
	}
	if got := send("", `{"outcome":"host"}`); got != http.StatusUnauthorized {
		t.Errorf("without a grant: %d", got)
	}
	if got := counted(rec); got != "" {
		t.Errorf("counted %s", got)
	}
	// What was refused did not use up the grant's one report.
	if send("grant", `{"outcome":"host"}`) != http.StatusNoContent || counted(rec) != "reports.host=1" {
		t.Error("a refused report used up the grant")
	}
}

func TestReportBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		send, rec := reporting(t, 0.5) // bursts of 5
		taken := 0
		for i := range 20 {
			if send(fmt.Sprint(i), `{"outcome":"host"}`) == http.StatusNoContent {
				taken++
			}
		}
		if taken != 5 || counted(rec) != "reports.host=5" {
			t.Errorf("%d were taken, %s", taken, counted(rec))
		}
		// When the grant has expired nothing is known of it any more.
		time.Sleep(2 * time.Hour)
		send("0", `{"outcome":"host"}`)
		if counted(rec) != "reports.host=6" {
			t.Errorf("%s", counted(rec))
		}
	})
}

// When the table is full nobody else is counted, and nobody who was counted is forgotten.
func TestReportTable(t *testing.T) {
	rec, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewReports(ReportsConfig{Recorder: rec, Holder: func(*http.Request) (Holder, error) { return Holder{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range maxHolders {
		if !s.first(Holder{fmt.Sprint(i), now.Add(time.Hour)}, now) {
			t.Fatal("not taken")
		}
	}
	if s.first(Holder{"one more", now.Add(time.Hour)}, now) || s.first(Holder{"0", now.Add(time.Hour)}, now) {
		t.Error("more than the table holds")
	}
	if later := now.Add(2 * time.Hour); !s.first(Holder{"one more", later.Add(time.Hour)}, later) || len(s.seen) != 1 {
		t.Errorf("%d are known", len(s.seen))
	}
}
