package relay

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/internal/relay/wire"

	"github.com/pion/stun/v4"
)

// as returns a client with the credential of a new grant.
func (r *running) as(network, member string) *raw {
	r.t.Helper()
	user, pass := r.mint(member, time.Hour)
	return r.raw(network, user, pass)
}

// made returns a client that has an allocation, and its relayed address.
func (r *running) made(network, member string, attrs ...stun.Setter) (*raw, netip.AddrPort) {
	r.t.Helper()
	c := r.as(network, member)
	if code := c.request(stun.MethodAllocate, append([]stun.Setter{udpTransport}, attrs...)...); code != 0 {
		r.t.Fatalf("allocate: %d", code)
	}
	var x stun.XORMappedAddress
	if err := x.GetFromAs(c.last, stun.AttrXORRelayedAddress); err != nil {
		r.t.Fatal(err)
	}
	ip, _ := canonicalIP(x.IP)
	return c, netip.AddrPortFrom(ip, uint16(x.Port))
}

func TestAllocateCodes(t *testing.T) {
	r := start(t, nil)
	opt := func(t stun.AttrType, v ...byte) attr { return attr{t, v} }
	for name, tt := range map[string]struct {
		attrs []stun.Setter
		want  stun.ErrorCode
	}{
		"plain":                      {[]stun.Setter{udpTransport}, 0},
		"no transport":               {nil, 400},
		"short transport":            {[]stun.Setter{opt(stun.AttrRequestedTransport, 17)}, 400},
		"tcp relay":                  {[]stun.Setter{tcpTransport}, 442},
		"dont fragment":              {[]stun.Setter{udpTransport, opt(stun.AttrDontFragment)}, 0},
		"even port":                  {[]stun.Setter{udpTransport, evenPort}, 0},
		"two ports":                  {[]stun.Setter{udpTransport, portPair}, 508},
		"bad even port":              {[]stun.Setter{udpTransport, opt(stun.AttrEvenPort)}, 400},
		"reservation":                {[]stun.Setter{udpTransport, opt(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)}, 508},
		"reservation and even port":  {[]stun.Setter{udpTransport, evenPort, opt(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)}, 400},
		"reservation and family":     {[]stun.Setter{udpTransport, family(1), opt(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)}, 400},
		"mobility":                   {[]stun.Setter{udpTransport, opt(wire.AttrMobilityTicket)}, 405},
		"ipv4":                       {[]stun.Setter{udpTransport, family(1)}, 0},
		"ipv6, not listened on":      {[]stun.Setter{udpTransport, family(2)}, 440},
		"no family":                  {[]stun.Setter{udpTransport, family(3)}, 440},
		"short family":               {[]stun.Setter{udpTransport, opt(stun.AttrRequestedAddressFamily, 1)}, 400},
		"additional":                 {[]stun.Setter{udpTransport, opt(wire.AttrAdditionalAddressFamily, 2, 0, 0, 0)}, 0},
		"additional ipv4":            {[]stun.Setter{udpTransport, opt(wire.AttrAdditionalAddressFamily, 1, 0, 0, 0)}, 400},
		"additional and family":      {[]stun.Setter{udpTransport, family(1), opt(wire.AttrAdditionalAddressFamily, 2, 0, 0, 0)}, 400},
		"short lifetime":             {[]stun.Setter{udpTransport, opt(stun.AttrLifetime, 0, 1)}, 400},
		"unknown attribute":          {[]stun.Setter{udpTransport, opt(0x7123, 1)}, 420},
		"unknown optional attribute": {[]stun.Setter{udpTransport, opt(0xC123, 1)}, 0},
		"user hash":                  {[]stun.Setter{udpTransport, opt(stun.AttrUserhash, 1)}, 420},
		"change request (RFC 5780)":  {[]stun.Setter{udpTransport, opt(stun.AttrChangeRequest, 0, 0, 0, 6)}, 420},
		"connection id (RFC 6062)":   {[]stun.Setter{udpTransport, opt(stun.AttrConnectionID, 0, 0, 0, 6)}, 420},
	} {
		t.Run(name, func(t *testing.T) {
			for _, network := range []string{"udp", "tcp"} {
				c := r.as(network, "a")
				if code := c.request(stun.MethodAllocate, tt.attrs...); code != tt.want {
					t.Errorf("%s: %d, want %d", network, code, tt.want)
				}
				if key := stun.NewLongTermIntegrity(c.username, r.Realm(), c.password); key.Check(c.last) != nil {
					t.Errorf("%s: the answer is not signed", network)
				}
				_ = c.conn.Close()
			}
		})
	}
}

