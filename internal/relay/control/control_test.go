package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/relay/grants"
)

const id = "AAECAwQFBgcICQoL"

func key(t *testing.T, name string) Key {
	t.Helper()
	k, err := NewKey([]byte("01234567890123456789012345678901"), name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// relay is the node's relay, and records.
type relay struct {
	mu     sync.Mutex
	grants map[string]grants.Grant
	moved  []Move
	fail   error
}

func (r *relay) Put(g grants.Grant) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	r.grants[g.ID] = g
	return nil
}

func (r *relay) Renew(id string, until time.Time, ice []grants.ICEAuth) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.grants[id]
	if !ok {
		return errors.New("no such grant")
	}
	g.Until, g.ICE = until, ice
	r.grants[id] = g
	return nil
}

func (r *relay) Delete(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.grants, id)
}

func (r *relay) Moved(session, member string, addr netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved = append(r.moved, Move{session, member, addr})
}

func (r *relay) get(id string) (grants.Grant, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.grants[id]
	return g, ok
}

// node serves an API over a relay.
func node(t *testing.T, name string) (*relay, *Client, *Status) {
	t.Helper()
	r, s := &relay{grants: map[string]grants.Grant{}}, &Status{URLs: []string{"turn:192.0.2.1:3478"}, Realm: "cw"}
	a, err := NewAPI(APIConfig{Key: key(t, name), Relay: r, Status: func() Status { return *s }, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Routes(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c, err := NewClient(server.URL, key(t, name), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, c, s
}

func good() Grant {
	return Grant{Session: "s", Member: "m", Live: 20_000, Most: 3_600_000, Policy: "p4", ICE: []ICE{{"u", "p"}}}
}

func TestGrantsArePutRenewedAndDeleted(t *testing.T) {
	r, c, s := node(t, "eu-1")
	ctx, before := t.Context(), time.Now()
	p, err := c.Put(ctx, id, good())
	if err != nil || p.Realm != "cw" || len(p.URLs) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	g, _ := r.get(id)
	if d := g.Until.Sub(before); g.Session != "s" || g.Member != "m" || g.Policy.String() != "p4" || d < 20*time.Second || d > 30*time.Second || g.NotAfter.Sub(before) < time.Hour {
		t.Errorf("%+v", g)
	}
	gone, err := c.Change(ctx, Changes{Renew: []Renewal{{ID: id, Live: 60_000, ICE: []ICE{{"u2", "p2"}}}, {ID: "unknown", Live: 1}}})
	if err != nil || len(gone) != 1 || gone[0] != "unknown" {
		t.Errorf("gone %v, %v", gone, err)
	}
	if g, _ := r.get(id); g.Until.Sub(before) < time.Minute || g.ICE[0].Ufrag != "u2" {
		t.Errorf("renewed: %+v", g)
	}
	if err := errors.Join(c.Delete(ctx, id), c.Delete(ctx, id)); err != nil {
		t.Error(err)
	}
	if _, ok := r.get(id); ok {
		t.Error("it is there still")
	}
	if st, err := c.Status(ctx); err != nil || st.Realm != "cw" {
		t.Errorf("%+v, %v", st, err)
	}

	for what, set := range map[string]func(){"drains": func() { s.Draining, s.CutOff = true, false }, "is cut off": func() { s.Draining, s.CutOff = false, true }} {
		if set(); true {
			if _, err := c.Put(ctx, id, good()); !errors.Is(err, ErrAway) {
				t.Errorf("a node that %s: %v", what, err)
			}
		}
	}
	s.Draining, s.CutOff = false, false
	r.fail = fmt.Errorf("put: %w", grants.ErrSpent)
	if _, err := c.Put(ctx, id, good()); !errors.Is(err, ErrSpent) {
		t.Errorf("spent: %v", err)
	}
	r.fail = errors.New("full")
	if _, err := c.Put(ctx, id, good()); !errors.Is(err, ErrAway) {
		t.Errorf("full: %v", err)
	}
}

// What is no grant is refused, and changes nothing.
func TestHostileGrants(t *testing.T) {
	r, c, _ := node(t, "n")
	for name, spoil := range map[string]func(*Grant){
		"no session": func(g *Grant) { g.Session = "" }, "no member": func(g *Grant) { g.Member = "" },
		"long session": func(g *Grant) { g.Session = strings.Repeat("s", 300) }, "no life": func(g *Grant) { g.Live = 0 },
		"negative": func(g *Grant) { g.Most = -1 }, "policy": func(g *Grant) { g.Policy = "p9" }, "bytes": func(g *Grant) { g.Bytes = -1 },
		"many": func(g *Grant) { g.ICE = make([]ICE, 17) }, "body": func(g *Grant) { g.Session = strings.Repeat("s", maxBody) },
	} {
		g := good()
		spoil(&g)
		if _, err := c.Put(t.Context(), id, g); err == nil {
			t.Errorf("%s: put", name)
		}
	}
	if _, err := c.Change(t.Context(), Changes{Delete: make([]string, maxChanges+1)}); err == nil {
		t.Error("too many changes")
	}
	if len(r.grants) > 0 {
		t.Errorf("%v", r.grants)
	}
	long := good() // a life is bounded
	long.Most = 1 << 62
	if _, err := c.Put(t.Context(), id, long); err != nil || time.Until(r.grants[id].NotAfter) > maxLife {
		t.Errorf("%v, %v", r.grants[id].NotAfter, err)
	}
}

func TestTokensAreForOneNodeAndDirection(t *testing.T) {
	a, b := key(t, "a"), key(t, "b")
	find := func(name string) (Key, bool) {
		k, ok := map[string]Key{"a": a, "b": b}[name]
		return k, ok
	}
	to, err := a.sign(toNode)
	if err != nil {
		t.Fatal(err)
	}
	if name, err := check(to, toNode, find); err != nil || name != "a" {
		t.Errorf("%q, %v", name, err)
	}
	if _, err := check(to, fromNode, find); err == nil {
		t.Error("a token to the node is taken from it")
	}
	if _, err := check(to, toNode, func(string) (Key, bool) { return b, true }); err == nil {
		t.Error("another node takes it")
	}
	for _, bad := range []string{"", "x.y.z", to + "x", strings.Repeat("x", 5000), strings.Join(strings.Split(to, ".")[:2], ".") + "."} {
		if _, err := check(bad, toNode, find); err == nil {
			t.Errorf("taken: %.20q", bad)
		}
	}
	ka, _ := a.TURN()
	kb, _ := b.TURN()
	if string(ka) == string(kb) || len(ka) != 32 {
		t.Error("nodes share a key")
	}
}

func TestKeyText(t *testing.T) {
	k := key(t, "eu-1")
	same, err := ParseKey(k.Text() + "\n")
	if err != nil || same.Name() != "eu-1" || same.Text() != k.Text() {
		t.Errorf("%v, %v", same.Name(), err)
	}
	secret := strings.TrimPrefix(k.Text(), "cwnode1.eu-1.")
	if s := fmt.Sprintf("%v %+v %#v", k, k, k); strings.Contains(s, secret) {
		t.Error("a key prints itself")
	}
	for _, bad := range []string{"", "cwnode1", "cwnode1.eu-1.", "cwnode2.eu-1." + secret, "cwnode1.EU." + secret, "cwnode1.eu-1." + secret + "x"} {
		if _, err := ParseKey(bad); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "A", "a_b", "ä", strings.Repeat("a", 33)} {
		if _, err := NewKey(make([]byte, 32), bad); err == nil {
			t.Errorf("a node called %q", bad)
		}
	}
}

func TestURLs(t *testing.T) {
	for u, ok := range map[string]bool{
		"https://relay.example.org": true, "https://relay.example.org:8443/": true, "http://127.0.0.1:8080": true, "http://localhost": true, "http://[::1]:1": true,
		"http://relay.example.org": false, "https://relay.example.org/x": false, "https://u@relay.example.org": false, "ftp://localhost": false, "": false, "relay": false,
	} {
		if err := CheckURL(u); (err == nil) != ok {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// A redirect is not followed: the token is for one place.
func TestNoRedirects(t *testing.T) {
	var got string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	c, err := NewClient(s.URL, key(t, "a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); err == nil || got != "" {
		t.Errorf("%v, and %q elsewhere", err, got)
	}
}

// Changes are sent many at a time, and what the node does not know is told at the next renewal.
func TestRemoteCollects(t *testing.T) {
	r, c, _ := node(t, "n")
	remote := NewRemote(c, NewCalls(), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- remote.Run(ctx) }()
	if _, err := remote.Put(ctx, id, good()); err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Hour)
	for _, one := range []string{id, "gone"} {
		if err := remote.Renew(one, until, nil); err != nil {
			t.Error(err)
		}
	}
	wait(t, func() bool { g, _ := r.get(id); return time.Until(g.Until) > 50*time.Minute })
	wait(t, func() bool { return errors.Is(remote.Renew("gone", until, nil), ErrUnknown) })
	remote.Moved("s", "m", netip.MustParseAddr("192.0.2.7"))
	remote.Moved("s", "n", netip.Addr{})
	wait(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.moved) == 2 })
	for _, m := range r.moved {
		if m.Session != "s" || m.Addr.IsValid() != (m.Member == "m") {
			t.Errorf("moved: %+v", m)
		}
	}
	if err := remote.Delete(ctx, id); err != nil {
		t.Error(err)
	}
	wait(t, func() bool { _, ok := r.get(id); return !ok })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// wait is for what a server does over a real connection.
func wait(t *testing.T, ok func() bool) {
	t.Helper()
	late := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-late:
			t.Fatal("not in time")
		}
	}
}
