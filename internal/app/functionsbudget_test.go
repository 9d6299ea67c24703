package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"causeway/internal/config"
	"causeway/internal/realtime/realtimetest"
	"causeway/internal/sqldb/sqldbtest"
)

// metered is a bought relay that tells what it relayed, by Metered's API.
type metered struct {
	mu       sync.Mutex
	made     []string
	disabled []string
	used     string // in GB, by each credential
}

func (m *metered) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var body struct{ Username string }
	_ = json.NewDecoder(r.Body).Decode(&body) // GET has none
	var answer any = map[string]any{}
	switch r.URL.Path {
	case "/api/v1/turn/credential":
		user := fmt.Sprint("user", len(m.made)+1)
		m.made = append(m.made, user)
		answer = map[string]string{"username": user, "password": "pw", "apiKey": "key-of-" + user}
	case "/api/v1/turn/credentials":
		user := strings.TrimPrefix(r.URL.Query().Get("apiKey"), "key-of-")
		answer = []any{map[string]string{"urls": "turn:relay.example:80", "username": user, "credential": "pw"}}
	case "/api/v1/turn/credential/disable":
		m.disabled = append(m.disabled, body.Username)
	case "/api/v1/turn/current_usage_for_user":
		answer = map[string]string{"usageInGB": m.used}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (m *metered) use(gigabytes string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used = gigabytes
}

func (m *metered) revoked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(slices.Values(m.disabled))
}

// startSecond runs another instance beside that of startFunctions, with the same settings but its port.
func startSecond(t *testing.T, c config.Config) string {
	t.Helper()
	base := functionsPort(t)
	ctx, cancel := context.WithCancel(context.Background())
	f, err := NewFunctions(ctx, c, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return base
}

// asker is a session of two.
type asker struct {
	host, guest *realtimetest.Client
	session     string
	peer        string // of host
	guestPeer   string
}

// ask has the guest ask for a relay with the host.
func (a *asker) ask(t *testing.T) error {
	t.Helper()
	_, err := a.guest.Invoke(t.Context(), "relay", map[string]any{"to": a.peer, "link": 1, "bytes": 0})
	return err
}

// askFor has the host ask, who knows how much is to be transferred.
func (a *asker) askFor(t *testing.T, bytes int64) error {
	t.Helper()
	_, err := a.host.Invoke(t.Context(), "relay", map[string]any{"to": a.guestPeer, "link": 1, "bytes": bytes})
	return err
}

// pairOf makes a session of two, who are connected.
func pairOf(t *testing.T, base string) (p *asker) {
	t.Helper()
	p = &asker{}
	var h, g joined
	if status := call(t, base+"/api/sessions", "", struct{}{}, &h); status != 201 {
		t.Fatal(status)
	}
	if status := call(t, base+"/api/sessions/join", "", map[string]string{"invite": h.Invite}, &g); status != 200 {
		t.Fatal(status)
	}
	p.host, p.guest, p.session, p.peer, p.guestPeer = connect(t, base, h.Grant), connect(t, base, g.Grant), h.Session, h.Peer, g.Peer
	return p
}

// Two instances share what sessions and days may spend: what one of them is told by the provider ends
// what the other has given out, and is not given out again.
func TestInstancesShareBudgets(t *testing.T) {
	sqldbtest.All(t, func(t *testing.T, url func(*testing.T) string) {
		for name, c := range map[string]struct {
			change func(*config.Config)
			level  string
			others bool // are cut, too
		}{
			"session": {func(c *config.Config) { c.SessionBudget = 1 << 30 }, "session", false},
			"day":     {func(c *config.Config) { c.DayBudget = 2_000_000_000 }, "day", true},
		} {
			t.Run(name, func(t *testing.T) { shareBudget(t, url(t), c.change, c.level, c.others) })
		}
	})
}

func shareBudget(t *testing.T, url string, change func(*config.Config), level string, others bool) {
	relay := &metered{used: "0"}
	at := httptest.NewServer(relay)
	defer at.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	var settings config.Config
	base, _ := startFunctions(t, func(c *config.Config) {
		t.Setenv("TEST_METERED", "secret")
		c.Provider = []config.Provider{{Name: "bought", Type: "metered", App: at.URL, Secret: "env:TEST_METERED"}}
		c.State = url
		change(c)
		settings = *c
	})
	second := startSecond(t, settings)
	tick := func() {
		t.Helper()
		if status := call(t, second+"/tick", "", struct{}{}, nil); status != 200 {
			t.Fatalf("tick: %d", status)
		}
	}
	p := pairOf(t, base)
	if err := p.ask(t); err != nil {
		t.Fatal(err)
	}
	next(t, p.host, "relay")
	tick()
	if got := relay.revoked(); len(got) != 0 {
		t.Fatalf("revoked before anything was used: %v", got)
	}
	relay.use("1.2") // by each of two
	tick()
	if got := relay.revoked(); !slices.Equal(got, []string{"user1", "user2"}) {
		t.Errorf("revoked: %v", got)
	}
	for said := ""; said != "spent"; {
		e := next(t, p.host, "budget")
		if said, _ = e["state"].(string); said == "spent" && e["level"] != level {
			said = "" // a member's, who has used all that it may
		}
	}
	if err := p.ask(t); err == nil || !strings.Contains(err.Error(), "relay_spent") {
		t.Errorf("asked again, at the first instance: %v", err)
	}
	if err := pairOf(t, second).ask(t); (err != nil) != others {
		t.Errorf("another session: %v", err)
	}
	relay.use("0.1") // by those that were made since
	tick()           // says it again, and there is nothing left to do
	if got := relay.revoked(); !slices.Equal(got, []string{"user1", "user2"}) {
		t.Errorf("revoked: %v", got)
	}
	relay.mu.Lock()
	defer relay.mu.Unlock()
	want := 2 // for those who are refused, none is made
	if !others {
		want = 4
	}
	if len(relay.made) != want {
		t.Errorf("the provider made %v, want %d", relay.made, want)
	}
}
