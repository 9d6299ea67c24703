package policy

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// session of two members and a third, with passwords that tell whose they are.
func directory(ufrag []byte) (member, pwd string, ok bool) {
	switch string(ufrag) {
	case "aaaa":
		return "alice", "pwd-alice", true
	case "aaa2": // after an ICE restart
		return "alice", "pwd-alice-2", true
	case "bbbb":
		return "bob", "pwd-bob", true
	case "cccc":
		return "carol", "pwd-carol", true
	case "none": // announced without a password
		return "bob", "", true
	}
	return "", "", false
}

func newGate() *Gate { return &Gate{Member: "alice", Directory: directory} }

// message makes a Binding message; no key, no integrity.
func message(kind uint16, id byte, username, key string) []byte {
	b := make([]byte, stunHeader)
	binary.BigEndian.PutUint16(b, kind)
	binary.BigEndian.PutUint32(b[4:], magicCookie)
	b[19] = id
	if username != "" {
		b = append(b, 0, attrUsername, 0, byte(len(username)))
		b = append(b, username...)
		b = append(b, make([]byte, (4-len(username)%4)%4)...)
	}
	if key != "" {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)-stunHeader+integrityLen))
		mac := hmac.New(sha1.New, []byte(key))
		mac.Write(b)
		b = append(b, 0, attrIntegrity, 0, sha1.Size)
		b = mac.Sum(b)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-stunHeader+fingerprintLen))
	crc := crc32.ChecksumIEEE(b) ^ fingerprintXOR
	b = append(b, 0x80, 0x28, 0, 4)
	return binary.BigEndian.AppendUint32(b, crc)
}

const (
	bindingRequest    = 0x0001
	bindingIndication = 0x0011
	bindingSuccess    = 0x0101
	bindingError      = 0x0111
)

func toBob(id byte) []byte     { return message(bindingRequest, id, "bbbb:aaaa", "pwd-bob") }
func fromBob(id byte) []byte   { return message(bindingRequest, id, "aaaa:bbbb", "pwd-alice") }
func bobsYes(id byte) []byte   { return message(bindingSuccess, id, "", "pwd-bob") }
func alicesYes(id byte) []byte { return message(bindingSuccess, id, "", "pwd-alice") }

var media = []byte{0x80, 1, 2, 3}

// step is a packet and what becomes of it.
type step struct {
	after  time.Duration // since the step before
	client bool          // from the client
	pkt    []byte
	want   bool
}