func TestAllocateAnswer(t *testing.T) {
	r := start(t, nil)
	c, relayed := r.made("udp", "a", evenPort, lifetime(time.Hour), attr{wire.AttrAdditionalAddressFamily, []byte{2, 0, 0, 0}})
	if relayed.Port()%2 != 0 {
		t.Errorf("port %d is not even", relayed.Port())
	}
	if v, _ := wire.Find(c.last, stun.AttrLifetime); !bytes.Equal(v, []byte{0, 0, 0x02, 0x58}) {
		t.Errorf("lifetime %v, want 600", v)
	}
	if v, _ := wire.Find(c.last, wire.AttrAddressErrorCode); !bytes.Equal(v, []byte{2, 0, 4, 40}) {
		t.Errorf("address error code %v, want 440 for IPv6", v)
	}
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(c.last); err != nil || mapped.String() != c.conn.LocalAddr().String() {
		t.Errorf("mapped address %v, %v", mapped, err)
	}
	if c.last.Contains(stun.AttrSoftware) || c.last.Contains(stun.AttrFingerprint) {
		t.Error("attributes that nobody asked for")
	}
}

// The answer to an Allocate may be lost.
func TestRepeatedAllocate(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		r := start(t, nil)
		c, relayed := r.made(network, "a")
		again := c.lastRequest
		c.send(again)
		res := c.receive()
		var x stun.XORMappedAddress
		if err := x.GetFromAs(res, stun.AttrXORRelayedAddress); err != nil || x.Port != int(relayed.Port()) {
			t.Errorf("%s: repeated: %v, %v; want %v", network, x, err, relayed)
		}
		if code := c.allocate(); code != stun.CodeAllocMismatch {
			t.Errorf("%s: another: %d, want 437", network, code)
		}
		if r.Allocations() != 1 {
			t.Errorf("%s: %d allocations", network, r.Allocations())
		}
	}
}

func TestRequestCodes(t *testing.T) {
	r := start(t, nil)
	c, _ := r.made("udp", "a")
	_, b := r.made("udp", "b")
	_, d := r.made("udp", "d")
	to, other, bad := peerAttr(b), peerAttr(d), peerAt("10.0.0.1:5000")
	v6 := peerAt("[2001:db8::1]:5000")
	for _, tt := range []struct {
		name   string
		method stun.Method
		attrs  []stun.Setter
		want   stun.ErrorCode
	}{
		{"permission without peer", stun.MethodCreatePermission, nil, 400},
		{"permission with half a peer", stun.MethodCreatePermission, []stun.Setter{attr{stun.AttrXORPeerAddress, []byte{0, 1, 2}}}, 400},
		{"permission with a bad family", stun.MethodCreatePermission, []stun.Setter{attr{stun.AttrXORPeerAddress, make([]byte, 8)}}, 400},
		{"permission for two", stun.MethodCreatePermission, []stun.Setter{to, other}, 0},
		{"permission for a good and a bad one", stun.MethodCreatePermission, []stun.Setter{to, bad}, 403},
		{"permission of the other family", stun.MethodCreatePermission, []stun.Setter{v6}, 443},
		{"channel without peer", stun.MethodChannelBind, []stun.Setter{channel(0x4001)}, 400},
		{"channel without number", stun.MethodChannelBind, []stun.Setter{to}, 400},
		{"channel below", stun.MethodChannelBind, []stun.Setter{to, channel(0x3FFF)}, 400},
		{"channel above", stun.MethodChannelBind, []stun.Setter{to, channel(0x8000)}, 400},
		{"channel to a bad peer", stun.MethodChannelBind, []stun.Setter{bad, channel(0x4001)}, 403},
		{"channel of the other family", stun.MethodChannelBind, []stun.Setter{v6, channel(0x4001)}, 443},
		{"channel", stun.MethodChannelBind, []stun.Setter{to, channel(0x4001)}, 0},
		{"channel again", stun.MethodChannelBind, []stun.Setter{to, channel(0x4001)}, 0},
		{"number of another peer", stun.MethodChannelBind, []stun.Setter{other, channel(0x4001)}, 400},
		{"peer of another number", stun.MethodChannelBind, []stun.Setter{to, channel(0x4002)}, 400},
		{"second channel", stun.MethodChannelBind, []stun.Setter{other, channel(0x4002)}, 0},
		{"highest channel", stun.MethodChannelBind, []stun.Setter{peerAttr(c.local()), channel(0x7FFF)}, 403}, // one's own address
		{"refresh", stun.MethodRefresh, nil, 0},
		{"refresh of the family", stun.MethodRefresh, []stun.Setter{family(1)}, 0},
		{"refresh of the other family", stun.MethodRefresh, []stun.Setter{family(2)}, 443},
		{"refresh with a bad lifetime", stun.MethodRefresh, []stun.Setter{attr{stun.AttrLifetime, []byte{1}}}, 400},
		{"refresh with mobility", stun.MethodRefresh, []stun.Setter{attr{wire.AttrMobilityTicket, nil}}, 405},
		{"unknown attribute", stun.MethodRefresh, []stun.Setter{attr{0x7123, nil}}, 420},
		{"connect (RFC 6062)", stun.MethodConnect, []stun.Setter{to}, 400},
		{"connection bind (RFC 6062)", stun.MethodConnectionBind, nil, 400},
		{"end", stun.MethodRefresh, []stun.Setter{lifetime(0)}, 0},
		{"refresh after the end", stun.MethodRefresh, nil, 437},
		{"permission after the end", stun.MethodCreatePermission, []stun.Setter{to}, 437},
		{"channel after the end", stun.MethodChannelBind, []stun.Setter{to, channel(0x4001)}, 437},
		{"connect after the end", stun.MethodConnect, []stun.Setter{to}, 437},
	} {
		if code := c.request(tt.method, tt.attrs...); code != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, code, tt.want)
		}
	}
}

