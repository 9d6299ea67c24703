package azure

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/secret"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func sign(key, id string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(id))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// script is a handler made of functions.
type script struct {
	connected func(realtime.Connection)
	invoked   func(realtime.Message) (json.RawMessage, error)
}

func (s script) Connected(_ context.Context, c realtime.Connection) {
	if s.connected != nil {
		s.connected(c)
	}
}

func (s script) Invoked(_ context.Context, _ realtime.Connection, m realtime.Message) (json.RawMessage, error) {
	return s.invoked(m)
}

func (s script) Disconnected(context.Context, realtime.Connection, string) {}

func newUpstream(t *testing.T, h realtime.Handler, change func(*UpstreamConfig)) *Upstream {
	t.Helper()
	cfg := UpstreamConfig{
		Keys: func() []secret.Value { return []secret.Value{{}, secret.New("one"), secret.New("two")} },
		Handler: func(hub string) realtime.Handler {
			if hub == "chat" {
				return h
			}
			return nil
		},
	}
	if change != nil {
		change(&cfg)
	}
	u, err := NewUpstream(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// event is a request as the service sends it, with headers set over it; an
// empty value removes one.
func event(body string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/runtime/webhooks/signalr?code=x", strings.NewReader(body))
	all := append([]string{
		"X-ASRS-Connection-Id", "c1", "X-ASRS-Hub", "Chat", "X-ASRS-Category", "messages", "X-ASRS-Event", "send",
		"X-ASRS-Signature", sign("two", "c1"), "Content-Type", "application/json; charset=utf-8",
	}, header...)
	for i := 0; i+1 < len(all); i += 2 {
		r.Header.Set(all[i], all[i+1])
		if all[i+1] == "" {
			r.Header.Del(all[i])
		}
	}
	return r
}

const invocation = `{"type":1,"invocationId":"7","target":"send","arguments":[1]}`

func TestUpstreamStatuses(t *testing.T) {
	echo := script{invoked: func(m realtime.Message) (json.RawMessage, error) { return m.Arguments[0], nil }}
	other := sign("other", "c1")
	for _, c := range []struct {
		name, body string
		header     []string
		want       int
		answer     string
	}{
		{"invocation", invocation, nil, 200, "{\"type\":3,\"invocationId\":\"7\",\"result\":1}\x1e"},
		{"framed", invocation + "\x1e", nil, 200, "{\"type\":3,\"invocationId\":\"7\",\"result\":1}\x1e"},
		{"no result wanted", `{"type":1,"target":"send","arguments":[1]}`, nil, 200, ""},
		{"target in another case", invocation, []string{"X-ASRS-Event", "SEND"}, 200, "{\"type\":3,\"invocationId\":\"7\",\"result\":1}\x1e"},
		{"two signatures", invocation, []string{"X-ASRS-Signature", other + "," + sign("one", "c1")}, 200, "{\"type\":3,\"invocationId\":\"7\",\"result\":1}\x1e"},
		{"upper case, spaces", invocation, []string{"X-ASRS-Signature", other + ", " + strings.ToUpper(sign("one", "c1"))}, 200, "{\"type\":3,\"invocationId\":\"7\",\"result\":1}\x1e"},
		{"connected", `{"type":10}`, []string{"X-ASRS-Category", "connections", "X-ASRS-Event", "connected"}, 200, ""},
		{"disconnected", `{"Type":11,"Error":"x"}`, []string{"X-ASRS-Category", "connections", "X-ASRS-Event", "disconnected"}, 200, ""},
		{"other event", `{}`, []string{"X-ASRS-Category", "connections", "X-ASRS-Event", "x"}, 404, ""},
		{"other hub", invocation, []string{"X-ASRS-Hub", "x"}, 404, ""},
		{"no id", invocation, []string{"X-ASRS-Connection-Id", ""}, 400, ""},
		{"no hub", invocation, []string{"X-ASRS-Hub", ""}, 400, ""},
		{"no event", invocation, []string{"X-ASRS-Event", ""}, 400, ""},
		{"not signed", invocation, []string{"X-ASRS-Signature", ""}, 401, ""},
		{"wrong key", invocation, []string{"X-ASRS-Signature", other}, 401, ""},
		{"empty key", invocation, []string{"X-ASRS-Signature", sign("", "c1")}, 401, ""},
		{"other connection", invocation, []string{"X-ASRS-Signature", sign("one", "c2")}, 401, ""},
		{"not hex", invocation, []string{"X-ASRS-Signature", "sha256=zz"}, 401, ""},
		{"too many", invocation, []string{"X-ASRS-Signature", strings.Repeat("x,", 8) + sign("one", "c1")}, 401, ""},
		{"text", invocation, []string{"Content-Type", "text/plain"}, 415, ""},
		{"no type", invocation, []string{"Content-Type", ""}, 415, ""},
		{"other target", invocation, []string{"X-ASRS-Event", "x"}, 400, ""},
		{"ping", `{"type":6}`, nil, 400, ""},
		{"nonsense", `x`, nil, 400, ""},
		{"JSON as MessagePack", invocation, []string{"Content-Type", "application/x-msgpack"}, 400, ""},
		{"large", strings.Repeat("x", 1<<20+1), nil, 413, ""},
	} {
		w := httptest.NewRecorder()
		newUpstream(t, echo, nil).ServeHTTP(w, event(c.body, c.header...))
		if w.Code != c.want || w.Code == 200 && w.Body.String() != c.answer {
			t.Errorf("%s: %d %q", c.name, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	newUpstream(t, echo, nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != 405 {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestUpstreamConnection(t *testing.T) {
	var got realtime.Connection
	u := newUpstream(t, script{connected: func(c realtime.Connection) { got = c }}, nil)
	u.ServeHTTP(httptest.NewRecorder(), event(`{"type":10}`, "X-ASRS-Category", "connections", "X-ASRS-Event", "connected", "X-ASRS-User-Id", "ann",
		"X-ASRS-User-Claims", "role: host, asrs.u.aud: mine, aud: https://x/client/?hub=chat, asrs.s.uid: ann, "+accesskey.NameIdentifier+": ann, list: a,b, c, empty: ",
		"X-ASRS-Client-Query", "?x=1"))
	want := realtime.Connection{
		ID: "c1", Hub: "chat", User: "ann", Query: "?x=1",
		Claims: map[string]string{"role": "host", "aud": "mine", "list": "a,b, c", "empty": ""},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// rawScript is a handler that wants invocations as they came.
type rawScript struct {
	script
	answer string
	err    error
}

func (s rawScript) InvokedRaw(_ context.Context, _ realtime.Connection, protocol, target string, raw []byte, wantsResult bool) ([]byte, error) {
	if protocol != "json" || target != "send" || string(raw) != invocation || !wantsResult {
		return nil, errors.New("not what was sent")
	}
	return []byte(s.answer), s.err
}

func TestRawHandler(t *testing.T) {
	const completion = `{"type":3,"invocationId":"7","result":2}`
	for _, c := range []struct {
		h    rawScript
		want string
	}{
		{rawScript{answer: completion}, completion + "\x1e"},
		{rawScript{answer: completion + "\x1e"}, completion + "\x1e"},
		{rawScript{err: &realtime.Error{Code: "full", Message: "No room."}}, `{"type":3,"invocationId":"7","error":"full: No room."}` + "\x1e"},
	} {
		w := httptest.NewRecorder()
		newUpstream(t, c.h, nil).ServeHTTP(w, event(invocation))
		if w.Code != 200 || w.Body.String() != c.want {
			t.Errorf("%d %q, want %q", w.Code, w.Body, c.want)
		}
	}
}

// TestOneAtATime: events of one connection wait for each other, those of others do not.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, begun := make(chan struct{}), 0
		registry := prometheus.NewPedanticRegistry()
		u := newUpstream(t, script{invoked: func(realtime.Message) (json.RawMessage, error) { begun++; <-release; return nil, nil }}, func(cfg *UpstreamConfig) {
			cfg.MaxConcurrent = 3
			cfg.Registerer = registry
		})
		send := func(ctx context.Context, id string) chan int {
			done := make(chan int, 1)
			go func() {
				w := httptest.NewRecorder()
				u.ServeHTTP(w, event(invocation, "X-ASRS-Connection-Id", id, "X-ASRS-Signature", sign("one", id)).WithContext(ctx))
				done <- w.Code
			}()
			synctest.Wait()
			return done
		}
		gone, cancel := context.WithCancel(t.Context())
		first, second, third := send(t.Context(), "c1"), send(gone, "c1"), send(t.Context(), "c2")
		if begun != 2 {
			t.Errorf("%d began", begun)
		}
		if got := <-send(t.Context(), "c3"); got != 503 {
			t.Errorf("beyond the bound: %d", got)
		}
		cancel()
		if got := <-second; got != 503 {
			t.Errorf("whose caller has gone: %d", got)
		}
		fourth := send(t.Context(), "c1")
		close(release)
		if a, b, c := <-first, <-third, <-fourth; a != 200 || b != 200 || c != 200 {
			t.Errorf("%d %d %d", a, b, c)
		}
		if len(u.turns.names) != 0 {
			t.Errorf("%d names are kept", len(u.turns.names))
		}
		for outcome, want := range map[string]float64{"ok": 3, "overloaded": 1, "canceled": 1} {
			if got := testutil.ToFloat64(u.requests.WithLabelValues(outcome)); got != want {
				t.Errorf("%s: %v", outcome, got)
			}
		}
	})
}

func TestNewUpstreamRefuses(t *testing.T) {
	if _, err := NewUpstream(UpstreamConfig{}); err == nil {
		t.Error("an empty configuration was accepted")
	}
}

func FuzzUpstream(f *testing.F) {
	f.Add([]byte(invocation), false, "a: b, c: d", "sha256=00")
	f.Add([]byte{0x95, 1, 0x80, 0xa1, '7', 0xa4, 's', 'e', 'n', 'd', 0x90}, true, ": ", ",")
	f.Fuzz(func(t *testing.T, body []byte, binary bool, claims, signature string) {
		u, err := NewUpstream(UpstreamConfig{
			Keys: func() []secret.Value { return []secret.Value{secret.New("one")} },
			Handler: func(string) realtime.Handler {
				return script{invoked: func(realtime.Message) (json.RawMessage, error) { return nil, nil }}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		kind := map[bool]string{false: "application/json", true: "application/x-msgpack"}[binary]
		w := httptest.NewRecorder()
		u.ServeHTTP(w, event(string(body), "Content-Type", kind, "X-ASRS-User-Claims", claims, "X-ASRS-Signature", sign("one", "c1")))
		if w.Code != 200 && w.Code != 400 && w.Code != 413 {
			t.Fatalf("status %d", w.Code)
		}
		if verifySignature([]secret.Value{secret.New("one")}, "c1", signature) && !strings.Contains(strings.ToLower(signature), sign("one", "c1")) {
			t.Fatal("a signature was made up")
		}
	})
}

// Each proof that is configured is asked for, and neither stands in for the other.
func TestSignatureAndToken(t *testing.T) {
	h := script{connected: func(realtime.Connection) {}}
	tokens := func(_ context.Context, token string) error {
		if token != "good" {
			return errors.New("another token")
		}
		return nil
	}
	connected := []string{"X-ASRS-Category", "connections", "X-ASRS-Event", "connected"}
	both := newUpstream(t, h, func(c *UpstreamConfig) { c.Token = tokens })
	only := newUpstream(t, h, func(c *UpstreamConfig) { c.Token, c.Keys = tokens, nil })
	for _, c := range []struct {
		name   string
		on     *Upstream
		header []string
		want   int
	}{
		{"both", both, []string{"Authorization", "Bearer good"}, 200},
		{"both, the other header", both, []string{"Authentication", "bearer good"}, 200},
		{"no token", both, nil, 401},
		{"a bad token", both, []string{"Authorization", "Bearer bad"}, 401},
		{"a token without a scheme", both, []string{"Authorization", "good"}, 401},
		{"a bad token in one header, a good one in the other", both, []string{"Authorization", "Bearer bad", "Authentication", "Bearer good"}, 401},
		{"no signature", both, []string{"Authorization", "Bearer good", "X-ASRS-Signature", ""}, 401},
		{"a bad signature", both, []string{"Authorization", "Bearer good", "X-ASRS-Signature", sign("three", "c1")}, 401},
		{"no keys: the token", only, []string{"Authorization", "Bearer good", "X-ASRS-Signature", ""}, 200},
		{"no keys: a signature says nothing", only, nil, 401},
	} {
		w := httptest.NewRecorder()
		c.on.ServeHTTP(w, event(`{"type":10}`, append(connected, c.header...)...))
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.want)
		}
	}
	if _, err := NewUpstream(UpstreamConfig{Handler: func(string) realtime.Handler { return h }}); err == nil {
		t.Error("an upstream that checks nothing")
	}
}
