package signaling

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"causeway/internal/budget"
	"causeway/internal/grant"
	"causeway/internal/httpx"
	"causeway/internal/ice"
	"causeway/internal/realtime"
	"causeway/internal/token"
)

// recorder is a realtime.Service that writes down what it is asked to do.
type recorder struct {
	calls  []string
	claims realtime.Claims
	fail   error
}

func (r *recorder) note(format string, args ...any) error {
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
	return r.fail
}

func (r *recorder) Negotiate(_ context.Context, c realtime.Claims) (realtime.Endpoint, error) {
	r.claims = c
	return realtime.Endpoint{URL: c.Origin + "/client/?hub=signaling", AccessToken: "access"}, r.fail
}

func (r *recorder) Send(_ context.Context, to realtime.Recipient, m realtime.Message) error {
	return r.note("send %d %s %s%s", to.Kind, to.ID, m.Target, m.Arguments[0])
}

func (r *recorder) JoinGroup(_ context.Context, group, id string) error {
	return r.note("join %s %s", group, id)
}

func (r *recorder) LeaveGroup(_ context.Context, group, id string) error {
	return r.note("leave %s %s", group, id)
}

func (r *recorder) CloseConnection(_ context.Context, id, _ string) error {
	return r.note("close %s", id)
}

// relays mints credentials that say for whom.
type relays struct {
	orders   []grant.Order
	fail     error
	declared []string // handle:bytes
}

func (r *relays) Mint(_ context.Context, pair [2]grant.Order) (made [2]grant.Credential, err error) {
	for i, o := range pair {
		r.orders = append(r.orders, o)
		made[i] = grant.Credential{Servers: []ice.Server{{URLs: []string{"turn:x"}, Username: "for-" + o.Member.Peer, Credential: "c"}}, Handle: o.Member.Peer}
	}
	return made, r.fail
}

func (r *relays) Renew(context.Context, string, time.Time, []ice.Auth) error { return nil }
func (r *relays) Revoke(context.Context, string) error                       { return nil }

func (r *relays) Declare(_ context.Context, handle string, bytes int64) error {
	r.declared = append(r.declared, fmt.Sprint(handle, ":", bytes))
	return nil
}

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