func (c *raw) local() netip.AddrPort {
	return canonical(c.conn.LocalAddr().(*net.UDPAddr).AddrPort())
}

func TestAuthenticationCodes(t *testing.T) {
	r := start(t, nil)
	c := r.as("udp", "a")
	c.allocate()
	key := stun.NewLongTermIntegrity(c.username, r.Realm(), c.password)
	name := stun.NewUsername(c.username)
	for label, tt := range map[string]struct {
		attrs []stun.Setter
		want  stun.ErrorCode
	}{
		"no integrity":  {[]stun.Setter{name, c.realm, c.nonce}, 401},
		"no username":   {[]stun.Setter{c.realm, c.nonce, key}, 400},
		"no realm":      {[]stun.Setter{name, c.nonce, key}, 400},
		"no nonce":      {[]stun.Setter{name, c.realm, key}, 400},
		"made-up nonce": {[]stun.Setter{name, c.realm, stun.NewNonce(strings.Repeat("A", 22)), key}, 438},
		"long nonce":    {[]stun.Setter{name, c.realm, stun.NewNonce(strings.Repeat("A", 500)), key}, 438},
		"other realm":   {[]stun.Setter{name, stun.NewRealm("other"), c.nonce, key}, 401},
		"stranger":      {[]stun.Setter{stun.NewUsername("1:x"), c.realm, c.nonce, key}, 401},
		"not by key":    {[]stun.Setter{name, c.realm, c.nonce, stun.NewShortTermIntegrity("x")}, 401},
		"short MAC":     {[]stun.Setter{name, c.realm, c.nonce, attr{stun.AttrMessageIntegrity, []byte("short")}}, 401},
	} {
		d := &raw{t: t, conn: c.conn, to: c.to}
		res := d.do(stun.MethodRefresh, tt.attrs...)
		if code := codeOf(res); code != tt.want {
			t.Errorf("%s: %d, want %d", label, code, tt.want)
		}
		if res.Contains(stun.AttrMessageIntegrity) {
			t.Errorf("%s: signed", label)
		}
		if with := res.Contains(stun.AttrNonce) && res.Contains(stun.AttrRealm); with != (tt.want != 400) {
			t.Errorf("%s: challenge %v", label, with)
		}
	}
}

func TestBinding(t *testing.T) {
	r := start(t, nil)
	c := r.raw("udp", "", "")
	res := c.do(stun.MethodBinding)
	var x stun.XORMappedAddress
	if err := x.GetFrom(res); err != nil || x.String() != c.conn.LocalAddr().String() {
		t.Errorf("mapped address %v, %v", x, err)
	}
	res = c.do(stun.MethodBinding, attr{0x7001, nil}, attr{0x7002, []byte{1}}, stun.Fingerprint)
	if code := codeOf(res); code != stun.CodeUnknownAttribute {
		t.Errorf("code %d, want 420", code)
	}
	if v, _ := wire.Find(res, stun.AttrUnknownAttributes); !bytes.Equal(v, []byte{0x70, 1, 0x70, 2}) {
		t.Errorf("unknown attributes %x", v)
	}
	if stun.Fingerprint.Check(res) != nil {
		t.Error("no fingerprint, which the request has")
	}
	// The padding of a repeated, long list must not amplify.
	var many []stun.Setter
	for i := range 100 {
		many = append(many, attr{stun.AttrType(0x7000 + i), nil})
	}
	if res = c.do(stun.MethodBinding, many...); len(res.Raw) > 64 {
		t.Errorf("%d bytes", len(res.Raw))
	}
}

