package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"causeway/internal/config"
	"causeway/internal/guard/work"
	"causeway/internal/signaling"
)

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   struct{ Code, Message, Work, Grant, Invite, URL, AccessToken string }
}

// asked makes a request with headers, name and value in turn.
func asked(t *testing.T, method, url, body string, headers ...string) (a answer) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(b, &a.body) // not all answers are JSON
	a.status, a.header = res.StatusCode, res.Header
	return a
}

func started(t *testing.T, change func(*config.Config)) (*App, string) {
	t.Helper()
	c := testConfig(t)
	change(&c)
	a, stop := start(t, c)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return a, a.URLs()[0]
}

// TestForgedForwardedFor: who names another address in each request has the limits of its own.
func TestForgedForwardedFor(t *testing.T) {
	sessions := func(base string) (created int, last answer) {
		for i := range 120 {
			last = asked(t, "POST", base+"/api/sessions", "{}", "X-Forwarded-For", fmt.Sprintf("203.0.%d.9", i))
			if last.status == http.StatusCreated {
				created++
			}
		}
		return created, last
	}
	_, base := started(t, func(c *config.Config) { c.Work = "off" })
	began := time.Now()
	created, last := sessions(base)
	if most := 60 + int(time.Since(began)/(500*time.Millisecond)) + 1; created < 60 || created > most {
		t.Errorf("forged: %d sessions, want 60 to %d", created, most)
	}
	if last.status != 429 || last.body.Code != "too_many_requests" || last.header.Get("Retry-After") == "" || !strings.Contains(last.body.Message, "try again") {
		t.Errorf("%+v", last)
	}
	// The same headers count when a trusted proxy has written them.
	_, base = started(t, func(c *config.Config) {
		c.Work, c.WorkFrom = "off", 1000
		c.TrustedProxy = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	if created, _ := sessions(base); created != 120 {
		t.Errorf("from 120 networks behind a proxy: %d sessions", created)
	}
}

// TestNoWayAround: a block holds on each path into the process: what package front answers, what
// net/http does, requests of any kind.
func TestNoWayAround(t *testing.T) {
	a, base := started(t, func(c *config.Config) { c.Realtime = true })
	host := strings.TrimPrefix(base, "http://")
	requests := map[string]string{
		"a page":                      "GET / HTTP/1.1\r\nHost: %s\r\n\r\n",
		"session":                     "POST /api/sessions HTTP/1.1\r\nHost: %s\r\nContent-Length: 2\r\n\r\n{}",
		"our negotiate":               "POST /api/negotiate HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n",
		"negotiate, by the front":     "POST /client/negotiate?hub=signaling HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n",
		"negotiate, others' hub":      "POST /client/negotiate?hub=chat HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n",
		"negotiate, by net/http":      "POST /client/negotiate?hub=signaling HTTP/1.1\r\nHost: %s\r\nX_Y: z\r\nContent-Length: 0\r\n\r\n",
		"negotiate, slashes":          "POST //client/negotiate?hub=signaling HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n",
		"WebSocket, by the front":     "GET /client/?hub=signaling HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
		"WebSocket, by net/http":      "GET /client/?hub=signaling HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade:  WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
		"the data plane":              "POST /api/v1/hubs/chat HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n",
		"long polling":                "GET /client/?hub=signaling&id=x HTTP/1.1\r\nHost: %s\r\n\r\n",
		"forged address of a client":  "POST /client/negotiate?hub=signaling HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: 203.0.113.1\r\nContent-Length: 0\r\n\r\n",
		"preflight of the service":    "OPTIONS /client/negotiate?hub=chat HTTP/1.1\r\nHost: %s\r\nOrigin: https://a.example\r\n\r\n",
		"something that is not there": "GET /nothing HTTP/1.1\r\nHost: %s\r\n\r\n",
	}
	ask := func(text string) *http.Response {
		c, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, text, host)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	for name, text := range requests {
		if res := ask(text); res.StatusCode == http.StatusForbidden {
			t.Errorf("%s: forbidden before it is blocked", name)
		}
	}
	for _, p := range []string{"127.0.0.0/8", "::1/128"} {
		if err := a.guard.Block(netip.MustParsePrefix(p), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range requests {
		if res := ask(text); res.StatusCode != http.StatusForbidden || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	if res := ask("GET /readyz HTTP/1.1\r\nHost: %s\r\n\r\n"); res.StatusCode != 200 {
		t.Errorf("a probe: %d", res.StatusCode)
	}
}

// TestConnectIsAdmitted: one access token does not open connections without end, on either path, and
// nobody is asked for work there.
func TestConnectIsAdmitted(t *testing.T) {
	_, base := started(t, func(c *config.Config) { c.MaxPerAddr, c.RateLimit = 1000, 0.1 })
	s := asked(t, "POST", base+"/api/sessions", "{}")
	n := asked(t, "POST", base+"/api/negotiate", "", "Authorization", "Bearer "+s.body.Grant)
	query := base + "/client/negotiate?hub=signaling&negotiateVersion=1&access_token=" + n.body.AccessToken
	for path, headers := range map[string][]string{"by the front": nil, "by net/http": {"X_Y", "z"}} {
		var last answer
		for range 60 {
			last = asked(t, "POST", query, "", headers...)
		}
		if last.status != 429 || last.header.Get("Retry-After") == "" || last.body.Work != "" {
			t.Errorf("%s: %+v", path, last)
		}
	}
}

// TestWorkOverHTTP: what a page goes through under pressure.
func TestWorkOverHTTP(t *testing.T) {
	_, base := started(t, func(c *config.Config) { c.Work, c.Realtime = "always", true })
	do := func(path, body string, headers ...string) answer {
		t.Helper()
		a := asked(t, "POST", base+path, body, headers...)
		if a.status != 429 || a.body.Code != "work_required" || a.header.Get("Retry-After") == "" {
			t.Fatalf("%s: %+v", path, a)
		}
		solved, err := work.Solve(context.Background(), a.body.Work)
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, signaling.WorkHeader, solved)
		if a = asked(t, "POST", base+path, body, headers...); a.status >= 300 {
			t.Fatalf("%s, solved: %+v", path, a)
		}
		if again := asked(t, "POST", base+path, body, headers...); again.status != 429 {
			t.Errorf("%s: a solution was used twice", path)
		}
		return a
	}
	s := do("/api/sessions", "{}")
	do("/api/sessions/join", `{"invite":"`+s.body.Invite+`"}`)
	n := do("/api/negotiate", "", "Authorization", "Bearer "+s.body.Grant)
	for path, auth := range map[string]string{"/client/negotiate?hub=signaling&negotiateVersion=1": n.body.AccessToken, "/api/ice": s.body.Grant} {
		if a := asked(t, "POST", base+path, "", "Authorization", "Bearer "+auth); a.status != 200 {
			t.Errorf("%s: %+v", path, a)
		}
	}
	if a := asked(t, "POST", base+"/client/negotiate?hub=other&negotiateVersion=1", ""); a.status == 429 {
		t.Errorf("work was asked of another application: %+v", a)
	}
}

func TestOrigins(t *testing.T) {
	_, base := started(t, func(c *config.Config) {
		c.APIOrigin, c.PublicURL = []string{"https://app.example"}, "https://send.example"
	})
	for name, c := range map[string]struct {
		headers []string
		status  int
		allowed string
	}{
		"a program":             {nil, 201, ""},
		"our page":              {[]string{"Origin", base}, 201, ""},
		"our page, by metadata": {[]string{"Origin", "https://proxied.example", "Sec-Fetch-Site", "same-origin"}, 201, ""},
		"our public origin":     {[]string{"Origin", "https://send.example", "Sec-Fetch-Site", "cross-site"}, 201, "https://send.example"},
		"a listed one":          {[]string{"Origin", "https://app.example", "Sec-Fetch-Site", "cross-site"}, 201, "https://app.example"},
		"another site":          {[]string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403, ""},
		"an old browser":        {[]string{"Origin", "https://evil.example"}, 403, ""},
		"another port":          {[]string{"Origin", "http://localhost:1", "Sec-Fetch-Site", "same-site"}, 403, ""},
		"a sandboxed frame":     {[]string{"Origin", "null"}, 403, ""},
		"listed, but http":      {[]string{"Origin", "http://app.example"}, 403, ""},
		"a forged proxy":        {[]string{"Origin", "https://evil.example", "X-Forwarded-Host", "evil.example"}, 403, ""},
	} {
		a := asked(t, "POST", base+"/api/sessions", "{}", c.headers...)
		if a.status != c.status || a.header.Get("Access-Control-Allow-Origin") != c.allowed {
			t.Errorf("%s: %d, allowed %q", name, a.status, a.header.Get("Access-Control-Allow-Origin"))
		}
		if a.status == 403 && a.body.Code != "origin" {
			t.Errorf("%s: %+v", name, a.body)
		}
	}
	pre := asked(t, "OPTIONS", base+"/api/negotiate", "", "Origin", "https://app.example", "Access-Control-Request-Method", "POST")
	if pre.status != 204 || !strings.Contains(pre.header.Get("Access-Control-Allow-Headers"), signaling.WorkHeader) {
		t.Errorf("preflight: %d %v", pre.status, pre.header)
	}
	if pre := asked(t, "OPTIONS", base+"/api/negotiate", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST"); pre.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another site's preflight: %v", pre.header)
	}
}

// TestSpendCap: the ledger's cap bounds what is not relayed, too.
func TestSpendCap(t *testing.T) {
	a, base := started(t, func(c *config.Config) {
		c.DayMoney, c.ExecutionPrice, c.RateLimit, c.Work = 1000, 10_000_000, 0, "off" // a thousandth of the unit, ten a million
	})
	// Ten millionths each. The guard looks at the purse four times a second: until then, what a fast client
	// asks for is refused as there is no money.
	made, paused := 0, false
	for !paused && t.Context().Err() == nil {
		switch s := asked(t, "POST", base+"/api/sessions", "{}"); {
		case s.status == 201:
			made++
		case s.status == 503 && s.header.Get("Retry-After") != "" && s.body.Code == "sessions_paused":
			paused = true
		case s.status != 503 || s.body.Code != "spend_cap" || s.header.Get("Retry-After") == "":
			t.Fatalf("%d %q", s.status, s.body.Code)
		}
	}
	day, _ := a.ledger.Status()
	if made > 100 || day.MoneyDelivered > 1000 || day.MoneyDelivered < 900 {
		t.Errorf("%d sessions, %d spent", made, day.MoneyDelivered)
	}
}
