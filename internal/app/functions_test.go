package app

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/internal/config"
	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/realtime/realtimetest"
	"causeway/internal/secret"
	"causeway/internal/signalr"
)

// functionsConfig is what an app on Azure is configured with, for a port that is free.
func functionsConfig(t *testing.T) (config.Config, string) {
	t.Helper()
	base := functionsPort(t)
	t.Setenv("TEST_SIGNING", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	t.Setenv("AzureSignalRConnectionString", "Endpoint=http://127.0.0.1:1;AccessKey=key;Version=1.0;")
	t.Setenv("TEST_TURN", "turn secret")
	c := testConfig(t)
	c.SigningKey = "env:TEST_SIGNING"
	c.Provider = []config.Provider{{Name: "coturn", Type: "coturn", Secret: "env:TEST_TURN", URL: []string{"turn:turn.example:3478"}}}
	return c, base
}

// functionsPort has the next instance listen at a port that is free.
func functionsPort(t *testing.T) (base string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv(portVariable, port)
	return "http://127.0.0.1:" + port
}

// startFunctions runs a realtime service by itself, and functions as its upstream.
func startFunctions(t *testing.T, changes ...func(*config.Config)) (base string, f *Functions) {
	t.Helper()
	c, base := functionsConfig(t)
	for _, change := range changes {
		change(&c)
	}
	service := testConfig(t)
	service.Upstream = []config.Upstream{{URL: base + upstreamPath, Hub: "*", Category: "*", Event: "*"}}
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	a, err := New(ctx, service, Options{RealtimeOnly: true}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AzureSignalRConnectionString", a.ConnectionString())
	if f, err = NewFunctions(ctx, c, log); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- a.Run(ctx) }()
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return base, f
}

// call posts JSON and reads an answer.
func call(t *testing.T, url, grant string, body, answer any, header ...string) int {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if grant != "" {
		r.Header.Set("Authorization", "Bearer "+grant)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer != nil {
		if err := json.Unmarshal(text, answer); err != nil {
			t.Fatalf("%s: %s", url, text)
		}
	}
	return w.StatusCode
}

type joined struct{ Session, Peer, Grant, Invite, Base string }

func connect(t *testing.T, base, grant string) *realtimetest.Client {
	t.Helper()
	var ep realtime.Endpoint
	if status := call(t, base+"/api/negotiate", grant, struct{}{}, &ep, "X-Forwarded-For", "203.0.113.9:5000"); status != 200 {
		t.Fatalf("negotiate: %d", status)
	}
	c, err := realtimetest.Dial(t.Context(), ep, realtimetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Cut)
	// What a client says is handled when it has been let in, and has joined its group.
	if _, err := c.Invoke(t.Context(), "hello", map[string]int{"n": 1}); err != nil {
		t.Logf("not let in: %v", err)
	}
	return c
}

func next(t *testing.T, c *realtimetest.Client, target string) map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		m, err := c.Next(ctx)
		if err != nil {
			t.Fatalf("waiting for %s: %v", target, err)
		}
		if m.Type != signalr.Invocation || m.Target != target {
			continue
		}
		var event map[string]any
		if err := json.Unmarshal(m.Arguments[0], &event); err != nil {
			t.Fatal(err)
		}
		return event
	}
}

