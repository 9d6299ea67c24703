package signaling

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/token"
)

const memberPeer, otherPeer = "CCCCCCCCCCA", "DDDDDDDDDDA"

func TestRoomSession(t *testing.T) {
	f := newFixture(t)
	status, made := f.post(t, "/api/sessions", "", `{"kind":"room"}`)
	if status != 201 || made["role"] != "member" || made["seats"] != 3.0 {
		t.Fatalf("%d %v", status, made)
	}
	invite := str(t, made, "invite")
	status, joined := f.post(t, "/api/sessions/join", "", `{"invite":"`+invite+`","kind":"room"}`)
	if status != 200 || joined["role"] != "member" || joined["session"] != made["session"] || joined["peer"] == made["peer"] || joined["seats"] != 3.0 {
		t.Fatalf("%d %v", status, joined)
	}
	if status, v := f.post(t, "/api/negotiate", str(t, joined, "grant"), ""); status != 200 || f.rt.claims.Custom[claimRole] != "member" {
		t.Errorf("%d %v, claims %v", status, v, f.rt.claims)
	}
	if status, v := f.post(t, "/api/sessions/join", "", `{"invite":"`+invite+`"}`); status != 409 || v["code"] != "other_kind" {
		t.Errorf("a room's link for a transfer: %d %v", status, v)
	}
	_, transfer := f.post(t, "/api/sessions", "", `{}`)
	if status, v := f.post(t, "/api/sessions/join", "", `{"invite":"`+str(t, transfer, "invite")+`","kind":"room"}`); status != 409 || v["code"] != "other_kind" {
		t.Errorf("a transfer's link for a room: %d %v", status, v)
	}
	for _, path := range []string{"/api/sessions", "/api/sessions/join"} {
		if status, v := f.post(t, path, "", `{"kind":"party"}`); status != 400 || v["code"] != "bad_request" {
			t.Errorf("%s: %d %v", path, status, v)
		}
	}
}

func invoke(t *testing.T, f *fixture, c realtime.Connection, target, arg string) error {
	t.Helper()
	_, err := f.Invoked(t.Context(), c, realtime.Message{Target: target, Arguments: []json.RawMessage{json.RawMessage(arg)}})
	return err
}

