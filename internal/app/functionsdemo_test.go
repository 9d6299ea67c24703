package app

import (
	"net/http"
	"strings"
	"testing"

	"causeway/internal/config"
	"causeway/internal/grant"
	"causeway/internal/realtime"
	"causeway/internal/realtime/realtimetest"
)

// demoClient connects as the published front end does.
func demoClient(t *testing.T, base, name string) *realtimetest.Client {
	t.Helper()
	var ep realtime.Endpoint
	if status := call(t, base+"/api/negotiate", "", struct{}{}, &ep, "userId", name); status != 200 || !strings.Contains(ep.URL, "chathub") {
		t.Fatalf("negotiate: %d %+v", status, ep)
	}
	c, err := realtimetest.Dial(t.Context(), ep, realtimetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Cut)
	// This is handled when the connection has been let in.
	if _, err := c.Invoke(t.Context(), "aquireturncredential", "europe"); err != nil {
		t.Fatal(err)
	}
	return c
}

// The example chat over functions. The relay that there is can't be closed, so nobody gets it.
func TestFunctionsDemo(t *testing.T) {
	base, f := startFunctions(t, func(c *config.Config) { c.Demo = true })
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	// A name is all that its owner sends to be shown, and no claim.
	const name = "Bob <b>, Jr., addr: 8.8.8.8, é"
	ann, bob := demoClient(t, base, "Ann"), demoClient(t, base, name)
	if _, err := bob.Invoke(t.Context(), "broadcast", "hello"); err != nil {
		t.Fatal(err)
	}
	if e := next(t, ann, "onMessage"); e["UserId"] != name || e["Text"] != "hello" {
		t.Errorf("%v", e)
	}
	if e := next(t, ann, "onStatistics"); e["Messages"] != 1.0 || e["MessagesToday"] != 1.0 {
		t.Errorf("%v", e)
	}
	if n, err := f.parts.Load().keeper.Spent(t.Context(), "demo", "", ""); n != 0 || err != nil {
		t.Errorf("%d pairs have a relay, %v", n, err)
	}
	refused := 0
	for range 30 {
		if _, err := bob.Invoke(t.Context(), "broadcast", "x"); err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("the rate has no limit")
	}
}

// Members of the example chat are its connections.
func TestChatDirectory(t *testing.T) {
	base, f := startFunctions(t, func(c *config.Config) { c.Demo = true })
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	client := demoClient(t, base, "Ann")
	p := f.parts.Load()
	d := chatDirectory{directory{p.client}, p.chat}
	page, _, err := p.chat.Connections(t.Context(), realtime.Group("demo"), "", 10)
	if err != nil || len(page) != 1 {
		t.Fatalf("%v, %v", page, err)
	}
	id := page[0].ConnectionID
	if there, err := d.Present(t.Context(), "demo", id); !there || err != nil {
		t.Errorf("present: %t, %v", there, err)
	}
	if there, err := d.Present(t.Context(), "another", id); there || err != nil {
		t.Errorf("present in another session: %t, %v", there, err)
	}
	for peer, want := range map[string]int{id: 0, "another": 1} {
		if n, err := d.Others(t.Context(), grant.Member{Session: "demo", Peer: peer}); n != want || err != nil {
			t.Errorf("others than %s: %d, %v", peer, n, err)
		}
	}
	if err := d.Shut(t.Context(), "demo", id, 0); err != nil {
		t.Error(err)
	}
	if _, _, err := client.Ended(t.Context()); err != nil {
		t.Error(err)
	}
}
