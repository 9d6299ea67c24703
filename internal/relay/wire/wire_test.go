package wire

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/stun/v4"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors of RFC 5769.
const (
	sampleRequest = `000100582112a442b7e7a701bc34d686fa87dfae 802200105354554e207465737420636c69656e74
		002400046e0001ff 80290008932ff9b151263b36 000600096576746a3a683676592020 20
		000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004e57a3bcf`
	sampleIPv4 = `0101003c2112a442b7e7a701bc34d686fa87dfae 8022000b7465737420766563746f7220
		002000080001a147e112a643 000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004c07d4c96`
	sampleIPv6 = `010100482112a442b7e7a701bc34d686fa87dfae 8022000b7465737420766563746f7220
		002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9 00080014a382954e4be67bf11784c97c8292c275bfe3ed41 80280004c8fb0b4c`
	sampleLongTerm = `000100602112a44278ad3433c6ad72c029da412e
		00060012e3839ee38388e383aae38383e382afe382b90000 0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341
		0014000b6578616d706c652e6f726700 00080014f67024656dd64a3e02b8e0712e85c9a28ca89666`
	samplePassword = "VOkJxbRl1RmTxUk/WvJxBt"
)

func TestRFC5769(t *testing.T) {
	m := new(stun.Message)
	if b := unhex(t, sampleRequest); Classify(b) != Request || Decode(m, b) != nil {
		t.Error("sample request: not decoded")
	}
	if stun.NewShortTermIntegrity(samplePassword).Check(m) != nil {
		t.Error("sample request: integrity")
	}
	for name, tt := range map[string]struct{ packet, addr string }{
		"IPv4": {sampleIPv4, "192.0.2.1:32853"},
		"IPv6": {sampleIPv6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"},
	} {
		b := unhex(t, tt.packet)
		if Classify(b) != Malformed {
			t.Errorf("%s: a response is taken for a request", name)
		}
		if err := Decode(m, b); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		v, _ := Find(m, stun.AttrXORMappedAddress)
		if got, ok := xorAddress(v, &m.TransactionID); !ok || got.String() != tt.addr {
			t.Errorf("%s: %v, want %s", name, got, tt.addr)
		}
		// And back.
		r := NewReply(nil, stun.BindingSuccess, m.TransactionID)
		r.Address(stun.AttrXORMappedAddress, netip.MustParseAddrPort(tt.addr))
		w := new(stun.Message)
		if err := Decode(w, r.Message()); err != nil {
			t.Fatal(err)
		}
		if again, _ := Find(w, stun.AttrXORMappedAddress); !bytes.Equal(again, v) {
			t.Errorf("%s: encoded as %x, want %x", name, again, v)
		}
	}
	b := unhex(t, sampleLongTerm)
	if err := Decode(m, b); err != nil {
		t.Fatal(err)
	}
	key := LongTermKey("\u30de\u30c8\u30ea\u30c3\u30af\u30b9", "example.org", "TheMatrIX")
	if !Authentic(m, key) {
		t.Error("long-term: integrity")
	}
	key[0] ^= 1
	if Authentic(m, key) {
		t.Error("long-term: any key will do")
	}
}

func TestReplyIsRead(t *testing.T) {
	key := LongTermKey("u", "r", "p")
	r := NewReply(make([]byte, 0, 8), stun.NewType(stun.MethodAllocate, stun.ClassErrorResponse), [12]byte{1, 2, 3})
	r.Error(486)
	r.Bytes(stun.AttrRealm, []byte("five!"))
	r.Uint32(stun.AttrLifetime, 7)
	r.AddressError(IPv6, 440)
	r.Integrity(key)
	r.Fingerprint()
	m := new(stun.Message)
	if err := Decode(m, r.Message()); err != nil {
		t.Fatal(err)
	}
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(m); err != nil || code.Code != 486 || len(code.Reason) != 0 {
		t.Errorf("code %v, %v", code, err)
	}
	if !Authentic(m, key) {
		t.Error("integrity")
	}
	if i := bytes.Index(m.Raw, []byte("five!")); !bytes.Equal(m.Raw[i+5:i+8], []byte{0, 0, 0}) {
		t.Error("padding is not zero") // CVE-2026-104074
	}
}

func TestClassify(t *testing.T) {
	binding := stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw
	change := func(at int, to byte) []byte {
		b := bytes.Clone(binding)
		b[at] = to
		return b
	}
	for name, tt := range map[string]struct {
		b    []byte
		want Kind
	}{
		"binding":        {binding, Request},
		"indication":     {change(1, 0x11), Indication},
		"response":       {change(0, 1), Malformed},
		"nothing":        {nil, Malformed},
		"three bytes":    {[]byte{0x40, 0, 0}, Malformed},
		"cookie":         {change(4, 0), Malformed},
		"length":         {change(3, 4), Malformed},
		"odd length":     {append(change(3, 2), 0, 0), Malformed},
		"channel":        {[]byte{0x40, 0, 0, 1, 9}, ChannelData},
		"padded channel": {[]byte{0x40, 0, 0, 1, 9, 0, 0, 0}, ChannelData},
		"empty channel":  {[]byte{0x7f, 0xff, 0, 0}, ChannelData},
		"short channel":  {[]byte{0x40, 0, 0, 2, 9}, Malformed},
		"dtls":           {[]byte{22, 0xfe, 0xfd, 0, 0}, Malformed},
		"rtp":            {[]byte{0x80, 96, 0, 0, 0}, Malformed},
	} {
		if got := Classify(tt.b); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func TestDecodeFingerprint(t *testing.T) {
	good := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint).Raw
	if err := Decode(new(stun.Message), good); err != nil {
		t.Error(err)
	}
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	short := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.RawAttribute{Type: stun.AttrFingerprint, Value: []byte{1}}).Raw
	early := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint, stun.NewUsername("x")).Raw
	for name, b := range map[string][]byte{"wrong": bad, "short": short, "not the last": early} {
		if Decode(new(stun.Message), b) == nil {
			t.Errorf("%s: decoded", name)
		}
	}
}