// Members see each other, and pass what they have sealed; a relay is for any two of them.
func TestRoomMembers(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	a, b := conn("c1", memberPeer, token.Member), conn("c2", otherPeer, token.Member)
	f.Connected(ctx, a)
	f.Connected(ctx, b)
	for _, say := range []struct {
		from        realtime.Connection
		target, arg string
	}{
		{a, "hello", `{"n":1}`},
		{a, "sealed", `{"to":"` + otherPeer + `","box":"c2VhbGVk","from":"forged"}`},
		{b, "relay", `{"to":"` + memberPeer + `","link":7}`},
		{b, "bye", `{}`},
	} {
		if err := invoke(t, f, say.from, say.target, say.arg); err != nil {
			t.Errorf("%s: %v", say.target, err)
		}
	}
	relayed := func(to, from string) string {
		return `send 2 S.` + to + ` relay{"from":"` + from + `","role":"member","link":7,"iceServers":[{"urls":["turn:x"],"username":"for-` + to + `","credential":"c"}]}`
	}
	want := []string{
		"join member.S c1", "join member.S c2",
		`send 1 member.S hello{"from":"` + memberPeer + `","role":"member","n":1}`,
		`send 2 S.` + otherPeer + ` sealed{"from":"` + memberPeer + `","role":"member","box":"c2VhbGVk"}`,
		relayed(memberPeer, otherPeer), relayed(otherPeer, memberPeer),
		`send 1 member.S left{"from":"` + otherPeer + `","role":"member"}`,
		"close c2",
	}
	if got := strings.Join(f.rt.calls, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// refusals are the codes that were counted.
type refusals struct {
	noStats
	codes []string
}

func (r *refusals) Refused(code string) { r.codes = append(r.codes, code) }

// The fourth of three is told so and closed; who is in may connect again, and a star has no such bound.
func TestRoomIsBounded(t *testing.T) {
	f := newFixture(t)
	refused := &refusals{}
	f.cfg.Stats = refused
	ctx := t.Context()
	peers := []string{"AAAAAAAAAAA", "BBBBBBBBBBA", "CCCCCCCCCCA", "DDDDDDDDDDA"}
	for i, peer := range peers {
		f.Connected(ctx, conn("c"+string(rune('1'+i)), peer, token.Member))
	}
	f.Connected(ctx, conn("again", peers[0], token.Member))
	want := "join member.S c1\njoin member.S c2\njoin member.S c3\nsend 3 c4 refused{\"code\":\"room_full\"}\nclose c4\njoin member.S again"
	if got := strings.Join(f.rt.calls, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := invoke(t, f, conn("c2", peers[1], token.Member), "bye", `{}`); err != nil {
		t.Fatal(err)
	}
	f.rt.calls = nil
	f.Connected(ctx, conn("c5", peers[3], token.Member))
	if got := strings.Join(f.rt.calls, ", "); got != "join member.S c5" {
		t.Errorf("after one left: %s", got)
	}
	if got := strings.Join(refused.codes, " "); got != "room_full" {
		t.Errorf("counted %q", got)
	}
}

func TestBadSealed(t *testing.T) {
	f := newFixture(t)
	member := conn("c", memberPeer, token.Member)
	for _, c := range []struct {
		name string
		from realtime.Connection
		arg  string
		code string
	}{
		{"to nobody", member, `{"box":"QQ"}`, "bad_message"},
		{"to another session", member, `{"to":"T.` + otherPeer + `","box":"QQ"}`, "bad_message"},
		{"to itself", member, `{"to":"` + memberPeer + `","box":"QQ"}`, "bad_message"},
		{"no box", member, `{"to":"` + otherPeer + `"}`, "bad_message"},
		{"not base64url", member, `{"to":"` + otherPeer + `","box":"in the clear"}`, "bad_message"},
		{"a box of another type", member, `{"to":"` + otherPeer + `","box":{"text":"hi"}}`, "bad_message"},
		{"oversized", member, `{"to":"` + otherPeer + `","box":"` + strings.Repeat("A", maxSealed+4) + `"}`, "too_large"},
		{"a guest's", conn("c", guestPeer, token.Guest), `{"to":"` + otherPeer + `","box":"QQ"}`, "forbidden"},
		{"a host's", conn("c", hostPeer, token.Host), `{"to":"` + otherPeer + `","box":"QQ"}`, "forbidden"},
	} {
		var e *realtime.Error
		if err := invoke(t, f, c.from, "sealed", c.arg); !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
	if len(f.rt.calls) != 0 {
		t.Errorf("something was sent: %v", f.rt.calls)
	}
	if err := invoke(t, f, member, "sealed", `{"to":"`+otherPeer+`","box":"`+strings.Repeat("A", maxSealed)+`"}`); err != nil {
		t.Errorf("the largest: %v", err)
	}
}

// Each connection has a burst of messages and one of bytes, and gains both with time.
func TestSealedIsLimited(t *testing.T) {
	f := newFixture(t)
	a := conn("c1", memberPeer, token.Member)
	send := func(c realtime.Connection, size int) bool {
		return invoke(t, f, c, "sealed", `{"to":"`+otherPeer+`","box":"`+strings.Repeat("A", size)+`"}`) == nil
	}
	count := func(size int) (n int) {
		for n < 10_000 && send(a, size) {
			n++
		}
		return n
	}
	if n := count(4); n != sealedBurst {
		t.Errorf("%d at once, want %d", n, sealedBurst)
	}
	if !send(conn("c2", memberPeer, token.Member), 4) {
		t.Error("another connection is limited, too")
	}
	f.time = f.time.Add(time.Second)
	if n := count(4); n != 64 {
		t.Errorf("%d after a second, want 64", n)
	}
	f.time = f.time.Add(time.Hour)
	if n, want := count(maxSealed), sealedByteBurst/maxSealed; n != want {
		t.Errorf("%d large ones at once, want %d", n, want)
	}
	f.Disconnected(t.Context(), a, "gone")
	if n := len(f.sealing.senders); n != 1 {
		t.Errorf("%d senders are remembered, want the other connection's", n)
	}
}

func TestSealingIsBounded(t *testing.T) {
	l := sealing{senders: map[string]*sender{}}
	for i := range maxSenders {
		l.take(fmt.Sprint(i), 10, now)
	}
	if l.take("one more", 10, now) {
		t.Error("beyond the bound, one more was let through while all others are in use")
	}
	if !l.take("one more", 10, now.Add(time.Minute)) || len(l.senders) != 1 {
		t.Errorf("those with their whole allowance were not forgotten: %d", len(l.senders))
	}
}

func FuzzSealed(f *testing.F) {
	f.Add(`{"to":"AAAAAAAAAAA","box":"QUJD"}`)
	f.Add(`{"to":"AAAAAAAAAAA","box":"QUJ="}`)
	f.Fuzz(func(t *testing.T, arg string) {
		m, err := parseSealed(json.RawMessage(arg))
		if err == nil && (len(m.To) != 11 || m.Box == "" || len(m.Box) > maxSealed || strings.ContainsAny(m.Box, "=+/ \n\"")) {
			t.Errorf("accepted %q as %+v", arg, m)
		}
	})
}
