package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"causeway/internal/grant"
	"causeway/internal/grant/shared"
	"causeway/internal/ice"
	"causeway/internal/realtime"
)

// recorder is a realtime.Service that writes down what it is asked to do, and knows who is in
// the group.
type recorder struct {
	calls  []string
	in     []realtime.ConnectionInfo
	claims realtime.Claims
}

func (r *recorder) note(format string, args ...any) error {
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
	return nil
}

func (r *recorder) Negotiate(_ context.Context, c realtime.Claims) (realtime.Endpoint, error) {
	r.claims = c
	return realtime.Endpoint{URL: c.Origin + "/client/?hub=chathub", AccessToken: "access"}, nil
}

func (r *recorder) Send(_ context.Context, to realtime.Recipient, m realtime.Message) error {
	return r.note("send %s %s%s", to.ID, m.Target, m.Arguments[0])
}

func (r *recorder) JoinGroup(_ context.Context, group, id string) error {
	r.in = append(r.in, realtime.ConnectionInfo{ConnectionID: id})
	return r.note("join %s %s", group, id)
}

func (r *recorder) LeaveGroup(context.Context, string, string) error { return nil }

func (r *recorder) CloseConnection(_ context.Context, id, _ string) error {
	return r.note("close %s", id)
}

func (r *recorder) Exists(context.Context, realtime.Recipient) (bool, error)    { return false, nil }
func (r *recorder) Count(context.Context, realtime.Recipient) (int, int, error) { return 0, 0, nil }
func (r *recorder) Connections(_ context.Context, _ realtime.Recipient, _ string, limit int) ([]realtime.ConnectionInfo, string, error) {
	return r.in[:min(limit, len(r.in))], "", nil
}

// relays mints credentials that say for whom.
type relays struct{ orders []grant.Order }

func (r *relays) Mint(_ context.Context, pair [2]grant.Order) (made [2]grant.Credential, err error) {
	for i, o := range pair {
		r.orders = append(r.orders, o)
		made[i] = grant.Credential{Servers: []ice.Server{{URLs: []string{"turn:x"}, Username: "for-" + o.Member.Peer, Credential: "c"}}, Handle: o.Member.Peer}
	}
	return made, nil
}
func (r *relays) Renew(context.Context, string, time.Time, []ice.Auth) error { return nil }
func (r *relays) Revoke(context.Context, string) error                       { return nil }

type fixture struct {
	*Demo
	rt      *recorder
	relays  *relays
	refused map[string]int
}