func TestGate(t *testing.T) {
	for name, steps := range map[string][]step{
		"nothing but checks": {
			{0, true, media, false}, {0, false, media, false}, {0, true, nil, false}, {0, true, []byte{1}, false},
			{0, true, []byte{22, 0xfe, 0xff, 0}, false}, // DTLS
			{0, true, make([]byte, 100), false},         // a first byte of 0 does not make it STUN
		},
		"the client's check": {
			{0, true, toBob(1), true}, {0, false, media, false}, {0, false, bobsYes(1), true},
			{0, true, media, true}, {0, false, media, true}, {0, true, []byte{20, 1}, true}, {0, true, nil, true},
		},
		"the peer's check opens its own direction": {
			{0, false, fromBob(1), true}, {0, true, alicesYes(1), true}, {0, false, media, true}, {0, true, media, false},
			{0, true, toBob(2), true}, {0, false, bobsYes(2), true}, {0, true, media, true},
		},
		"the ufrag of before an ICE restart": {
			{0, true, message(bindingRequest, 1, "bbbb:aaa2", "pwd-bob"), true}, {0, false, bobsYes(1), true}, {0, true, media, true},
		},
		"wrong requests of the client": {
			{0, true, message(bindingRequest, 1, "", "pwd-bob"), false},
			{0, true, message(bindingRequest, 1, "bbbb", "pwd-bob"), false},
			{0, true, message(bindingRequest, 1, ":", "pwd-bob"), false},
			{0, true, message(bindingRequest, 1, "bbbb:", "pwd-bob"), false},
			{0, true, message(bindingRequest, 1, "bbbb:aaaa", ""), false},
			{0, true, message(bindingRequest, 1, "bbbb:aaaa", "pwd-alice"), false},
			{0, true, message(bindingRequest, 1, "aaaa:bbbb", "pwd-alice"), false}, // bob's, not alice's
			{0, true, message(bindingRequest, 1, "bbbb:cccc", "pwd-bob"), false},   // carol's
			{0, true, message(bindingRequest, 1, "aaa2:aaaa", "pwd-alice-2"), false},
			{0, true, message(bindingRequest, 1, "xxxx:aaaa", "pwd-bob"), false},
			{0, true, message(bindingRequest, 1, "bbbb:xxxx", "pwd-bob"), false},
			{0, true, message(bindingRequest, 1, "none:aaaa", ""), false},
			{0, true, message(bindingIndication, 1, "bbbb:aaaa", "pwd-bob"), false},
			{0, true, message(0x0003, 1, "bbbb:aaaa", "pwd-bob"), false}, // Allocate
			{0, false, bobsYes(1), false},
		},
		"wrong requests of the peer": {
			{0, false, message(bindingRequest, 1, "bbbb:aaaa", "pwd-bob"), false},
			{0, false, message(bindingRequest, 1, "cccc:bbbb", "pwd-carol"), false},
			{0, false, message(bindingRequest, 1, "aaaa:bbbb", "pwd-bob"), false},
			{0, true, alicesYes(1), false},
		},
		"wrong answers": {
			{0, false, bobsYes(1), false},
			{0, true, toBob(1), true},
			{0, false, bobsYes(2), false},
			{0, false, alicesYes(1), false},
			{0, false, message(bindingSuccess, 1, "", ""), false}, // a public STUN server's
			{0, true, bobsYes(1), false},                          // from the asker itself
			{0, true, media, false},
			{0, false, message(bindingError, 1, "", ""), true}, // tells something, and opens nothing
			{0, true, media, false}, {0, false, media, false},
		},
		"an answer that comes too late": {
			{0, true, toBob(1), true}, {30 * time.Second, false, bobsYes(1), false}, {0, true, media, false},
		},
		"consent ends": {
			{0, true, toBob(1), true}, {0, false, bobsYes(1), true},
			{29 * time.Second, true, media, true}, {time.Second, true, media, false}, {0, false, media, false},
			{0, true, toBob(2), true}, {0, false, bobsYes(2), true}, {0, true, media, true},
		},
		"consent goes on": {
			{0, true, toBob(1), true}, {0, false, bobsYes(1), true},
			{20 * time.Second, true, toBob(2), true}, {0, false, bobsYes(2), true}, {20 * time.Second, true, media, true},
		},
		"repeating renews no consent": {
			{0, true, toBob(1), true}, {0, false, bobsYes(1), true},
			{20 * time.Second, true, toBob(1), true}, {0, false, bobsYes(1), true}, {10 * time.Second, true, media, false},
		},
		"a repeated request is answered as often": {
			{0, true, toBob(1), true}, {0, true, toBob(1), true}, {0, false, bobsYes(1), true}, {0, false, bobsYes(1), true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, now := newGate(), start
			for i, s := range steps {
				now = now.Add(s.after)
				pass := g.FromPeer
				if s.client {
					pass = g.FromClient
				}
				if got := pass(s.pkt, now); got != s.want {
					t.Fatalf("step %d: %v, want %v", i, got, s.want)
				}
			}
		})
	}
}

func TestGateFingerprint(t *testing.T) {
	g := newGate()
	good := toBob(1)
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 4
		if g.FromClient(bad, start) {
			t.Errorf("a changed byte %d went through", i)
		}
	}
	for n := range good {
		if g.FromClient(good[:n], start) {
			t.Errorf("cut at %d went through", n)
		}
	}
	if g.FromClient(append(good, 0, 0, 0, 0), start) {
		t.Error("trailing bytes went through")
	}
	if !g.FromClient(good, start) {
		t.Error("what is wrong uses up what is right")
	}
}