// A session over functions and a service elsewhere: joining, signaling, a relay, being removed.
func TestFunctions(t *testing.T) {
	base, _ := startFunctions(t)
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if status, _ := get(t, http.DefaultClient, base+"/"); status != 204 {
		t.Errorf("readiness: %d", status)
	}
	var h, g joined
	if status := call(t, base+"/api/sessions", "", struct{}{}, &h, "X-Forwarded-Host", "send.example", "X-Forwarded-Proto", "https"); status != 201 || h.Base != "https://send.example" {
		t.Fatalf("%d %+v", status, h)
	}
	if status := call(t, base+"/api/sessions/join", "", map[string]string{"invite": h.Invite}, &g); status != 200 {
		t.Fatal(status)
	}
	var servers struct{ ICEServers []struct{ URLs []string } }
	if call(t, base+"/api/ice", g.Grant, struct{}{}, &servers); len(servers.ICEServers) != 1 || servers.ICEServers[0].URLs[0] != defaultSTUN {
		t.Errorf("%+v", servers)
	}
	host, guest := connect(t, base, h.Grant), connect(t, base, g.Grant)
	if _, err := guest.Invoke(t.Context(), "hello", map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	if e := next(t, host, "hello"); e["from"] != g.Peer {
		t.Errorf("%v", e)
	}
	ask := map[string]any{"to": h.Peer, "link": 1, "bytes": 1000}
	if _, err := guest.Invoke(t.Context(), "relay", ask); err != nil {
		t.Fatal(err)
	}
	first, second := next(t, guest, "relay"), next(t, host, "relay")
	if first["iceServers"] == nil || second["from"] != g.Peer {
		t.Errorf("%v, %v", first, second)
	}
	if status := call(t, base+"/tick", "", struct{}{}, nil); status != 200 {
		t.Errorf("tick: %d", status)
	}
	if _, err := host.Invoke(t.Context(), "kick", map[string]string{"to": g.Peer}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := guest.Ended(t.Context()); err != nil {
		t.Error(err)
	}
	if e := next(t, host, "left"); e["from"] != g.Peer {
		t.Errorf("%v", e)
	}
	again := connect(t, base, g.Grant) // its grant is good, and it is shown out
	if _, _, err := again.Ended(t.Context()); err != nil {
		t.Error(err)
	}
}

// Events that the service did not send are refused, and so is what no function is for.
func TestFunctionsRefuse(t *testing.T) {
	base, _ := startFunctions(t)
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for name, header := range map[string][]string{
		"no signature":      {"X-ASRS-Signature", ""},
		"a wrong signature": {"X-ASRS-Signature", "sha256=" + strings.Repeat("0", 64)},
	} {
		all := append([]string{"X-ASRS-Connection-Id", "c", "X-ASRS-Hub", "signaling", "X-ASRS-Category", "connections", "X-ASRS-Event", "connected"}, header...)
		if status := call(t, base+upstreamPath, "", map[string]int{"type": 10}, nil, all...); status != 401 {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status := call(t, base+"/api/nothing", "", struct{}{}, nil); status != 404 {
		t.Errorf("%d", status)
	}
	if status := call(t, base+"/api/negotiate", "no grant", struct{}{}, nil); status != 401 {
		t.Errorf("%d", status)
	}
}

func TestFunctionsDoNotStart(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Config)
		env    []string
		want   string
	}{
		"without a signing key":     {func(c *config.Config) { c.SigningKey = "" }, nil, "signing_key"},
		"outside of the host":       {nil, []string{portVariable, ""}, "causeway emulate"},
		"an unresolved reference":   {nil, []string{"TEST_TURN", "@Microsoft.KeyVault(VaultName=v;SecretName=n)"}, "was not resolved"},
		"an unresolved connection":  {nil, []string{"AzureSignalRConnectionString", "@Microsoft.KeyVault(VaultName=v;SecretName=n)"}, "was not resolved"},
		"no connection string":      {func(c *config.Config) { c.SignalR = "env:TEST_NONE" }, nil, "signalr"},
		"an identity without proof": {nil, []string{"AzureSignalRConnectionString", "Endpoint=https://x.service.signalr.net;AuthType=azure.msi;"}, "upstream_tenant"},
		"a bad STUN server":         {func(c *config.Config) { c.STUN = []string{"stun:x?y"} }, nil, "stun_server"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _ := functionsConfig(t)
			if c.env != nil {
				t.Setenv(c.env[0], c.env[1])
			}
			if c.change != nil {
				c.change(&cfg)
			}
			if _, err := NewFunctions(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A key that changes in its source is used without a restart, one that can't be used is not.
func TestSecretsRotate(t *testing.T) {
	c, _ := functionsConfig(t)
	file := filepath.Join(t.TempDir(), "connection")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("Endpoint=http://127.0.0.1:1;AccessKey=first;Version=1.0;")
	c.SignalR = "file:" + file
	f, err := NewFunctions(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	signedBy := func(key string) bool {
		ep, err := f.parts.Load().client.Negotiate(t.Context(), realtime.Claims{User: "u"})
		if err != nil {
			t.Fatal(err)
		}
		keys := []secret.Value{secret.New(key)}
		_, err = accesskey.Verifier{Keys: func() []secret.Value { return keys }}.Client(ep.AccessToken, "signaling")
		return err == nil
	}
	for _, step := range []struct{ text, key string }{
		{"", "first"},
		{"Endpoint=http://127.0.0.1:1;AccessKey=second;Version=1.0;", "second"},
		{"this is no connection string", "second"},
		{"Endpoint=http://127.0.0.1:1;AccessKey=third;Version=1.0;", "third"},
	} {
		if step.text != "" {
			write(step.text)
			f.refresh(t.Context())
		}
		if !signedBy(step.key) {
			t.Errorf("after %q: not signed by the %s key", step.text, step.key)
		}
	}
}

// What reaches Application Insights from a session: requests in the host's traces, the calls below them,
// and nothing about anybody.
func TestFunctionsTelemetry(t *testing.T) {
	type item struct {
		Tags map[string]string
		Data struct {
			BaseType string
			BaseData map[string]any
		}
	}
	var mu sync.Mutex
	var text strings.Builder
	var items []item
	ingestion := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for lines := json.NewDecoder(io.TeeReader(z, &text)); ; {
			var i item
			if lines.Decode(&i) != nil {
				break
			}
			items = append(items, i)
		}
	}))
	defer ingestion.Close()
	t.Setenv(insightsVariable, "InstrumentationKey=key;IngestionEndpoint="+ingestion.URL)
	trace := strings.Repeat("ab", 16)
	var host joined
	t.Run("session", func(t *testing.T) {
		base, _ := startFunctions(t)
		defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if status := call(t, base+"/api/sessions", "", struct{}{}, &host, "Traceparent", "00-"+trace+"-b7ad6b7169203331-01"); status != 201 {
			t.Fatal(status)
		}
		c := connect(t, base, host.Grant)
		if _, err := c.Invoke(t.Context(), "hello", map[string]int{"n": 1}); err != nil {
			t.Fatal(err)
		}
		call(t, base+"/api/negotiate", "no-grant-at-all", struct{}{}, nil, "Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	}) // ends with what is left being sent
	names := map[string]int{}
	for _, i := range items {
		name, _ := i.Data.BaseData["name"].(string)
		names[i.Data.BaseType+" "+name]++
		if name == "POST /api/sessions" && (i.Tags["ai.operation.id"] != trace || i.Tags["ai.operation.parentId"] != "b7ad6b7169203331") {
			t.Errorf("%+v", i)
		}
	}
	if names["RequestData POST /api/sessions"] != 1 || names["RequestData POST /api/negotiate"] == 0 || names["MetricData "] == 0 {
		t.Errorf("%v", names)
	}
	for _, private := range []string{host.Session, host.Peer, host.Grant, host.Invite, "203.0.113.9", "no-grant-at-all"} {
		if strings.Contains(text.String(), private) {
			t.Errorf("%q was sent", private)
		}
	}
}