func newFixture(t *testing.T, limits Limits) *fixture {
	t.Helper()
	f := &fixture{rt: &recorder{}, relays: &relays{}, refused: map[string]int{}}
	keeper, err := grant.New(grant.Config{Relay: f.relays})
	if err != nil {
		t.Fatal(err)
	}
	var count int64
	f.Demo, err = New(Config{
		Realtime: f.rt, Relays: keeper, Rates: shared.NewMemory(), Limits: limits, Origins: []string{"https://chat.example"},
		ICE:     func() []ice.Server { return []ice.Server{{URLs: []string{"stun:192.0.2.1"}}} },
		Origin:  func(r *http.Request) string { return "http://" + r.Host },
		Refused: func(code string) { f.refused[code]++ },
		Count:   func(context.Context) (int64, int64, error) { count++; return 40 + count, count, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) connect(id, name string) realtime.Connection {
	c := realtime.Connection{ID: id, Hub: Hub, Claims: map[string]string{claimName: url.QueryEscape(name)}}
	f.Connected(context.Background(), c)
	f.rt.calls = nil
	return c
}

func (f *fixture) invoke(t *testing.T, c realtime.Connection, target string, args ...any) error {
	t.Helper()
	m, err := realtime.NewMessage(target, args...)
	if err != nil {
		t.Fatal(err)
	}
	f.rt.calls = nil
	_, err = f.Invoked(t.Context(), c, m)
	return err
}

func code(err error) string {
	var e *realtime.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

func TestBroadcastReachesAllAndCounts(t *testing.T) {
	f := newFixture(t, Limits{})
	ann := f.connect("a", "Ann")
	if err := f.invoke(t, ann, "broadcast", "<b>hi</b>"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`send demo onMessage{"ConnectionId":"a","UserId":"Ann","Text":"\u003cb\u003ehi\u003c/b\u003e"}`,
		`send demo onStatistics{"Messages":41,"MessagesToday":1}`,
	}
	if got := f.rt.calls; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q", got)
	}
}

func TestCredentialsOnlyInCompany(t *testing.T) {
	f := newFixture(t, Limits{})
	ann := f.connect("a", "Ann")
	if err := f.invoke(t, ann, "aquireturncredential", "europe"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.rt.calls, "\n"); got != `send a onTURNCredidentials[{"urls":["stun:192.0.2.1"]}]` {
		t.Errorf("alone: %s", got)
	}
	bob := f.connect("b", "Bob")
	if err := f.invoke(t, bob, "aquireturncredential", "europe"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.rt.calls, "\n"); got != `send b onTURNCredidentials[{"urls":["turn:x"],"username":"for-b","credential":"c"}]` {
		t.Errorf("in company: %s", got)
	}
	for _, o := range f.relays.orders {
		if o.Member.Terms != (grant.Terms{Closed: true, DayBytes: 1 << 30}) || o.Need.Region != "europe" {
			t.Errorf("%s: terms %+v", o.Member.Peer, o.Member.Terms)
		}
	}
	f.Disconnected(t.Context(), ann, "")
	f.rt.in = f.rt.in[1:]
	if err := f.invoke(t, bob, "aquireturncredential", "europe"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.rt.calls, "\n"); got != `send b onTURNCredidentials[{"urls":["stun:192.0.2.1"]}]` {
		t.Errorf("alone again: %s", got)
	}
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Limits{Members: 2, Text: 10})
		ann := f.connect("a", "Ann")
		bob := f.connect("b", "Bob")
		f.Connected(t.Context(), realtime.Connection{ID: "c"})
		if got := strings.Join(f.rt.calls, "\n"); got != "close c" {
			t.Errorf("a third one: %q", got)
		}
		for target, args := range map[string][]any{
			"broadcast": {}, "Broadcast": {"x"}, "aquireturncredential": {"a", "b"}, "nothing": nil,
		} {
			if got := code(f.invoke(t, ann, target, args...)); got != "bad_message" {
				t.Errorf("%s%v: %s", target, args, got)
			}
		}
		for _, args := range [][]any{{nil}, {1}, {[]string{"x"}}, {"x", "y"}} {
			if got := code(f.invoke(t, ann, "broadcast", args...)); got != "bad_message" {
				t.Errorf("broadcast %v: %s", args, got)
			}
		}
		if got := code(f.invoke(t, ann, "broadcast", "01234567890")); got != "too_large" {
			t.Errorf("long text: %s", got)
		}
		said := 0
		for f.invoke(t, ann, "broadcast", "x") == nil {
			said++
		}
		if said != 10 {
			t.Errorf("%d messages at once, want 10", said)
		}
		if got := code(f.invoke(t, ann, "broadcast", "x")); got != "too_fast" || len(f.rt.calls) > 0 || f.refused["too_fast"] != 2 {
			t.Errorf("too many: %s, %q", got, f.rt.calls)
		}
		if err := f.invoke(t, bob, "broadcast", "x"); err != nil {
			t.Errorf("another one: %v", err)
		}
		time.Sleep(500 * time.Millisecond)
		if err := f.invoke(t, ann, "broadcast", "x"); err != nil {
			t.Errorf("half a second later: %v", err)
		}
		asked := 0
		for f.invoke(t, ann, "aquireturncredential", "") == nil {
			asked++
		}
		if asked != 4 {
			t.Errorf("asked %d times for credentials, want 4", asked)
		}
		f.Disconnected(t.Context(), bob, "")
		if got := f.connect("d", "Dan"); f.invoke(t, got, "broadcast", "x") != nil {
			t.Error("there is no room after others were gone")
		}
	})
}

func TestNegotiate(t *testing.T) {
	f := newFixture(t, Limits{})
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := f.Handler(next)
	do := func(method, path string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://h:1"+path, nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, r := range [][]string{{"POST", "/api/negotiate"}, {"GET", "/api/negotiate", "userId", "x"}, {"POST", "/api/ice", "userId", "x"}, {"OPTIONS", "/api/negotiate"}} {
		if w := do(r[0], r[1], r[2:]...); w.Code != http.StatusTeapot {
			t.Errorf("%v: %d, want the next handler", r, w.Code)
		}
	}
	w := do("POST", "/api/negotiate?negotiateVersion=1", "userId", "Zo\xeb", "Origin", "https://chat.example")
	var e realtime.Endpoint
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != 200 || e != (realtime.Endpoint{URL: "http://h:1/client/?hub=chathub", AccessToken: "access"}) {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	if f.rt.claims.User != "" || f.rt.claims.Custom[claimName] != "Zo%C3%AB" {
		t.Errorf("claims %+v", f.rt.claims)
	}
	if got := w.Header().Get("Access-Control-Allow-Origin"); got != "https://chat.example" {
		t.Errorf("allowed origin %q", got)
	}
	if w := do("POST", "/api/negotiate", "userId", "x", "Origin", "https://evil.example"); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("another origin may read the answer")
	}
	w = do("OPTIONS", "/api/negotiate", "Origin", "https://chat.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "userid")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Credentials") != "true" || !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "userId") {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
	for _, bad := range []string{"", "   ", "\u202e", strings.Repeat("x", 65)} {
		if w := do("POST", "/api/negotiate", "userId", bad); w.Code != 400 {
			t.Errorf("name %q: %d", bad, w.Code)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("Ann")
	f.Add("Zo\xeb")
	f.Add("a\u202eb\x00")
	f.Fuzz(func(t *testing.T, header string) {
		name, ok := nameOf(header)
		if ok && (name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName || strings.TrimSpace(name) != name) {
			t.Errorf("%q became %q", header, name)
		}
		if again, _ := nameOf(name); ok && again != name {
			t.Errorf("%q became %q, then %q", header, name, again)
		}
	})
}
