package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/secret"
)

const token = "0123456789abcdef-operator"

// parts are a program that has two sessions, and remembers what is done to it.
type parts struct {
	ended  []string
	blocks []Block
	full   bool
}

func (p *parts) List() []Session {
	return []Session{{ID: "quiet", Members: 2, Connections: 2}, {ID: "busy", Members: 2, Connections: 2, Relayed: 7}}
}

func (p *parts) End(_ context.Context, id string) (bool, error) {
	p.ended = append(p.ended, id)
	return id == "busy", nil
}

type blocks struct{ *parts }

func (b blocks) List() []Block { return b.blocks }

func (b blocks) Block(p netip.Prefix, until time.Time) error {
	if b.full {
		return errors.New("full")
	}
	one := Block{Prefix: p.Masked()}
	if !until.IsZero() {
		one.Until = &until
	}
	b.parts.blocks = append(b.parts.blocks, one)
	return nil
}

func (b blocks) Unblock(p netip.Prefix) bool {
	n := len(b.parts.blocks)
	b.parts.blocks = slices.DeleteFunc(b.parts.blocks, func(one Block) bool { return one.Prefix == p.Masked() })
	return len(b.parts.blocks) < n
}

type fixture struct {
	parts parts
	mux   *http.ServeMux
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	reg := prometheus.NewRegistry()
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_grant_refused_total"}, []string{"reason"})
	denied := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_relay_peers_denied_total"}, []string{"verdict", "where"})
	connections := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "causeway_hub_connections"}, []string{"service"})
	allocations := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "causeway_relay_allocations"}, []string{"transport"})
	other := prometheus.NewCounter(prometheus.CounterOpts{Name: "causeway_hub_messages_read_total"})
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_stats_refusals_total"}, []string{"reason"})
	guarded := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_guard_refused_total"}, []string{"action", "reason"})
	reg.MustRegister(refused, denied, connections, allocations, other, counted, guarded)
	for _, reason := range []string{"relay_limited", "prefix", "unknown_link"} { // the first two are others'
		counted.WithLabelValues(reason).Add(2)
	}
	guarded.WithLabelValues("create", "prefix").Add(1)
	guarded.WithLabelValues("join", "prefix").Add(1)
	refused.WithLabelValues("limited").Add(3)
	refused.WithLabelValues("spent")
	denied.WithLabelValues("private", "request").Add(2)
	denied.WithLabelValues("private", "packet").Add(3)
	connections.WithLabelValues("signaling").Set(4)
	allocations.WithLabelValues("udp").Set(1)
	allocations.WithLabelValues("tcp").Set(2)
	f := &fixture{mux: http.NewServeMux()}
	a, err := New(Config{
		Token: secret.New(token), Metrics: reg, Sessions: &f.parts, Blocks: blocks{&f.parts}, Version: "v1",
		Budgets: func() []Account { return []Account{{Name: "day", Cap: 10, Left: 4, Spent: 5, Leased: 1}} },
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Routes(f.mux)
	return f
}

func (f *fixture) do(t *testing.T, method, path, bearer, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	w := httptest.NewRecorder()
	f.mux.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestOverview(t *testing.T) {
	f := newFixture(t)
	status, body := f.do(t, "GET", "/api/admin", token, "")
	var o Overview
	if err := json.Unmarshal([]byte(body), &o); err != nil || status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if want := []Refusal{{"relay", "private", 5}, {"grant", "limited", 3}, {"guard", "prefix", 2}, {"signaling", "unknown_link", 2}}; !slices.Equal(o.Refusals, want) {
		t.Errorf("refusals %+v, want %+v", o.Refusals, want)
	}
	if want := []Number{{"causeway_hub_connections{signaling}", 4}, {"causeway_relay_allocations", 3}}; !slices.Equal(o.Numbers, want) {
		t.Errorf("numbers %+v, want %+v", o.Numbers, want)
	}
	if len(o.Sessions) != 2 || o.Sessions[0].ID != "busy" {
		t.Errorf("sessions %+v: want those first that relayed most", o.Sessions)
	}
	if len(o.Budgets) != 1 || o.Budgets[0].Left != 4 || o.Version != "v1" {
		t.Errorf("overview %+v", o)
	}
}

// Without the token nothing is told and nothing is done; who guesses is stopped, and only for a
// minute.
func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		for _, r := range [][2]string{{"GET", "/api/admin"}, {"POST", "/api/admin/blocks"}, {"DELETE", "/api/admin/blocks"}, {"POST", "/api/admin/end"}} {
			for _, bearer := range []string{"", "wrong", token + "x", token[1:]} {
				if status, body := f.do(t, r[0], r[1], bearer, `{"session":"busy","prefix":"192.0.2.0/24"}`); status != 401 && status != 429 {
					t.Errorf("%v with %q: %d %s", r, bearer, status, body)
				}
			}
		}
		if len(f.parts.ended)+len(f.parts.blocks) > 0 {
			t.Errorf("something was done: %+v", f.parts)
		}
		for range Failures {
			f.do(t, "GET", "/api/admin", "guess", "")
		}
		if status, _ := f.do(t, "GET", "/api/admin", token, ""); status != 429 {
			t.Errorf("after many guesses: %d", status)
		}
		time.Sleep(time.Minute)
		if status, _ := f.do(t, "GET", "/api/admin", token, ""); status != 200 {
			t.Errorf("a minute later: %d", status)
		}
		for range 10 * Failures { // the right token costs nothing
			if status, _ := f.do(t, "GET", "/api/admin", token, ""); status != 200 {
				t.Fatalf("the right token: %d", status)
			}
		}
	})
	if _, err := New(Config{Token: secret.New("short"), Metrics: prometheus.NewRegistry(), Sessions: &parts{}, Blocks: blocks{&parts{}}, Budgets: func() []Account { return nil }}); err == nil || strings.Contains(err.Error(), "short\"") {
		t.Errorf("a short token: %v", err)
	}
}

