package stats

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/sqldb/sqldbtest"
)

func TestRounded(t *testing.T) {
	for n, want := range map[int64]int64{0: 0, 1: 10, 9: 10, 10: 10, 11: 20, 1001: 1010} {
		if got := rounded(n, step); got != want {
			t.Errorf("%d is published as %d, want %d", n, got, want)
		}
	}
}

func rows(hour time.Time, counts map[string]int64) []Row {
	var list []Row
	for name, n := range counts {
		list = append(list, Row{hour, index()[name], n})
	}
	return list
}

func TestPublish(t *testing.T) {
	now := at(24*3 + 5).Add(20 * time.Minute)
	all := rows(at(5), map[string]int64{"sessions": 3, "transfers_done": 1, "paths.direct": 31, "paths.relay": 9, "reports.worked": 39, "reports.no_path": 1, "reports.alone": 500, "reports.host": 500})
	all = append(all, rows(at(24*3+5), map[string]int64{"sessions": 104, "relay_bytes": 1, "reports.worked": 19, "refusals.work": 2})...)
	p := Publish(all, now)
	if len(p.Days) != 2 || !p.Days[0].From.Equal(at(0)) || p.Days[0].Sessions != 10 || p.Days[0].Direct != 40 || p.Days[0].Relay != 10 || p.Days[0].Done != 10 || *p.Days[0].Worked != 97.5 {
		t.Errorf("%+v", p.Days)
	}
	if len(p.Hours) != 1 || p.Hours[0].Sessions != 110 || p.Hours[0].Worked != nil {
		t.Errorf("19 reports tell a share, or hours are wrong: %+v", p.Hours)
	}
	if p.ByHour[5] != 110 || p.ByHour[6] != 0 || !p.Since.Equal(at(5)) {
		t.Errorf("%+v since %v", p.ByHour, p.Since)
	}
	if p.Total.Sessions != 110 || p.Total.RelayBytes != byteStep || len(p.Total.Refusals) != 1 || p.Total.Refusals["work"] != 10 || *p.Total.Worked != 98.3 {
		t.Errorf("%+v", p.Total)
	}
	// No count that is not rounded leaves, wherever it stands.
	var walk func(v any, name string)
	walk = func(v any, name string) {
		switch v := v.(type) {
		case map[string]any:
			for k, one := range v {
				walk(one, k)
			}
		case []any:
			for _, one := range v {
				walk(one, name)
			}
		case float64:
			if name != "worked" && int64(v)%step != 0 {
				t.Errorf("%s is published as %v", name, v)
			}
		}
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	walk(v, "")
}

func TestPublisher(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.db")
	synctest.Test(t, func(t *testing.T) {
		store := NewStore(sqldbtest.Open(t, "sqlite:"+file))
		p := NewPublisher(store)
		get := func(etag string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", "/api/stats", nil)
			r.Header.Set("If-None-Match", etag)
			w := httptest.NewRecorder()
			if err := p.Handle(w, r); err != nil {
				t.Error(err)
			}
			return w
		}
		sessions := func(w *httptest.ResponseRecorder) int64 {
			var p Published
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Errorf("%q: %v", w.Body, err)
			}
			return p.Total.Sessions
		}
		hour := hourOf(time.Now())
		write(t, store, "run", Row{hour, Sessions, 5}, Row{hour.AddDate(0, 0, -30), Sessions, 5}, Row{hour.AddDate(0, 0, -100), Sessions, 1000})
		first := get("")
		if n := sessions(first); n != 10 {
			t.Errorf("%d sessions", n)
		}
		write(t, store, "run", Row{hour, Sessions, 15})
		if n := sessions(get("")); n != 10 {
			t.Errorf("%d sessions: the copy was made anew within its time", n)
		}
		if w := get(first.Header().Get("ETag")); w.Code != 304 || w.Body.Len() != 0 {
			t.Errorf("%d %q", w.Code, w.Body)
		}
		time.Sleep(cacheFor)
		if n := sessions(get("")); n != 20 {
			t.Errorf("%d sessions after the copy's time", n)
		}
		time.Sleep(2 * time.Hour)
		if n := sessions(get("")); n != 20 {
			t.Errorf("%d sessions hours later", n)
		}
	})
}

// A database that is away is asked once in the copy's time, not by everybody who comes.
func TestPublisherFails(t *testing.T) {
	db := sqldbtest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "s.db"))
	p := NewPublisher(NewStore(db))
	now := time.Now()
	if _, err := db.Exec("CREATE TABLE stats_counts (x INT)"); err != nil { // no such columns, so nothing can be read
		t.Fatal(err)
	}
	_, _, first := p.current(context.Background(), now)
	if first == nil {
		t.Fatal("it could be read")
	}
	if _, err := db.Exec("DROP TABLE stats_counts"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.current(context.Background(), now.Add(cacheFor-1)); err != first {
		t.Errorf("%v: it was asked again at once", err)
	}
	if _, _, err := p.current(context.Background(), now.Add(cacheFor)); err != nil {
		t.Errorf("%v after the copy's time", err)
	}
}
