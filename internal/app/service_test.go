package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"causeway/internal/config"
	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/realtime/realtimetest"
	"causeway/internal/secret"
)

// send calls the data plane with a token by key, and returns the status.
func send(t *testing.T, base, path string, key secret.Value) int {
	t.Helper()
	text, err := accesskey.SignREST(key, base+path)
	if err != nil {
		t.Fatal(err)
	}
	return post(t, base+path, text)
}

func post(t *testing.T, url, bearer string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(`{"target":"x","arguments":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+bearer)
	w, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Body.Close(); err != nil {
		t.Error(err)
	}
	return w.StatusCode
}

// With --realtime, others use the service, and none of it reaches our own hub.
func TestServiceBesideSignaling(t *testing.T) {
	c := testConfig(t)
	c.Realtime, c.TURNListen = true, config.TURNOff
	a, stop := start(t, c)
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	parsed, err := accesskey.ParseConnectionString(a.ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	base := parsed.Endpoint
	if got := send(t, base, "/api/v1/hubs/chat", parsed.Key); got != 202 {
		t.Errorf("a send to another application's hub: %d", got)
	}
	if got := send(t, base, "/api/v1/hubs/signaling", parsed.Key); got == 202 || got >= 500 {
		t.Errorf("a send to our own hub: %d", got)
	}
	// A client's token for our hub, signed with the service's key, opens nothing.
	client, err := accesskey.SignClient(parsed.Key, base, "signaling", realtime.Claims{User: "S.p", Custom: map[string]string{"session": "S", "peer": "p", "role": "host"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := post(t, base+"/client/negotiate?hub=signaling&negotiateVersion=1", client); got != 401 {
		t.Errorf("negotiating with our hub by an access key: %d", got)
	}
	if got := post(t, base+"/client/negotiate?HUB=Signaling&negotiateVersion=1", client); got != 401 {
		t.Errorf("the same, spelled otherwise: %d", got)
	}
	if got := post(t, base+"/api/v1/hubs/chat", client); got != 401 {
		t.Errorf("the data plane by a client's token: %d", got)
	}
	if s, _ := get(t, http.DefaultClient, base+"/"); s != 404 && s != 200 {
		t.Errorf("the pages: %d", s)
	}
}

// Keys and upstreams follow their files, and what can't be used changes nothing.
func TestServiceReload(t *testing.T) {
	events := make(chan string, 16)
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { events <- r.URL.Path }))
	defer upstream.Close()
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "key")
	write := func(text string) {
		if err := os.WriteFile(keyFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first-key-first-key-first-key")
	c := testConfig(t)
	c.AccessKey = []string{"file:" + keyFile}
	next := c
	s, err := newService(t.Context(), c, Options{Reload: func() (config.Config, error) { return next, nil }}, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := s.connectionString("http://h"); ok || text != "" {
		t.Error("a configured key would be printed")
	}
	ok := func(key string) bool {
		text, err := accesskey.SignREST(secret.New(key), "http://h/api/v1/hubs/chat")
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "http://h/api/v1/hubs/chat", strings.NewReader(`{"target":"x"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+text)
		w := httptest.NewRecorder()
		s.rest.ServeHTTP(w, r)
		if _, err := io.Copy(io.Discard, w.Body); err != nil {
			t.Fatal(err)
		}
		return w.Code == 202
	}
	if !ok("first-key-first-key-first-key") || ok("second-key-second-key-second") {
		t.Error("the first key is not the one in force")
	}
	write("second-key-second-key-second")
	next.Upstream = []config.Upstream{{URL: upstream.URL + "/{event}", Hub: "*", Category: "*", Event: "*"}}
	if err := s.update(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ok("first-key-first-key-first-key") || !ok("second-key-second-key-second") {
		t.Error("the keys were not rotated")
	}
	s.webhook.Connected(t.Context(), realtime.Connection{ID: "c", Hub: "chat"})
	if got := <-events; got != "/connected" {
		t.Errorf("event %s", got)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	if err := s.update(t.Context()); err == nil || !ok("second-key-second-key-second") {
		t.Errorf("after the key file went away: %v", err)
	}
}

// TestRefusedByUpstream: an upstream that answers connected with 403 has the client
// closed for good, and clients whose endpoint ends with a slash are served.
func TestRefusedByUpstream(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-ASRS-Event") == "connected" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer upstream.Close()
	c := testConfig(t)
	c.Upstream = []config.Upstream{{URL: upstream.URL, Hub: "*", Category: "*", Event: "*"}}
	a, err := New(t.Context(), c, Options{RealtimeOnly: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	parsed, err := accesskey.ParseConnectionString(a.ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	text, err := accesskey.SignClient(parsed.Key, parsed.Endpoint, "chat", realtime.Claims{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := realtimetest.Dial(t.Context(), realtime.Endpoint{URL: parsed.Endpoint + "//client/?hub=chat", AccessToken: text}, realtimetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Cut()
	m, _, err := client.Ended(t.Context())
	if err != nil || m == nil || m.AllowReconnect || m.Error != "The upstream did not accept the connection." {
		t.Errorf("closed with %+v, %v", m, err)
	}
}

func TestClientPath(t *testing.T) {
	for path, want := range map[string]string{
		"//client/": "/client/", "//client": "/client", "/client": "/client", "//client//negotiate": "/client/negotiate", "/client///negotiate/": "/client/negotiate/",
		"/": "", "//": "", "//api/v1/": "", "/clients": "", "//x/client": "", "": "",
	} {
		if got, ok := clientPath(path); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", path, got, ok)
		}
	}
}
