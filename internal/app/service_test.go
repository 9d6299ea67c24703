package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