// Send indications, and Data indications or ChannelData back.
func TestIndications(t *testing.T) {
	r := start(t, nil)
	for _, network := range []string{"udp", "tcp"} {
		a, ra := r.made(network, "a")
		b, rb := r.made("udp", "b")
		if code := a.request(stun.MethodCreatePermission, peerAttr(rb)); code != 0 {
			t.Fatal(code)
		}
		send := func(attrs ...stun.Setter) {
			set := append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication)}, attrs...)
			a.send(stun.MustBuild(set...).Raw)
		}
		payload := attr{stun.AttrData, []byte("hello")}
		// Dropped: b has no permission yet.
		send(peerAttr(rb), payload)
		r.waitCount("drops_total", "no_permission", 1)
		if code := b.request(stun.MethodCreatePermission, peerAttr(ra)); code != 0 {
			t.Fatal(code)
		}
		send(payload)                                  // no peer
		send(peerAttr(rb))                             // no data
		send(peerAttr(rb), payload, attr{0x7123, nil}) // not comprehended
		send(peerAttr(rb), payload, attr{stun.AttrDontFragment, nil})
		got := b.receive()
		if v, _ := wire.Find(got, stun.AttrData); got.Type.Method != stun.MethodData || got.Type.Class != stun.ClassIndication || string(v) != "hello" {
			t.Errorf("%s: received %v %q", network, got, v)
		}
		if from, ok := wire.Peer(got); !ok || from != ra {
			t.Errorf("%s: from %v, want %v", network, from, ra)
		}
		if code := b.request(stun.MethodChannelBind, peerAttr(ra), channel(0x4123)); code != 0 {
			t.Fatal(code)
		}
		send(peerAttr(rb), payload)
		buf := make([]byte, 100)
		n, _, err := b.conn.ReadFrom(buf)
		if err != nil || string(buf[:n]) != "\x41\x23\x00\x05hello" {
			t.Errorf("%s: received %q, %v", network, buf[:n], err)
		}
		_, _ = a.conn.Close(), b.conn.Close()
	}
}

// Permissions, channels and allocations end by themselves.
func TestLifetimes(t *testing.T) {
	r := start(t, nil)
	a, ra := r.made("udp", "a")
	b, rb := r.made("udp", "b")
	if code := a.request(stun.MethodChannelBind, peerAttr(rb), channel(0x4001)); code != 0 {
		t.Fatal(code)
	}
	if code := b.request(stun.MethodCreatePermission, peerAttr(ra)); code != 0 {
		t.Fatal(code)
	}
	data := []byte("\x40\x01\x00\x02hi")
	a.send(data)
	b.receive()
	r.advance(permissionLifetime - time.Second)
	a.send(data)
	b.receive()
	r.advance(time.Second)
	a.send(data)
	r.waitCount("drops_total", "no_permission", 1)
	for _, c := range []*raw{a, b} {
		if code := c.request(stun.MethodRefresh, lifetime(100*time.Second)); code != 0 {
			t.Fatal(code)
		}
	}
	r.advance(101 * time.Second)
	wait(t, "the end of allocations", func() bool { return r.Allocations() == 0 })
	if code := a.request(stun.MethodRefresh); code != stun.CodeAllocMismatch {
		t.Errorf("refresh: %d, want 437", code)
	}
}

