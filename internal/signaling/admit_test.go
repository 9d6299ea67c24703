package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"causeway/internal/guard"
	"causeway/internal/realtime"
)

// guarded is a fixture with a guard.
func guarded(t *testing.T, cfg guard.Config) *fixture {
	t.Helper()
	f := newFixture(t)
	g, err := guard.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.cfg.Guard = g
	return f
}

func (f *fixture) says(target, arg string) (code, text string) {
	c := realtime.Connection{ID: "c", Claims: map[string]string{claimSession: "S", claimPeer: "p", claimRole: "guest"}}
	_, err := f.Invoked(context.Background(), c, realtime.Message{Target: target, Arguments: []json.RawMessage{json.RawMessage(arg)}})
	var e *realtime.Error
	if errors.As(err, &e) {
		return e.Code, e.Message
	}
	return "", ""
}

// TestMessagesAreBounded: a session that floods is told so, and when to go on; a goodbye is heard.
func TestMessagesAreBounded(t *testing.T) {
	f := guarded(t, guard.Config{})
	var code, text string
	for range 4500 {
		code, text = f.says("hello", `{"n":1}`)
	}
	if code != "too_many_requests" || !regexp.MustCompile(`Retry after \d+ s\.$`).MatchString(text) {
		t.Errorf("%s: %s", code, text)
	}
	sent := 0
	for _, call := range f.rt.calls {
		if strings.HasPrefix(call, "send") {
			sent++
		}
	}
	if sent < 4000 || sent > 4490 {
		t.Errorf("%d messages went through, want a burst of 4000", sent)
	}
	if code, _ := f.says("bye", `{}`); code != "" {
		t.Errorf("goodbye: %s", code)
	}
}

// TestRelaysAreBounded: whoever asks for relays without end gets the answer that pages know.
func TestRelaysAreBounded(t *testing.T) {
	f := guarded(t, guard.Config{})
	codes := map[string]int{}
	for range 200 {
		code, _ := f.says("relay", `{"to":"AAAAAAAAAAA","link":1}`)
		codes[code]++
	}
	if codes["relay_absent"] < 128 || codes["relay_limited"] < 50 {
		t.Errorf("%v", codes)
	}
}

// TestGuessing: invites and grants that are none count, too.
func TestGuessing(t *testing.T) {
	for path, want := range map[string]int{"/api/sessions/join": 404, "/api/negotiate": 401, "/api/ice": 401} {
		f := guarded(t, guard.Config{})
		first, _ := f.post(t, path, "", `{"invite":"`+strings.Repeat("A", 50)+`"}`)
		if first != want {
			t.Errorf("%s: %d, want %d", path, first, want)
		}
		refused := 0
		for range 300 {
			if status, v := f.post(t, path, "", `{"invite":"x"}`); status == 429 && v["code"] == "too_many_requests" {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("%s: 300 guesses were answered", path)
		}
	}
}

// TestBlockedMember: a member whose network is blocked after it has connected says nothing more.
func TestBlockedMember(t *testing.T) {
	f := guarded(t, guard.Config{})
	c := realtime.Connection{ID: "c", Claims: map[string]string{claimSession: "S", claimPeer: "p", claimRole: "guest", claimAddr: "203.0.113.5"}}
	hello := realtime.Message{Target: "hello", Arguments: []json.RawMessage{json.RawMessage(`{"n":1}`)}}
	if _, err := f.Invoked(t.Context(), c, hello); err != nil {
		t.Fatal(err)
	}
	if err := f.cfg.Guard.Block(netip.MustParsePrefix("203.0.113.0/24"), now.AddDate(10, 0, 0)); err != nil {
		t.Fatal(err)
	}
	var e *realtime.Error
	if _, err := f.Invoked(t.Context(), c, hello); !errors.As(err, &e) || e.Code != "blocked" {
		t.Errorf("%v", err)
	}
	r := httptest.NewRequest("POST", "http://h:1/api/sessions", strings.NewReader("{}"))
	r.RemoteAddr = "203.0.113.77:1"
	w := httptest.NewRecorder()
	if f.mux.ServeHTTP(w, r); w.Code != 403 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a session from there: %d", w.Code)
	}
}
