package app

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"causeway/internal/config"
	"causeway/internal/guard/work"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/signaling"
)

// A flood from one network is refused, by the address that the platform's proxy adds, whatever else the
// client claims; another network, and the events of the SignalR service, are not concerned.
func TestFunctionsRefuseAFlood(t *testing.T) {
	base, f := startFunctions(t, func(c *config.Config) { c.Work = "off" })
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	from := func(i int, addr string) answer {
		return asked(t, "POST", base+"/api/sessions", "{}", "X-Forwarded-For", fmt.Sprintf("198.51.%d.1, %s", i, addr))
	}
	p := pairOf(t, base) // with no X-Forwarded-For but at negotiate, as a client that is near
	created, refused := 0, 0
	for i := range 120 {
		switch a := from(i, "203.0.113.77:50000"); {
		case a.status == http.StatusCreated:
			created++
		case a.status == http.StatusTooManyRequests && a.body.Code == "too_many_requests" && a.header.Get("Retry-After") != "":
			refused++
		default:
			t.Fatalf("%+v", a)
		}
	}
	if created == 0 || refused < 60 {
		t.Errorf("%d sessions, %d refusals", created, refused)
	}
	if a := from(0, "192.0.2.1:50000"); a.status != http.StatusCreated {
		t.Errorf("another network: %+v", a)
	}
	for range 80 { // more than a network has in sessions or joins
		if a := asked(t, "POST", base+upstreamPath, "{}", "X-Forwarded-For", "203.0.113.77:50000", "X-ASRS-Connection-Id", "c",
			"X-ASRS-Hub", "signaling", "X-ASRS-Category", "connections", "X-ASRS-Event", "connected"); a.status != http.StatusUnauthorized {
			t.Fatalf("an event without a signature: %+v", a)
		}
	}
	// Those of the service are handled, though they all come from the flooded network; these are of strangers, whose
	// connections it is told to close.
	conn, err := accesskey.ParseConnectionString(os.Getenv("AzureSignalRConnectionString"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 80 {
		id := fmt.Sprint("stranger", i)
		mac := hmac.New(sha256.New, []byte(conn.Key.Reveal()))
		mac.Write([]byte(id))
		if a := asked(t, "POST", base+upstreamPath, `{"type":10}`, "X-Forwarded-For", "203.0.113.77:50000", "X-ASRS-Connection-Id", id,
			"X-ASRS-Hub", "signaling", "X-ASRS-Category", "connections", "X-ASRS-Event", "connected", "X-ASRS-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil))); a.status >= 300 {
			t.Fatalf("a signed event: %+v", a)
		}
	}
	if err := p.ask(t); err != nil {
		t.Errorf("who is there already: %v", err)
	}
	if n := f.parts.Load().admission.key; len(n) == 0 {
		t.Error("proofs of work have no key")
	}
}

// A member that floods by its connection, whose events the service signs, is refused; other sessions are not
// concerned.
func TestFunctionsRefuseAFloodOfEvents(t *testing.T) {
	base, _ := startFunctions(t, func(c *config.Config) { c.Work, c.RateLimit = "off", 0.1 })
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	p, other := pairOf(t, base), pairOf(t, base)
	served, refused := 0, 0
	for range 600 {
		switch _, err := p.guest.Invoke(t.Context(), "hello", map[string]int{"n": 1}); {
		case err == nil:
			served++
		case strings.Contains(err.Error(), "too_many_requests"):
			refused++
		default:
			t.Fatal(err)
		}
	}
	if served < 300 || refused < 50 {
		t.Errorf("%d served, %d refused", served, refused)
	}
	if _, err := other.guest.Invoke(t.Context(), "hello", map[string]int{"n": 1}); err != nil {
		t.Errorf("another session: %v", err)
	}
}

// Blocked networks get nothing of the API, and the platform's own calls are not asked where they come from.
func TestFunctionsBlock(t *testing.T) {
	base, _ := startFunctions(t, func(c *config.Config) { c.Block = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")} })
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if a := asked(t, "POST", base+"/api/sessions", "{}", "X-Forwarded-For", "203.0.113.77:1"); a.status != http.StatusForbidden || a.body.Code != "blocked" {
		t.Errorf("%+v", a)
	}
	if a := asked(t, "POST", base+tickPath, "{}", "X-Forwarded-For", "203.0.113.77:1"); a.status != http.StatusOK {
		t.Errorf("the timer: %+v", a)
	}
}

// A challenge that one instance gives is solved for another, as both derive its key from the signing key.
func TestFunctionsShareProofsOfWork(t *testing.T) {
	var settings config.Config
	base, _ := startFunctions(t, func(c *config.Config) {
		c.Work, c.State = "always", "sqlite:"+filepath.Join(t.TempDir(), "state.db")
		settings = *c
	})
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	second := startSecond(t, settings)
	a := asked(t, "POST", base+"/api/sessions", "{}", "X-Forwarded-For", "203.0.113.9:1")
	if a.status != http.StatusTooManyRequests || a.body.Work == "" {
		t.Fatalf("%+v", a)
	}
	solution, err := work.Solve(t.Context(), a.body.Work)
	if err != nil {
		t.Fatal(err)
	}
	if a := asked(t, "POST", second+"/api/sessions", "{}", "X-Forwarded-For", "203.0.113.9:1", "Causeway-Work", solution); a.status != http.StatusCreated {
		t.Errorf("at the other instance: %+v", a)
	}
	if a := asked(t, "POST", second+"/api/sessions", "{}", "X-Forwarded-For", "203.0.113.9:1", "Causeway-Work", solution); a.status != http.StatusTooManyRequests {
		t.Errorf("a second time: %+v", a)
	}
}

// All instances spend the money of one day.
func TestFunctionsShareMoney(t *testing.T) {
	var settings config.Config
	base, _ := startFunctions(t, func(c *config.Config) {
		c.Work, c.RateLimit, c.State = "off", 0, "sqlite:"+filepath.Join(t.TempDir(), "state.db")
		c.DayMoney, c.ExecutionPrice = 100, 10_000_000 // ten millionths a request
		settings = *c
	})
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	created, last := 0, answer{}
	for i, at := range []string{base, startSecond(t, settings)} {
		for range 6 + 6*i {
			if last = asked(t, "POST", at+"/api/sessions", "{}"); last.status == http.StatusCreated {
				created++
			}
		}
	}
	if created == 0 || created > 10 || last.status != http.StatusServiceUnavailable {
		t.Errorf("%d of 10 that there is money for; the last: %+v", created, last)
	}
}

// Pages of allowed_origin use the API from elsewhere, and may send a proof of work.
func TestFunctionsAllowOrigins(t *testing.T) {
	base, _ := startFunctions(t, func(c *config.Config) { c.AllowedOrigin = []string{"https://static.example"} })
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for origin, allowed := range map[string]string{"https://static.example": "https://static.example", "https://evil.example": ""} {
		a := asked(t, "OPTIONS", base+"/api/sessions", "", "Origin", origin, "Access-Control-Request-Method", "POST")
		if a.header.Get("Access-Control-Allow-Origin") != allowed || (a.status == http.StatusNoContent) != (allowed != "") {
			t.Errorf("%s asks: %+v", origin, a)
		}
		if allowed != "" && !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), signaling.WorkHeader) {
			t.Errorf("%s: %v", origin, a.header)
		}
		if a := asked(t, "POST", base+"/api/sessions", "{}", "Origin", origin); a.header.Get("Access-Control-Allow-Origin") != allowed {
			t.Errorf("%s: %+v", origin, a)
		}
	}
}