// Whatever form an address is written in, it is refused at every entry point.
func TestAddressMatrix(t *testing.T) {
	targets := []string{"127.0.0.1", "0.0.0.0", "10.1.2.3", "169.254.169.254", "192.168.0.1", "224.0.0.1", "255.255.255.255"}
	var forms []netip.Addr
	for _, target := range targets {
		v4 := netip.MustParseAddr(target)
		b := v4.As4()
		forms = append(forms, v4, netip.AddrFrom16(v4.As16()))
		for _, prefix := range []string{"::", "64:ff9b::", "64:ff9b:1::"} {
			x := netip.MustParseAddr(prefix).As16()
			copy(x[12:], b[:])
			forms = append(forms, netip.AddrFrom16(x))
		}
		six := netip.MustParseAddr("2002::1").As16()
		copy(six[2:], b[:])
		teredo := netip.MustParseAddr("2001:0:808:808::").As16()
		for i := range b {
			teredo[12+i] = ^b[i]
		}
		forms = append(forms, netip.AddrFrom16(six), netip.AddrFrom16(teredo))
	}
	forms = append(forms, netip.IPv6Unspecified(), netip.IPv6Loopback(), netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fc00::1"), netip.MustParseAddr("fec0::1"))
	for listen, v := range map[string]byte{"127.0.0.1:0": 1, "[::1]:0": 2} {
		r := start(t, func(c *Config) { c.Listen, c.Limits.RequestBurst = listen, 1000 })
		c, _ := r.made("udp", "a", family(v))
		for _, f := range forms {
			p := peerAttr(netip.AddrPortFrom(f, 40000))
			want := []stun.ErrorCode{stun.CodeForbidden, stun.CodePeerAddrFamilyMismatch}
			if code := c.request(stun.MethodCreatePermission, p); !slices.Contains(want, code) {
				t.Errorf("CreatePermission %s: %d", f, code)
			}
			if code := c.request(stun.MethodChannelBind, p, channel(0x4000)); !slices.Contains(want, code) {
				t.Errorf("ChannelBind %s: %d", f, code)
			}
			c.send(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), p, attr{stun.AttrData, []byte("x")}).Raw)
		}
		c.send([]byte("\x40\x00\x00\x01x"))
		r.waitCount("drops_total", "no_permission", float64(len(forms)+1))
		if n := r.count("packets_total", "to_peer") + r.count("packets_total", "hairpin"); n != 0 {
			t.Errorf("%v packets went out", n)
		}
	}
}

// An answer to an unproven address must not be worth forging it.
func TestAmplification(t *testing.T) {
	for listen, tt := range map[string]float64{"127.0.0.1:0": 1.6, "[::1]:0": 2.2} {
		r := start(t, func(c *Config) { c.Listen = listen })
		c := r.raw("udp", "", "")
		bare := func(m stun.Method) []byte {
			return stun.MustBuild(stun.TransactionID, stun.NewType(m, stun.ClassRequest)).Raw
		}
		ratio := func(req []byte) float64 {
			c.send(req)
			return float64(len(c.receive().Raw)) / float64(len(req))
		}
		if got := ratio(bare(stun.MethodBinding)); got > tt {
			t.Errorf("%s: binding %v, want %v", listen, got, tt)
		}
		for _, m := range []stun.Method{stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind, stun.MethodConnect} {
			if got := ratio(bare(m)); got > 4 {
				t.Errorf("%s: %v %v, want 4", listen, m, got)
			}
		}
	}
}

// Under a flood from one source hardly anything is answered.
func TestFloodReplies(t *testing.T) {
	r := start(t, nil)
	c := r.raw("udp", "", "")
	sent, received := 0, 0
	buf := make([]byte, 2048)
	for i := range 10_000 {
		m := []stun.Method{stun.MethodBinding, stun.MethodAllocate}[i%2]
		req := stun.MustBuild(stun.TransactionID, stun.NewType(m, stun.ClassRequest)).Raw
		c.send(req)
		sent += len(req)
		if i%100 == 99 { // a marker: what the kernel dropped would not be a flood
			r.waitHandled(float64(i + 1))
		}
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for {
		n, _, err := c.conn.ReadFrom(buf)
		if err != nil {
			break
		}
		received += n
	}
	if received == 0 || float64(received) > 0.1*float64(sent) {
		t.Errorf("%d bytes of requests got %d bytes of answers, want up to a tenth", sent, received)
	}
}

// waitHandled waits until n requests of a flood were answered or dropped.
func (r *running) waitHandled(n float64) {
	r.t.Helper()
	answered := float64(r.cfg.Limits.RequestBurst)
	wait(r.t, "requests to be handled", func() bool { return r.count("drops_total", "challenge")+answered >= n })
}

func TestLifetimeAttribute(t *testing.T) {
	r := start(t, nil)
	c, _ := r.made("udp", "a")
	for in, want := range map[time.Duration]uint32{time.Minute: 60, time.Hour: 600, time.Second: 1} {
		if code := c.request(stun.MethodRefresh, lifetime(in)); code != 0 {
			t.Fatal(code)
		}
		if v, _ := wire.Find(c.last, stun.AttrLifetime); binary.BigEndian.Uint32(v) != want {
			t.Errorf("lifetime %v is %v, want %d", in, v, want)
		}
	}
}