func TestBlocks(t *testing.T) {
	f := newFixture(t)
	for body, want := range map[string]int{
		`{"prefix":"192.0.2.7/24","hours":1}`: 200, `{"prefix":"2001:db8::1"}`: 200, `{"prefix":" 198.51.100.4 "}`: 200,
		`{"prefix":"nonsense"}`: 400, `{"prefix":""}`: 400, `{"prefix":"0.0.0.0/0"}`: 400, `{"prefix":"::/0"}`: 400,
		`{"prefix":"192.0.2.0/24","hours":-1}`: 400, `{"prefix":"192.0.2.0/24","hours":1e9}`: 400, `[]`: 400,
	} {
		if status, answer := f.do(t, "POST", "/api/admin/blocks", token, body); status != want {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	if len(f.parts.blocks) != 3 {
		t.Errorf("blocks %+v", f.parts.blocks)
	}
	for _, b := range f.parts.blocks {
		if (b.Until != nil) != (b.Prefix.String() == "192.0.2.0/24") {
			t.Errorf("%v until %v", b.Prefix, b.Until)
		}
	}
	for i, want := range []int{200, 404} {
		if status, _ := f.do(t, "DELETE", "/api/admin/blocks", token, `{"prefix":"192.0.2.0/24"}`); status != want {
			t.Errorf("unblock, %d times: %d", i+1, status)
		}
	}
	f.parts.full = true
	if status, _ := f.do(t, "POST", "/api/admin/blocks", token, `{"prefix":"203.0.113.0/24"}`); status != 409 {
		t.Errorf("too many: %d", status)
	}
}

func TestEnd(t *testing.T) {
	f := newFixture(t)
	for body, want := range map[string]int{`{"session":"busy"}`: 200, `{"session":"none"}`: 404, `{}`: 404, `"busy"`: 400} {
		if status, answer := f.do(t, "POST", "/api/admin/end", token, body); status != want {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
}
