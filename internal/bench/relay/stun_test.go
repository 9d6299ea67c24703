package relay

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"
)

// The key and the address of RFC 5769 §2.4 and §2.2, and a whole request by the rules
// of RFC 8489, worked out by hand.
func TestRequests(t *testing.T) {
	if got, want := hex.EncodeToString(longTermKey("user", "realm", "pass")), "8493fbc53ba582fb4c044c456bdc40eb"; got != want { // RFC 8489 §9.2.2
		t.Errorf("key %s, want %s", got, want)
	}
	id := transaction{0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae}
	m := newRequest(channelBind, id).add(attrChannel, []byte{0x40, 0, 0, 0}).addPeer(netip.MustParseAddrPort("192.0.2.1:32853"))
	want := "00090014" + "2112a442" + "b7e7a701bc34d686fa87dfae" + "000c0004" + "40000000" + "00120008" + "0001a147e112a643"
	if got := hex.EncodeToString(m); got != want {
		t.Errorf("request\n%s, want\n%s", got, want)
	}
	signed := m.add(attrUsername, []byte("abc")).sign([]byte("key")) // padded to four bytes
	if n := binary.BigEndian.Uint16(signed[2:]); int(n) != len(signed)-stunHeader || len(signed) != len(m)+8+24 {
		t.Errorf("length %d of %d bytes", n, len(signed))
	}
}

func TestAnswers(t *testing.T) {
	id := transaction{1, 2, 3}
	build := func(kind uint16, attributes func(message) message) []byte { return attributes(newRequest(kind, id)) }
	for name, test := range map[string]struct {
		in   []byte
		want answer
		bad  bool
	}{
		"unauthorized": {build(allocate|classError, func(m message) message {
			return m.add(attrError, []byte{0, 0, 4, 1}).add(attrRealm, []byte("r")).add(attrNonce, []byte("nonce"))
		}), answer{id: id, class: classError, code: 401, realm: "r", nonce: "nonce"}, false},
		// RFC 5769 §2.2: 192.0.2.1:32853
		"success": {build(allocate|classSuccess, func(m message) message {
			return m.add(attrRelayed, []byte{0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43})
		}), answer{id: id, class: classSuccess, relayed: netip.MustParseAddrPort("192.0.2.1:32853")}, false},
		"empty":     {nil, answer{}, true},
		"a channel": {[]byte{0x40, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, answer{}, true},
		"too long":  {build(allocate, func(m message) message { return append(m.add(attrNonce, []byte("n")), 0) }), answer{}, true},
		"attribute": {build(allocate, func(m message) message { m = m.add(attrNonce, []byte("nnnn")); m[23] = 9; return m }), answer{}, true},
	} {
		got, err := parseAnswer(test.in)
		if (err != nil) != test.bad || err == nil && got != test.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, test.want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(newRequest(allocate, transaction{1}).add(attrError, []byte{0, 0, 4, 1}).add(attrNonce, []byte("n"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := parseAnswer(b); err == nil && !bytes.Equal(a.id[:], b[8:20]) {
			t.Error("another id")
		}
		parseForward(b)
	})
}

func TestForwardProtocol(t *testing.T) {
	id, addr := transaction{9, 8, 7}, netip.MustParseAddrPort("127.2.0.1:65535")
	gotID, got, ok := parseForward(forwardRequest(id, addr))
	if !ok || gotID != id || got != addr {
		t.Errorf("%v %v %v", gotID, got, ok)
	}
	if _, _, ok := parseForward([]byte("CWFW")); ok {
		t.Error("a short request was taken")
	}
}
