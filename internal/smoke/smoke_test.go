package smoke_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"causeway/internal/app"
	"causeway/internal/config"
	"causeway/internal/smoke"
)

// deployment runs all of Causeway, and returns where.
func deployment(t *testing.T, turn string) string {
	t.Helper()
	c, err := config.Default()
	if err != nil {
		t.Fatal(err)
	}
	c.Listen, c.TURNListen, c.DataDir = "localhost:0", turn, t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	a, err := app.New(ctx, c, app.Options{}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return a.URLs()[0]
}

func steps(t *testing.T, url string, relay bool) (names []string, err error) {
	t.Helper()
	err = smoke.Run(t.Context(), smoke.Config{
		URL: url, Relay: relay, Patience: 10 * time.Second,
		Report: func(s smoke.Step) { names = append(names, s.Name) },
	})
	return names, err
}

func TestItWorks(t *testing.T) {
	names, err := steps(t, deployment(t, "127.0.0.1:0"), true)
	if err != nil || len(names) != 7 {
		t.Fatalf("%v after %q", err, names)
	}
}

// A deployment without a relay fails the step that it lacks, and no other.
func TestNoRelay(t *testing.T) {
	url := deployment(t, config.TURNOff)
	if names, err := steps(t, url, true); err == nil || !strings.Contains(err.Error(), "allocate on the relay: relay_none") || len(names) != 7 {
		t.Errorf("%v after %q", err, names)
	}
	if names, err := steps(t, url, false); err != nil || len(names) != 6 {
		t.Errorf("%v after %q", err, names)
	}
}

// Each spoils one answer of a deployment that works: smoke must see it, in that step.
func TestItDoesNotWork(t *testing.T) {
	base := deployment(t, "127.0.0.1:0")
	target, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path string
		to   func(*http.Response)
		want string
	}{
		"down":             {"/api/sessions", func(r *http.Response) { r.StatusCode = 503 }, "make a session: HTTP 503"},
		"another site":     {"/api/sessions", body("<html>"), "make a session: the answer is not"},
		"no grant":         {"/api/sessions", body(`{"session":"s","peer":"p","invite":"i"}`), "lacks a session, a grant or an invite"},
		"anybody joins":    {"/api/sessions/join", believe, "refuse a forged invite: it was believed"},
		"no negotiation":   {"/api/negotiate", func(r *http.Response) { r.StatusCode = 500 }, "negotiate: HTTP 500"},
		"no service":       {"/api/negotiate", body(`{"url":"","accessToken":"x"}`), "names no service"},
		"another's key":    {"/api/negotiate", body(`{"url":"` + base + `/client/?hub=signaling","accessToken":"x"}`), "realtime service: HTTP 401"},
		"credentials":      {"/api/ice", body(`{"iceServers":[{"urls":["turn:x"],"username":"u","credential":"c"}]}`), "they must come by relay only"},
		"no ICE servers":   {"/api/ice", body(`{}`), "get ICE servers: the answer has no list"},
		"ICE without JSON": {"/api/ice", body("no"), "get ICE servers: the answer is not"},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := &httputil.ReverseProxy{
				Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
				ModifyResponse: func(r *http.Response) error {
					if r.Request.URL.Path == c.path {
						c.to(r)
					}
					return nil
				},
				ErrorLog: slog.NewLogLogger(slog.NewTextHandler(t.Output(), nil), slog.LevelDebug),
			}
			srv := httptest.NewServer(proxy)
			defer srv.Close()
			_, err := steps(t, srv.URL, false)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func body(text string) func(*http.Response) {
	return func(r *http.Response) {
		r.Body = io.NopCloser(strings.NewReader(text))
		r.ContentLength = int64(len(text))
		r.Header.Del("Content-Length")
	}
}

// believe turns a refusal into a success.
func believe(r *http.Response) {
	if r.StatusCode == http.StatusNotFound {
		r.StatusCode = http.StatusOK
		body(`{"peer":"p","grant":"g"}`)(r)
	}
}

func TestWrongURL(t *testing.T) {
	for _, u := range []string{"", "example.org", "ftp://example.org", "http://"} {
		if names, err := steps(t, u, true); err == nil || len(names) != 0 || !strings.Contains(err.Error(), "is not the URL of a deployment") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// Patience bounds each step, whatever the other side does.
func TestPatience(t *testing.T) {
	never := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-never:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	defer close(never)
	err := smoke.Run(t.Context(), smoke.Config{URL: srv.URL, Patience: 50 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "make a session") {
		t.Errorf("got %v", err)
	}
}
