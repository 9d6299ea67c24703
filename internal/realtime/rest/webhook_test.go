package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"causeway/internal/realtime"
	"causeway/internal/secret"
	"causeway/internal/signalr"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func twoKeys() []secret.Value { return []secret.Value{secret.New("primary"), secret.New("secondary")} }

// transport answers requests without a network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
}

func webhook(t *testing.T, cfg WebhookConfig, templates ...Template) *Webhook {
	t.Helper()
	cfg.Keys = twoKeys
	w, err := NewWebhook(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(templates) == 0 {
		templates = []Template{{URL: "http://upstream/{hub}/{category}/{event}"}}
	}
	if err := w.Reload(t.Context(), templates); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

var ann = realtime.Connection{
	ID: "conn-1", Hub: "chat", User: "ann", Query: "?v=1&x=a%20b",
	Claims: map[string]string{"role": "host", "exp": "1"},
}

// TestRequests are golden requests of spec §5.2.
func TestRequests(t *testing.T) {
	type seen struct {
		Method, URL, Body string
		Header            http.Header
	}
	var got seen
	w := webhook(t, WebhookConfig{Transport: transport(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		got = seen{r.Method, r.URL.String(), string(body), r.Header.Clone()}
		if err != nil {
			return nil, err
		}
		return answer(204, "")
	})})
	header := func(category, event, kind string) http.Header {
		return http.Header{
			"Content-Type": {kind}, "X-ASRS-Connection-Id": {"conn-1"}, "X-ASRS-Hub": {"chat"}, "X-ASRS-Category": {category}, "X-ASRS-Event": {event},
			"X-ASRS-User-Id": {"ann"}, "X-ASRS-Client-Query": {"?v=1&x=a%20b"},
			"X-ASRS-User-Claims": {"exp: 1, role: host, http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier: ann"},
		}
	}
	binary := []byte{0x95, 1, 0x80, 0xa1, '7', 0xa1, 't', 0x90}
	for _, c := range []struct {
		name string
		do   func()
		want seen
	}{
		{"connected", func() { w.Connected(t.Context(), ann) }, seen{"POST", "http://upstream/chat/connections/connected", `{"type":10}`, header("connections", "connected", "application/json")}},
		{"disconnected", func() { w.Disconnected(t.Context(), ann, "") }, seen{"POST", "http://upstream/chat/connections/disconnected", `{"type":11}`, header("connections", "disconnected", "application/json")}},
		{"disconnected by error", func() { w.Disconnected(t.Context(), ann, `a "b"`) }, seen{"POST", "http://upstream/chat/connections/disconnected", `{"type":11,"error":"a \"b\""}`, header("connections", "disconnected", "application/json")}},
		{"JSON", func() {
			_, _ = w.InvokedRaw(t.Context(), ann, "json", "a b", []byte(`{"type":1,"target":"a b","arguments":[]}`), false)
		}, seen{"POST", "http://upstream/chat/messages/a%20b", `{"type":1,"target":"a b","arguments":[]}`, header("messages", "a b", "application/json")}},
		{"MessagePack", func() { _, _ = w.InvokedRaw(t.Context(), ann, "messagepack", "t", binary, true) }, seen{"POST", "http://upstream/chat/messages/t", string(binary), header("messages", "t", "application/x-msgpack")}},
	} {
		got = seen{}
		c.do()
		c.want.Header["X-ASRS-Signature"] = []string{w.signature("conn-1")}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
	// echo -n conn-1 | openssl dgst -sha256 -hmac primary, and secondary.
	const want = "sha256=255705dd5fbf7c7b0a3919e02bbdbf5f9fe781e5d99729211776dcac01930471,sha256=418412eed31813fe2d3f65507e344385495c911c57ff99e545a871d4ed988083"
	if s := w.signature("conn-1"); s != want {
		t.Errorf("signature: %s", s)
	}
	got = seen{}
	w.Connected(t.Context(), realtime.Connection{ID: "c", Hub: "chat"})
	for _, name := range []string{"X-ASRS-User-Id", "X-ASRS-User-Claims", "X-ASRS-Client-Query"} {
		if _, has := got.Header[name]; has {
			t.Errorf("%s of an anonymous connection", name)
		}
	}
}

// TestCompletions has the responses of spec §5.3 and what the client gets.
func TestCompletions(t *testing.T) {
	raw := map[signalr.Protocol][]byte{
		signalr.JSON:        []byte(`{"arguments":[],"invocationId":"7","target":"t","type":1}`),
		signalr.MessagePack: {0x95, 1, 0x80, 0xa1, '7', 0xa1, 't', 0x90},
	}
	done := func(p signalr.Protocol, m signalr.Message) string {
		m.Type = signalr.Completion
		if m.InvocationID == "" {
			m.InvocationID = "7"
		}
		b, err := p.Append(nil, &m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	one := signalr.Message{Value: json.RawMessage("1")}
	failed := func(text string) signalr.Message { return signalr.Message{Error: text} }
	const j, b = signalr.JSON, signalr.MessagePack
	for _, c := range []struct {
		name   string
		p      signalr.Protocol
		status int
		body   string
		bare   bool
		want   string
	}{
		{"framed", j, 200, done(j, one), false, done(j, one)},
		{"framed", b, 200, done(b, one), false, done(b, one)},
		{"not framed", j, 200, strings.TrimSuffix(done(j, one), "\x1e"), false, done(j, one)},
		{"not framed", b, 200, done(b, one)[1:], false, done(b, one)},
		{"with a line end", j, 200, strings.TrimSuffix(done(j, one), "\x1e") + "\n", false, strings.TrimSuffix(done(j, one), "\x1e") + "\n\x1e"},
		{"line end after the frame", j, 200, done(j, one) + "\r\n", false, done(j, one)},
		{"error", j, 200, done(j, failed("no")), false, done(j, failed("no"))},
		{"empty", j, 200, "", false, ""}, {"204", b, 204, "", false, ""},
		{"500", j, 500, "x", false, done(j, failed("Invocation failed, status code 500"))},
		{"404", b, 404, "", false, done(b, failed("Invocation failed, status code 404"))},
		{"302", j, 302, "", false, done(j, failed("Invocation failed, status code 302"))},
		{"201", j, 201, done(j, one), false, done(j, failed("Invocation failed, status code 201"))},
		{"too large", j, 200, strings.Repeat("x", 201), false, done(j, failed("Invocation failed, response too large."))},
		{"another invocation", j, 200, done(j, signalr.Message{InvocationID: "8"}), false, done(j, failed("Invocation failed, the response is not a completion."))},
		{"two", j, 200, done(j, one) + done(j, one), false, done(j, failed("Invocation failed, the response is not a completion."))},
		{"a close", j, 200, "{\"type\":7}\x1e", false, done(j, failed("Invocation failed, the response is not a completion."))},
		{"other protocol", b, 200, done(j, one), false, done(b, failed("Invocation failed, the response is not a completion."))},
		{"bare, not allowed", j, 200, "1", false, done(j, failed("Invocation failed, the response is not a completion."))},
		{"bare", j, 200, " 1\n", true, done(j, one)},
		{"bare", b, 200, "\x01", true, done(b, one)},
		{"bare nonsense", j, 200, "x", true, done(j, failed("Invocation failed, the response is not a completion."))},
		{"bare nonsense", b, 200, "\xc1", true, done(b, failed("Invocation failed, the response is not a completion."))},
	} {
		w := webhook(t, WebhookConfig{BareResults: c.bare, MaxResponse: 200, Transport: transport(func(*http.Request) (*http.Response, error) { return answer(c.status, c.body) })})
		got, err := w.InvokedRaw(t.Context(), ann, c.p.String(), "t", raw[c.p], true)
		if err != nil || string(got) != c.want {
			t.Errorf("%s %s: %q %v", c.name, c.p, got, err)
		}
		if got, err := w.InvokedRaw(t.Context(), ann, c.p.String(), "t", raw[c.p], false); got != nil || err != nil {
			t.Errorf("%s %s, no result wanted: %q %v", c.name, c.p, got, err)
		}
	}
}

func TestInvokedDecoded(t *testing.T) {
	reply := ""
	w := webhook(t, WebhookConfig{Transport: transport(func(*http.Request) (*http.Response, error) { return answer(200, reply) })})
	ask := func(body string) (json.RawMessage, error) {
		reply = body
		return w.Invoked(t.Context(), ann, realtime.Message{Target: "t", Arguments: []json.RawMessage{json.RawMessage("1")}})
	}
	if v, err := ask("{\"type\":3,\"invocationId\":\"1\",\"result\":[2]}\x1e"); err != nil || string(v) != "[2]" {
		t.Errorf("result: %s %v", v, err)
	}
	if v, err := ask(""); err != nil || v != nil {
		t.Errorf("void: %s %v", v, err)
	}
	var told *realtime.Error
	if _, err := ask("{\"type\":3,\"invocationId\":\"1\",\"error\":\"no\"}"); !errors.As(err, &told) || told.Message != "no" {
		t.Errorf("error: %v", err)
	}
}

func TestHostileValues(t *testing.T) {
	calls := 0
	w := webhook(t, WebhookConfig{Transport: transport(func(*http.Request) (*http.Response, error) { calls++; return answer(204, "") })})
	for _, target := range []string{"a\r\nX-Evil: 1", "a\x00", "..", ".", strings.Repeat("x", 20000)} {
		raw, err := json.Marshal(map[string]any{"type": 1, "invocationId": "7", "target": target, "arguments": []int{}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.InvokedRaw(t.Context(), ann, "json", target, raw, true)
		if err != nil || !strings.Contains(string(got), "cannot be passed on") {
			t.Errorf("%.10q: %s %v", target, got, err)
		}
	}
	evil := ann
	evil.Claims = map[string]string{"name": "a\nb"}
	w.Connected(t.Context(), evil)
	if calls != 0 {
		t.Errorf("%d requests were made", calls)
	}
}

func TestUnmatched(t *testing.T) {
	w := webhook(t, WebhookConfig{Transport: transport(func(*http.Request) (*http.Response, error) { return answer(500, "") })}, Template{URL: "http://h/", Hub: "other"})
	raw := []byte(`{"type":1,"invocationId":"7","target":"t","arguments":[]}`)
	got, err := w.InvokedRaw(t.Context(), ann, "json", "t", raw, true)
	if err != nil || !strings.Contains(string(got), `"error":"Invocation failed, no upstream`) {
		t.Errorf("%s %v", got, err)
	}
	if got, err := w.InvokedRaw(t.Context(), ann, "json", "t", raw, false); got != nil || err != nil {
		t.Errorf("%s %v", got, err)
	}
}

func TestFirstMatchAndReload(t *testing.T) {
	var to []string
	w := webhook(t, WebhookConfig{Transport: transport(func(r *http.Request) (*http.Response, error) { to = append(to, r.URL.Path); return answer(200, "") })},
		Template{URL: "http://h/a", Event: "connected"}, Template{URL: "http://h/b"})
	w.Connected(t.Context(), ann)
	w.Disconnected(t.Context(), ann, "")
	if err := w.Reload(t.Context(), []Template{{URL: "http://h/c"}, {URL: "nonsense"}}); err == nil || strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a wrong template: %v", err)
	}
	w.Connected(t.Context(), ann)
	if err := w.Reload(t.Context(), []Template{{URL: "http://h/c"}}); err != nil {
		t.Fatal(err)
	}
	w.Connected(t.Context(), ann)
	if got := strings.Join(to, " "); got != "/a /b /a /c" {
		t.Error(got)
	}
	if err := w.Reload(t.Context(), make([]Template, maxTemplates+1)); err == nil {
		t.Error("too many templates")
	}
}

func TestManagedIdentity(t *testing.T) {
	needy := Template{URL: "http://h/", Resource: "api://x"}
	if err := webhook(t, WebhookConfig{}, Template{URL: "http://h/"}).Reload(t.Context(), []Template{needy}); err == nil {
		t.Error("accepted without an identity")
	}
	var got string
	cfg := WebhookConfig{
		Identity: func(_ context.Context, resource string) (secret.Value, error) {
			return secret.New("token for " + resource), nil
		},
		Transport: transport(func(r *http.Request) (*http.Response, error) {
			got = r.Header.Get("Authorization")
			return answer(200, "")
		}),
	}
	webhook(t, cfg, needy).Connected(t.Context(), ann)
	if got != "Bearer token for api://x" {
		t.Error(got)
	}
}

func TestConnectedFailure(t *testing.T) {
	for _, c := range []struct {
		status int
		policy ConnectedPolicy
		want   string
	}{
		{200, ConnectedClose, ""}, {500, ConnectedIgnore, ""}, {500, ConnectedClose, "chat conn-1 true"}, {401, ConnectedIgnore, "chat conn-1 false"}, {403, ConnectedClose, "chat conn-1 false"},
	} {
		got := ""
		w := webhook(t, WebhookConfig{
			OnConnectedFailure: c.policy,
			Transport:          transport(func(*http.Request) (*http.Response, error) { return answer(c.status, "") }),
			Close: func(_ context.Context, hub, id, _ string, again bool) error {
				got = strings.Join([]string{hub, id, map[bool]string{true: "true", false: "false"}[again]}, " ")
				return realtime.ErrNoConnection
			},
		})
		w.Connected(t.Context(), ann)
		if got != c.want {
			t.Errorf("%d with %d: %q", c.status, c.policy, got)
		}
	}
}

func TestRedirects(t *testing.T) {
	var reached []string
	var mu sync.Mutex
	note := func(r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		reached = append(reached, r.URL.Path+string(body))
	}
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { note(r) }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch note(r); r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL+"/stolen", http.StatusTemporaryRedirect)
		case "/get":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/near":
			http.Redirect(w, r, "/end", http.StatusPermanentRedirect)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	for path, want := range map[string]string{"away": "/away", "get": "/get", "near": "/near /end", "loop": "/loop /loop /loop /loop"} {
		reached = nil
		w := webhook(t, WebhookConfig{}, Template{URL: server.URL + "/" + path})
		w.Connected(t.Context(), ann)
		if got := strings.ReplaceAll(strings.Join(reached, " "), `{"type":10}`, ""); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// TestReasons: each way to fail has its reason in metrics and log, with a hint,
// and nothing of the URL.
func TestReasons(t *testing.T) {
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := refusing.Addr().String()
	if err := refusing.Close(); err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	defer secure.Close()
	plainly := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }))
	defer plainly.Close()
	for _, c := range []struct {
		url    string
		answer transport
		want   reason
	}{
		{"http://" + closed + "/?code=hush", nil, reasonConnect},
		{secure.URL + "/?code=hush", nil, reasonTLS},
		{strings.Replace(plainly.URL, "http:", "https:", 1), nil, reasonTLS},
		{plainly.URL + "/?code=hush", nil, reasonLost},
		{"http://h/?code=hush", func(*http.Request) (*http.Response, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "hush"}
		}, reasonDNS},
		{"http://h/", func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
		}, reasonConnectTimeout},
		{"http://h/", func(*http.Request) (*http.Response, error) { return answer(401, "") }, reasonUnauthorized},
		{"http://h/", func(*http.Request) (*http.Response, error) { return answer(403, "") }, reasonForbidden},
		{"http://h/", func(*http.Request) (*http.Response, error) { return answer(404, "") }, reasonNotFound},
		{"http://h/", func(*http.Request) (*http.Response, error) { return answer(415, "") }, reasonMediaType},
		{"http://h/", func(*http.Request) (*http.Response, error) { return answer(429, "") }, reasonThrottled},
		{"http://h/", func(*http.Request) (*http.Response, error) { return answer(500, "") }, reasonStatus5xx},
		{"http://h/", func(*http.Request) (*http.Response, error) { return answer(503, "") }, reasonUnavailable},
		{"http://h/", func(*http.Request) (*http.Response, error) { return answer(302, "") }, reasonRedirect},
	} {
		var logged bytes.Buffer
		registry := prometheus.NewPedanticRegistry()
		cfg := WebhookConfig{Logger: slog.New(slog.NewTextHandler(&logged, nil)), Registerer: registry}
		if c.answer != nil {
			cfg.Transport = c.answer
		}
		w := webhook(t, cfg, Template{URL: c.url})
		w.Disconnected(t.Context(), ann, "")
		if n := testutil.ToFloat64(w.metrics.events.WithLabelValues(categoryConnections, string(c.want))); n != 1 {
			t.Errorf("%s: %s was not counted\n%s", c.url, c.want, logged.String())
		}
		text := logged.String()
		if !strings.Contains(text, "reason="+string(c.want)) || c.want.hint() == "" || strings.Contains(text, "hush") || strings.Contains(text, "ann") || strings.Contains(text, "127.0.0.1") {
			t.Errorf("%s: logged %s", c.want, text)
		}
	}
}

func FuzzCompletion(f *testing.F) {
	f.Add([]byte("{\"type\":3,\"invocationId\":\"7\",\"result\":1}\x1e"), false)
	f.Add([]byte{8, 0x95, 3, 0x80, 0xa1, '7', 3, 1, 0}, true)
	f.Fuzz(func(t *testing.T, body []byte, bare bool) {
		for _, p := range signalr.Protocols() {
			got, ok := completionOf(p, "7", body, bare)
			if !ok || got == nil {
				continue
			}
			m, err := p.Decode(unframe(p, got))
			if err != nil || m.Type != signalr.Completion || m.InvocationID != "7" {
				t.Fatalf("%s: %q became %q: %v", p, body, got, err)
			}
		}
	})
}