// The MAC of a request is not computed into the packet behind it.
func TestAuthenticWritesNothingBehind(t *testing.T) {
	key := LongTermKey("u", "r", "p")
	one := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.MessageIntegrity(key[:])).Raw
	both := append(bytes.Clone(one), one...)
	m := new(stun.Message)
	if err := Decode(m, both[:len(one)]); err != nil || !Authentic(m, key) {
		t.Fatal(err)
	}
	if !bytes.Equal(both[len(one):], one) || !bytes.Equal(both[:len(one)], one) {
		t.Error("the packet was changed")
	}
}

func TestAppendData(t *testing.T) {
	peer := netip.MustParseAddrPort("[2001:db8::1]:5000")
	for _, room := range []int{0, 200} {
		b := AppendData(make([]byte, 0, room), [12]byte{9}, peer, []byte("hello"))
		m := new(stun.Message)
		if Classify(b) != Indication || Decode(m, b) != nil {
			t.Fatalf("%x", b)
		}
		if p, ok := Peer(m); !ok || p != peer {
			t.Errorf("peer %v", p)
		}
		if v, _ := Find(m, stun.AttrData); string(v) != "hello" {
			t.Errorf("data %q", v)
		}
	}
}

// Whatever comes in, nothing panics, and what is taken for a packet has its parts inside
// the packet.
func FuzzPacket(f *testing.F) {
	for _, s := range []string{sampleRequest, sampleIPv4, sampleIPv6, sampleLongTerm} {
		f.Add(unhex(f, s))
	}
	f.Add([]byte{0x40, 0, 0, 1, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		kind := Classify(b)
		if len(b) >= ChannelHeader {
			if n, err := FrameSize(b); err == nil && n < ChannelHeader {
				t.Errorf("frame of %d bytes", n)
			}
		}
		if kind == ChannelData {
			if _, data, ok := Channel(b); !ok || len(data) > len(b)-ChannelHeader {
				t.Error("channel data out of bounds")
			}
		}
		before := bytes.Clone(b)
		m := new(stun.Message)
		if Decode(m, b) != nil {
			return
		}
		Authentic(m, Key{})
		if !bytes.Equal(b, before) {
			t.Error("decoding changes the packet")
		}
	})
}

// Each attribute that is parsed, with any value.
func FuzzAttributes(f *testing.F) {
	f.Add(uint16(stun.AttrXORPeerAddress), []byte{0, 1, 2, 3, 4, 5, 6, 7})
	f.Add(uint16(stun.AttrXORPeerAddress), append([]byte{0, 2}, make([]byte, 18)...))
	f.Add(uint16(stun.AttrChannelNumber), []byte{0x40, 0, 0, 0})
	f.Add(uint16(stun.AttrLifetime), []byte{0, 0, 2, 88})
	f.Add(uint16(stun.AttrEvenPort), []byte{0x80})
	f.Add(uint16(stun.AttrRequestedTransport), []byte{17, 0, 0, 0})
	f.Add(uint16(stun.AttrRequestedAddressFamily), []byte{2, 0, 0, 0})
	f.Add(uint16(stun.AttrUnknownAttributes), []byte{0, 1})
	f.Fuzz(func(t *testing.T, typ uint16, v []byte) {
		if len(v) > 1000 {
			return
		}
		r := NewReply(nil, stun.NewType(stun.MethodAllocate, stun.ClassRequest), [12]byte{7})
		r.Bytes(stun.AttrType(typ), v)
		m := new(stun.Message)
		if Decode(m, r.Message()) != nil {
			return // a fingerprint
		}
		if p, ok := Peer(m); ok {
			w := NewReply(nil, stun.BindingSuccess, m.TransactionID)
			w.Address(stun.AttrXORPeerAddress, p)
			// All but the reserved first byte is the same.
			if got := w.Message()[HeaderSize+5:]; !bytes.Equal(got, v[1:]) {
				t.Errorf("%x became %v became %x", v, p, got)
			}
		}
		if _, ok := Peers(m); ok && len(v) != 8 && len(v) != 20 {
			t.Errorf("an address of %d bytes", len(v))
		}
		if _, present, ok := Uint32(m, stun.AttrLifetime); present && ok && len(v) != 4 {
			t.Errorf("a number of %d bytes", len(v))
		}
		ChannelNumber(m)
		if _, present, ok := EvenPort(m); present && ok && len(v) != 1 {
			t.Errorf("EVEN-PORT of %d bytes", len(v))
		}
		Unknown(m, func(stun.AttrType) bool { return false }, 8)
	})
}