type fixture struct {
	*Signaling
	rt     *recorder
	relays *relays
	mux    *http.ServeMux
	time   time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	signer, err := token.New(bytes.Repeat([]byte{7}, token.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{rt: &recorder{}, relays: &relays{}, mux: http.NewServeMux(), time: now}
	keeper, err := grant.New(grant.Config{Relay: f.relays, Declare: f.relays.Declare})
	if err != nil {
		t.Fatal(err)
	}
	f.Signaling, err = New(Config{
		Realtime: f.rt, Relays: keeper, Signer: signer, Lifetime: 24 * time.Hour, Seats: 8, Members: 3,
		ICE:        func() []ice.Server { return []ice.Server{{URLs: []string{"stun:192.0.2.1:3478"}}} },
		ClientAddr: httpx.Peer,
		LinkBase:   func(*http.Request) string { return "http://lan:8080" },
		Origin:     func(r *http.Request) string { return "http://" + r.Host },
		Now:        func() time.Time { return f.time },
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Routes(f.mux)
	return f
}

// post returns the status and the decoded answer.
func (f *fixture) post(t *testing.T, path, grant, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest("POST", "http://h:1"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if grant != "" {
		r.Header.Set("Authorization", "Bearer "+grant)
	}
	w := httptest.NewRecorder()
	f.mux.ServeHTTP(w, r)
	var v map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%s: %d %q: %v", path, w.Code, w.Body, err)
	}
	return w.Code, v
}

func str(t *testing.T, v map[string]any, key string) string {
	t.Helper()
	s, ok := v[key].(string)
	if !ok || s == "" {
		t.Fatalf("%s is missing in %v", key, v)
	}
	return s
}

func TestCreateJoinNegotiate(t *testing.T) {
	f := newFixture(t)
	status, host := f.post(t, "/api/sessions", "", "{}")
	if status != 201 || host["base"] != "http://lan:8080" || host["seats"] != float64(8) || host["role"] != "host" ||
		host["expires"] != float64(now.Add(24*time.Hour).Unix()) {
		t.Fatalf("%d %v", status, host)
	}
	status, guest := f.post(t, "/api/sessions/join", "", `{"invite":"`+str(t, host, "invite")+`"}`)
	if status != 200 || guest["session"] != host["session"] || guest["role"] != "guest" || guest["peer"] == host["peer"] || guest["expires"] != host["expires"] {
		t.Fatalf("%d %v", status, guest)
	}
	// A second guest is another peer of the same session: an invite isn't used up.
	if _, second := f.post(t, "/api/sessions/join", "", `{"invite":"`+str(t, host, "invite")+`"}`); second["peer"] == guest["peer"] {
		t.Error("two guests got the same peer id")
	}

	status, endpoint := f.post(t, "/api/negotiate?negotiateVersion=1", str(t, guest, "grant"), "")
	if status != 200 || endpoint["url"] != "http://h:1/client/?hub=signaling" || endpoint["accessToken"] != "access" {
		t.Fatalf("%d %v", status, endpoint)
	}
	// httptest's client is at 192.0.2.1.
	want := fmt.Sprintf("%s.%s map[addr:192.0.2.1 peer:%[2]s role:guest session:%[1]s] 1h0m0s", guest["session"], guest["peer"])
	if got := fmt.Sprint(f.rt.claims.User, " ", f.rt.claims.Custom, " ", f.rt.claims.Lifetime); got != want {
		t.Errorf("claims %s, want %s", got, want)
	}

	status, servers := f.post(t, "/api/ice", str(t, guest, "grant"), "")
	if status != 200 || fmt.Sprint(servers["iceServers"]) != "[map[urls:[stun:192.0.2.1:3478]]]" {
		t.Errorf("%d %v", status, servers)
	}
	// Near the session's end the access token ends with the grant.
	f.time = now.Add(24*time.Hour - time.Minute)
	f.post(t, "/api/negotiate", str(t, guest, "grant"), "")
	if f.rt.claims.Lifetime != time.Minute {
		t.Errorf("lifetime %v, want a minute", f.rt.claims.Lifetime)
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	_, host := f.post(t, "/api/sessions", "", "{}")
	invite, grant := str(t, host, "invite"), str(t, host, "grant")
	cases := []struct {
		name, path, grant, body string
		after                   time.Duration
		status                  int
		code                    string
	}{
		{"unknown", "/api/sessions/join", "", `{"invite":"` + strings.Repeat("A", 50) + `"}`, 0, 404, "unknown_link"},
		{"no invite", "/api/sessions/join", "", `{}`, 0, 404, "unknown_link"},
		{"expired", "/api/sessions/join", "", `{"invite":"` + invite + `"}`, 24 * time.Hour, 410, "expired_link"},
		{"malformed", "/api/sessions/join", "", `{"invite":`, 0, 400, "bad_request"},
		{"oversized", "/api/sessions/join", "", `{"invite":"` + strings.Repeat("A", maxBody) + `"}`, 0, 413, "too_large"},
		{"unknown request", "/api/nothing", "", "", 0, 404, "unknown_request"},
		{"no grant", "/api/negotiate", "", "", 0, 401, "bad_grant"},
		{"an invite is no grant", "/api/ice", invite, "", 0, 401, "bad_grant"},
		{"grant expired", "/api/ice", grant, "", 25 * time.Hour, 401, "bad_grant"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f.time = now.Add(c.after)
			status, v := f.post(t, c.path, c.grant, c.body)
			if status != c.status || v["code"] != c.code || v["message"] == "" {
				t.Errorf("%d %v, want %d %s", status, v, c.status, c.code)
			}
		})
	}
}

func conn(id, peer string, role token.Role) realtime.Connection {
	return realtime.Connection{ID: id, Hub: Hub, User: "S." + peer, Claims: map[string]string{claimSession: "S", claimPeer: peer, claimRole: string(role)}}
}

const hostPeer, guestPeer = "AAAAAAAAAAA", "BBBBBBBBBBA"

func TestConnections(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.Connected(ctx, conn("c1", hostPeer, token.Host))
	f.Connected(ctx, conn("c2", guestPeer, token.Guest))
	f.Connected(ctx, realtime.Connection{ID: "c3"})
	f.Connected(ctx, conn("c4", guestPeer, "admin"))
	invoke := func(c realtime.Connection, target, arg string) {
		t.Helper()
		if _, err := f.Invoked(ctx, c, realtime.Message{Target: target, Arguments: []json.RawMessage{json.RawMessage(arg)}}); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	invoke(conn("c2", guestPeer, token.Guest), "hello", `{"n":1}`)
	invoke(conn("c1", hostPeer, token.Host), "hello", `{"n":3}`)
	invoke(conn("c1", hostPeer, token.Host), "signal", `{"to":"`+guestPeer+`","n":1,"data":{"type":"here"},"from":"forged","role":"host"}`)
	f.Disconnected(ctx, conn("c1", hostPeer, token.Host), "gone")
	invoke(conn("c2", guestPeer, token.Guest), "bye", `{}`)
	f.Disconnected(ctx, realtime.Connection{ID: "c3"}, "gone")
	want := []string{
		"join host.S c1", "join guest.S c2", "close c3", "close c4",
		`send 1 host.S hello{"from":"` + guestPeer + `","role":"guest","n":1}`,
		`send 1 guest.S hello{"from":"` + hostPeer + `","role":"host","n":3}`,
		`send 2 S.` + guestPeer + ` signal{"from":"` + hostPeer + `","role":"host","n":1,"data":{"type":"here"}}`,
		`send 1 guest.S left{"from":"` + hostPeer + `","role":"host"}`,
		`send 1 host.S left{"from":"` + guestPeer + `","role":"guest"}`,
		"close c2",
	}
	if got := strings.Join(f.rt.calls, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestRelayGoesToBoth(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	host, guest := conn("c1", hostPeer, token.Host), conn("c2", guestPeer, token.Guest)
	host.Claims[claimAddr] = "198.51.100.7"
	f.Connected(ctx, host)
	f.Connected(ctx, guest)
	f.rt.calls = nil
	ask := func(c realtime.Connection, to string) error {
		arg := json.RawMessage(`{"to":"` + to + `","link":2,"bytes":77,"region":"eu"}`)
		_, err := f.Invoked(ctx, c, realtime.Message{Target: "relay", Arguments: []json.RawMessage{arg}})
		return err
	}
	if err := ask(guest, hostPeer); err != nil {
		t.Fatal(err)
	}
	event := func(to, from, role string) string {
		return `send 2 S.` + to + ` relay{"from":"` + from + `","role":"` + role + `","link":2,"iceServers":[{"urls":["turn:x"],"username":"for-` + to + `","credential":"c"}]}`
	}
	want := []string{event(hostPeer, guestPeer, "guest"), event(guestPeer, hostPeer, "host")}
	if got := strings.Join(f.rt.calls, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if o := f.relays.orders; len(o) != 2 || o[0].Need != (grant.Need{Region: "eu"}) || o[1].Member.Addr.String() != "198.51.100.7" {
		t.Errorf("orders %+v", o)
	}

	// The host's word about what is sent counts, and not a guest's.
	if err := ask(host, guestPeer); err != nil || strings.Join(f.relays.declared, " ") != guestPeer+":77 "+hostPeer+":77" {
		t.Errorf("declared %v, %v", f.relays.declared, err)
	}

	kick := json.RawMessage(`{"to":"` + guestPeer + `"}`)
	f.rt.calls = nil
	if _, err := f.Invoked(ctx, host, realtime.Message{Target: "kick", Arguments: []json.RawMessage{kick}}); err != nil {
		t.Fatal(err)
	}
	f.Connected(ctx, conn("c3", guestPeer, token.Guest)) // tries to come back
	if got := strings.Join(f.rt.calls, ", "); got != `close c2, send 3 c3 refused{"code":"removed"}, close c3` {
		t.Error(got)
	}
	var e *realtime.Error
	if err := ask(host, guestPeer); !errors.As(err, &e) || e.Code != "relay_absent" {
		t.Errorf("relay with one who was kicked: %v", err)
	}
}

func TestDescriptionsGoToTheRelays(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	host, guest := conn("c1", hostPeer, token.Host), conn("c2", guestPeer, token.Guest)
	f.Connected(ctx, host)
	f.Connected(ctx, guest)
	say := func(target, arg string) {
		t.Helper()
		if _, err := f.Invoked(ctx, host, realtime.Message{Target: target, Arguments: []json.RawMessage{json.RawMessage(arg)}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, sdp := range []string{`v=0\r\na=ice-ufrag:ab/+\r\na=ice-pwd:swordfish\r\n`, `v=0`, `a=ice-ufrag:x\na=ice-pwd:` + strings.Repeat("p", 600)} {
		say("signal", `{"to":"`+guestPeer+`","n":1,"data":{"type":"description","link":1,"description":{"type":"offer","sdp":"`+sdp+`"}}}`)
	}
	say("relay", `{"to":"`+guestPeer+`","link":1}`)
	if got := f.relays.orders[0].Auth; len(got) != 1 || got[0] != (ice.Auth{Ufrag: "ab/+", Pwd: "swordfish"}) {
		t.Errorf("%+v", got)
	}
}

func TestMovedGoesToBoth(t *testing.T) {
	f := newFixture(t)
	f.Moved(t.Context(), grant.Moved{
		Members: [2]grant.Member{{Session: "S", Peer: hostPeer, Role: "host"}, {Session: "S", Peer: guestPeer, Role: "guest"}},
		Servers: [2][]ice.Server{{{URLs: []string{"turn:h"}}}, {{URLs: []string{"turn:g"}}}},
	})
	want := []string{
		`send 2 S.` + hostPeer + ` restart{"from":"` + guestPeer + `","role":"guest","iceServers":[{"urls":["turn:h"]}]}`,
		`send 2 S.` + guestPeer + ` restart{"from":"` + hostPeer + `","role":"host","iceServers":[{"urls":["turn:g"]}]}`,
	}
	if got := strings.Join(f.rt.calls, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestBudgetEvents(t *testing.T) {
	f := newFixture(t)
	f.Budget(t.Context(), budget.Event{Kind: budget.Warning, Level: budget.Session, Session: "S"})
	f.Budget(t.Context(), budget.Event{Kind: budget.Cut, Level: budget.Day})
	want := []string{
		`send 1 host.S budget{"level":"session","state":"warning"}`,
		`send 1 guest.S budget{"level":"session","state":"warning"}`,
		`send 1 member.S budget{"level":"session","state":"warning"}`,
		`send 0  budget{"level":"day","state":"spent"}`,
	}
	if got := strings.Join(f.rt.calls, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestRelayErrors(t *testing.T) {
	for want, err := range map[string]error{
		"relay_absent":  grant.ErrAbsent,
		"relay_limited": grant.ErrLimited,
		"relay_spent":   fmt.Errorf("mint: %w", grant.ErrSpent),
		"relay_none":    fmt.Errorf("mint: %w", grant.ErrNoRelay),
	} {
		var e *realtime.Error
		if !errors.As(relayError(err), &e) || e.Code != want {
			t.Errorf("%v: %v", err, e)
		}
	}
	var e *realtime.Error
	if errors.As(relayError(errors.New("the database at 10.0.0.1 is down")), &e) {
		t.Error("an internal error reaches the client")
	}
}

func TestBadMessages(t *testing.T) {
	f := newFixture(t)
	c := conn("c", guestPeer, token.Guest)
	cases := []struct {
		name, target, arg, code string
	}{
		{"unknown method", "broadcast", `{}`, "bad_message"},
		{"hello without n", "hello", `{}`, "bad_message"},
		{"hello negative", "hello", `{"n":-1}`, "bad_message"},
		{"hello not an object", "hello", `7`, "bad_message"},
		{"signal without to", "signal", `{"n":1,"data":{"type":"here"}}`, "bad_message"},
		{"signal to another session", "signal", `{"to":"T.` + hostPeer + `","n":1,"data":{"type":"here"}}`, "bad_message"},
		{"signal to itself", "signal", `{"to":"` + guestPeer + `","n":1,"data":{"type":"here"}}`, "bad_message"},
		{"signal without n", "signal", `{"to":"` + hostPeer + `","data":{"type":"here"}}`, "bad_message"},
		{"data null", "signal", `{"to":"` + hostPeer + `","n":1,"data":null}`, "bad_message"},
		{"data missing", "signal", `{"to":"` + hostPeer + `","n":1}`, "bad_message"},
		{"data a list", "signal", `{"to":"` + hostPeer + `","n":1,"data":[]}`, "bad_message"},
		{"unknown type", "signal", `{"to":"` + hostPeer + `","n":1,"data":{"type":"x"}}`, "bad_message"},
		{"relay with nobody", "relay", `{"link":1}`, "bad_message"},
		{"relay without a link", "relay", `{"to":"` + hostPeer + `"}`, "bad_message"},
		{"relay of less than nothing", "relay", `{"to":"` + hostPeer + `","link":1,"bytes":-1}`, "bad_message"},
		{"relay with one who is not there", "relay", `{"to":"` + hostPeer + `","link":1}`, "relay_absent"},
		{"kick nobody", "kick", `{}`, "bad_message"},
		{"kick as a guest", "kick", `{"to":"` + hostPeer + `"}`, "forbidden"},
		{"oversized", "signal", `{"to":"` + hostPeer + `","n":1,"data":{"type":"description","x":"` + strings.Repeat("x", maxMessage) + `"}}`, "too_large"},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			_, err := f.Invoked(t.Context(), c, realtime.Message{Target: k.target, Arguments: []json.RawMessage{json.RawMessage(k.arg)}})
			var e *realtime.Error
			if !errors.As(err, &e) || e.Code != k.code {
				t.Errorf("got %v, want %s", err, k.code)
			}
		})
	}
	if _, err := f.Invoked(t.Context(), c, realtime.Message{Target: "hello"}); err == nil {
		t.Error("a message without arguments was accepted")
	}
	if _, err := f.Invoked(t.Context(), realtime.Connection{ID: "x"}, realtime.Message{Target: "hello", Arguments: []json.RawMessage{json.RawMessage(`{"n":1}`)}}); err == nil {
		t.Error("a connection without a session was served")
	}
	if len(f.rt.calls) != 0 {
		t.Errorf("something was sent: %v", f.rt.calls)
	}
}

// A failing service ends a connection that could not join its group, unless it is gone.
func TestJoinFails(t *testing.T) {
	f := newFixture(t)
	f.rt.fail = errors.New("down")
	f.Connected(t.Context(), conn("c1", hostPeer, token.Host))
	f.rt.fail = realtime.ErrNoConnection
	f.Connected(t.Context(), conn("c2", hostPeer, token.Host))
	if got := strings.Join(f.rt.calls, ", "); got != "join host.S c1, close c1, join host.S c2" {
		t.Error(got)
	}
}

func FuzzSignal(f *testing.F) {
	f.Add(`{"to":"AAAAAAAAAAA","n":1,"data":{"type":"here"}}`)
	f.Fuzz(func(t *testing.T, arg string) {
		m, err := parseSignal(json.RawMessage(arg))
		if err == nil && (m.N == 0 || len(m.To) != 11 || !json.Valid(m.Data)) {
			t.Errorf("accepted %q as %+v", arg, m)
		}
	})
}