// At most 50 packets in any second, each way, and 64 KiB in all, before OPEN.
func TestGateBounds(t *testing.T) {
	g := newGate()
	var passed []time.Time
	for i := range 3000 { // 1000/s
		now := start.Add(time.Duration(i) * time.Millisecond)
		if g.FromClient(toBob(byte(i)), now) {
			passed = append(passed, now)
		}
	}
	for i := range passed {
		if i >= 50 && passed[i].Sub(passed[i-50]) < time.Second {
			t.Fatalf("51 packets in %v", passed[i].Sub(passed[i-50]))
		}
	}
	if len(passed) < 100 {
		t.Errorf("%d passed in 3 s", len(passed))
	}
	g = newGate()
	total, long := 0, message(bindingRequest, 1, "bbbb:aaaa", "pwd-bob")
	for i := range 10000 {
		if g.FromClient(long, start.Add(time.Duration(i)*100*time.Millisecond)) {
			total += len(long)
		}
		if g.FromPeer(fromBob(1), start.Add(time.Duration(i)*100*time.Millisecond)) {
			total += len(long)
		}
	}
	if total > 64<<10 || total < 63<<10 {
		t.Errorf("%d bytes before OPEN", total)
	}
	// A flood of requests forgets the oldest, not the newest.
	g = newGate()
	for i := range 40 {
		g.FromClient(toBob(byte(i)), start.Add(time.Duration(i)*100*time.Millisecond))
	}
	now := start.Add(4 * time.Second)
	if g.FromPeer(bobsYes(0), now) || !g.FromPeer(bobsYes(39), now) {
		t.Error("the ring of requests")
	}
	if !g.Open(now) {
		t.Error("not open")
	}
}

func TestGateOpenDoesNotAllocate(t *testing.T) {
	g := newGate()
	g.FromClient(toBob(1), start)
	g.FromPeer(bobsYes(1), start)
	if n := testing.AllocsPerRun(100, func() {
		if !g.FromClient(media, start) || !g.FromPeer(media, start) {
			t.Error("closed")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// RFC 5769 §2.1 and §2.2.
func TestVectors(t *testing.T) {
	for text, want := range map[string]struct {
		class    class
		username string
	}{
		`000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36
		000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf`: {request, "evtj:h6vY"},
		`0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96`: {success, ""},
	} {
		b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			t.Fatal(err)
		}
		c, ok := parseCheck(b)
		if !ok || c.class != want.class || string(c.username) != want.username {
			t.Errorf("parseCheck = %+v, %v", c, ok)
		}
		if !c.authentic("VOkJxbRl1RmTxUk/WvJxBt") || c.authentic("VOkJxbRl1RmTxUk/WvJxBT") || c.authentic("") {
			t.Error("message integrity")
		}
	}
}

// Each packet of the input goes one way or the other, some with a valid fingerprint put on. No
// input without a password opens the gate.
func FuzzGate(f *testing.F) {
	f.Add(toBob(1), bobsYes(1), true)
	f.Add(fromBob(1), alicesYes(1), false)
	f.Add(media, message(bindingSuccess, 1, "bbbb:aaaa", ""), true)
	f.Fuzz(func(t *testing.T, first, second []byte, client bool) {
		g := newGate()
		g.Directory = func(ufrag []byte) (string, string, bool) {
			member, _, ok := directory(ufrag)
			return member, "a password that no input holds", ok
		}
		for i, pkt := range [][]byte{first, second, sealed(first), sealed(second)} {
			pass := g.FromPeer
			if client == (i%2 == 0) {
				pass = g.FromClient
			}
			if pass(pkt, start) {
				t.Fatalf("packet %d passed", i)
			}
		}
		if g.Open(start) {
			t.Fatal("open")
		}
	})
}

// sealed makes b a STUN message with a valid length and fingerprint.
func sealed(b []byte) []byte {
	b = append(append([]byte(nil), b...), make([]byte, stunHeader)...)
	b = b[:max(stunHeader, min(len(b), 2000))&^3]
	binary.BigEndian.PutUint32(b[4:], magicCookie)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-stunHeader+fingerprintLen))
	crc := crc32.ChecksumIEEE(b) ^ fingerprintXOR
	return binary.BigEndian.AppendUint32(append(b, 0x80, 0x28, 0, 4), crc)
}
