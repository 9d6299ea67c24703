package policy

import (
	"net/netip"
	"testing"
)

// world is Facts by lists.
type world struct {
	relayed, proven, provenTCP []string // address:port
	signaled, own              []string // addresses
}

func has(list []string, peer netip.AddrPort, exact bool) bool {
	for _, text := range list {
		a := netip.MustParseAddrPort(text)
		if a.Addr() == peer.Addr() && (!exact || a.Port() == peer.Port()) {
			return true
		}
	}
	return false
}

func hasAddr(list []string, addr netip.Addr) bool {
	for _, text := range list {
		if netip.MustParseAddr(text) == addr {
			return true
		}
	}
	return false
}

func (w *world) Relayed(peer netip.AddrPort, exact bool) bool { return has(w.relayed, peer, exact) }
func (w *world) Proven(peer netip.AddrPort, exact bool) bool {
	return has(w.proven, peer, exact) || !exact && has(w.provenTCP, peer, false)
}
func (w *world) Signaled(a netip.Addr) bool { return hasAddr(w.signaled, a) }
func (w *world) Own(a netip.Addr) bool      { return hasAddr(w.own, a) }

var levels = []Level{Default, P0, P1, P2, P3, P4}

func TestPeer(t *testing.T) {
	w := &world{
		relayed:   []string{"8.8.4.4:50000", "192.168.1.2:50001", "[2a00::1]:50002"},
		proven:    []string{"127.0.0.1:40000", "192.168.1.2:40001", "192.168.1.7:40002", "169.254.3.4:40003", "[fe80::7]:40004", "[fd00::7]:40005", "9.9.9.9:40006", "9.9.9.9:5060", "8.8.4.4:40007"},
		provenTCP: []string{"192.168.1.50:443", "9.9.9.50:443"},
		signaled:  []string{"9.9.9.60", "192.168.1.60"},
		own:       []string{"127.0.0.1", "::1", "192.168.1.2", "8.8.4.4", "2a00::1"},
	}
	all := func(v Verdict) [6]Verdict { return [6]Verdict{v, v, v, v, v, v} }
	below4 := func(v Verdict) [6]Verdict { return [6]Verdict{v, v, v, v, v, Closed} }
	for _, c := range []struct {
		peer string // port 0: not known
		want [6]Verdict
	}{
		// A live relayed address and port, whatever kind of address it is.
		{"8.8.4.4:50000", all(Allow)},
		{"[::ffff:8.8.4.4]:50000", all(Allow)},
		{"192.168.1.2:50001", all(Allow)},
		{"[2a00::1]:50002", all(Allow)},
		{"8.8.4.4:0", all(Allow)},
		{"192.168.1.2:0", all(Allow)},
		// Any other port of the node's own.
		{"8.8.4.4:3478", below4(Own)},
		{"8.8.4.4:50001", below4(Own)},
		{"[::ffff:8.8.4.4]:50001", below4(Own)},
		{"[2a00::1]:50000", below4(Own)},
		{"192.168.1.2:50000", below4(Own)},
		{"127.0.0.1:22", below4(Own)},
		{"[::1]:40000", below4(Own)},
		{"8.8.4.4:40007", below4(Own)}, // proven, but own and public
		// Local peers by address and port.
		{"127.0.0.1:40000", below4(Allow)},
		{"127.0.0.1:0", below4(Allow)},
		{"127.0.0.1:40001", below4(Own)},
		{"127.0.0.2:40000", below4(Loopback)},
		{"192.168.1.2:40001", below4(Allow)},
		{"192.168.1.7:40002", below4(Allow)},
		{"[::ffff:192.168.1.7]:40002", below4(Allow)},
		{"192.168.1.7:40003", below4(Private)},
		{"192.168.1.7:0", below4(Allow)},
		{"192.168.1.8:40002", below4(Private)},
		{"192.168.1.8:0", below4(Private)},
		{"169.254.3.4:40003", below4(Allow)},
		{"169.254.169.254:80", below4(LinkLocal)},
		{"[fe80::7%eth0]:40004", below4(Allow)},
		{"[fe80::7]:40005", below4(LinkLocal)},
		{"[fd00::7]:40005", below4(Allow)},
		{"[fd00::7]:40006", below4(Private)},
		{"192.168.1.50:443", below4(Private)},   // proven over TCP only
		{"192.168.1.60:40000", below4(Private)}, // a signaling address, perhaps a proxy's
		// Public peers.
		{"9.9.9.9:40006", below4(Allow)},
		{"9.9.9.9:40009", below4(Allow)}, // a symmetric NAT's other port
		{"9.9.9.9:0", below4(Allow)},
		{"9.9.9.9:5060", below4(Allow)}, // the very port is proven
		{"9.9.9.9:5061", [6]Verdict{Port, Allow, Port, Port, Port, Closed}},
		{"9.9.9.50:40000", below4(Allow)},
		{"9.9.9.60:40000", below4(Allow)},
		{"9.9.9.70:40000", [6]Verdict{Unproven, Allow, Allow, Unproven, Unproven, Closed}},
		{"9.9.9.70:0", [6]Verdict{Unproven, Allow, Allow, Unproven, Unproven, Closed}},
		{"9.9.9.70:53", [6]Verdict{Port, Allow, Port, Port, Port, Closed}},
		{"[2a00::2]:40000", [6]Verdict{Unproven, Allow, Allow, Unproven, Unproven, Closed}},
	} {
		peer := netip.MustParseAddrPort(c.peer)
		for i, level := range levels {
			if got := (Policy{Level: level}).Peer(w, peer, peer.Port() != 0); got != c.want[i] {
				t.Errorf("%s: Peer(%s) = %s, want %s", level, c.peer, got, c.want[i])
			}
		}
	}
	if got := (Policy{}).Peer(w, netip.AddrPort{}, false); got != Invalid {
		t.Errorf("no address: %s", got)
	}
	if got := (Policy{}).Peer(w, netip.MustParseAddrPort("8.8.4.4:0"), true); got != Invalid {
		t.Errorf("port 0: %s", got)
	}
	// A port that is not known is not looked at.
	if got := (Policy{}).Peer(w, netip.MustParseAddrPort("192.168.1.7:9"), false); got != Allow {
		t.Errorf("permission with an arbitrary port: %s", got)
	}
}

// sly is a session whose members proved everything that can't be proven, so that only the
// matrix itself refuses.
type sly struct{}

func (sly) Relayed(netip.AddrPort, bool) bool { return false }
func (sly) Proven(netip.AddrPort, bool) bool  { return true }
func (sly) Signaled(netip.Addr) bool          { return true }
func (sly) Own(netip.Addr) bool               { return false }

// The address matrix (spec §4.1, and the CVEs of §4.2): denied with the port known and
// without, at every level, whoever claims to have proved it.
func TestAddressMatrix(t *testing.T) {
	for addr, want := range map[string]Verdict{
		"0.0.0.0": Special, "0.1.2.3": Special, "::": Special, "::ffff:0.0.0.0": Special,
		"192.0.0.1": Special, "192.0.2.1": Special, "192.31.196.1": Special, "192.52.193.1": Special, "192.88.99.1": Special,
		"192.175.48.1": Special, "198.18.0.1": Special, "198.19.255.255": Special, "198.51.100.1": Special, "203.0.113.1": Special,
		"224.0.0.1": Multicast, "239.255.255.250": Multicast, "240.0.0.1": Special, "255.255.255.255": Special,
		"::ffff:224.0.0.1": Multicast, "::ffff:255.255.255.255": Special,
		"::127.0.0.1": Embedded, "::10.0.0.1": Embedded, "::2": Embedded,
		"::ffff:0:127.0.0.1": Embedded,
		"2002:7f00:1::1":     Embedded, "2002:a00:1::": Embedded, "2002:808:808::": Embedded,
		"64:ff9b::127.0.0.1": Embedded, "64:ff9b::8.8.8.8": Embedded,
		"64:ff9b:1::127.0.0.1": Embedded, "64:ff9b:1:7f00:0:100::": Embedded,
		"2001::1": Embedded, "2001:0:7f00:1:0:0:80ff:fffe": Embedded,
		"100::1": Special, "100:0:0:1::1": Special, "2001:1::1": Special, "2001:1ff::1": Special, "2001:db8::1": Special, "2620:4f:8000::1": Special,
		"3fff::1": Special, "5f00::1": Special, "ff02::1": Multicast, "4000::1": Special, "8000::1": Special,
	} {
		for _, level := range levels {
			w := want
			if level == P4 {
				w = Closed
			}
			for _, known := range []bool{true, false} {
				if got := (Policy{Level: level}).Peer(sly{}, netip.AddrPortFrom(netip.MustParseAddr(addr), 40000), known); got != w {
					t.Errorf("%s: %s: %s, want %s", level, addr, got, w)
				}
			}
		}
	}
	// What only an exact proof opens is denied to a session without one.
	for addr, want := range map[string]Verdict{
		"127.0.0.1": Loopback, "127.255.255.254": Loopback, "::1": Loopback, "::ffff:127.0.0.1": Loopback, "::ffff:7f00:1": Loopback,
		"10.0.0.1": Private, "10.255.255.255": Private, "100.64.0.1": Private, "100.127.255.255": Private, "172.16.0.1": Private, "172.31.255.255": Private, "192.168.0.1": Private,
		"::ffff:10.0.0.1": Private, "::ffff:192.168.0.1": Private, "::ffff:100.64.0.1": Private,
		"169.254.169.254": LinkLocal, "::ffff:169.254.169.254": LinkLocal, "fe80::1": LinkLocal, "fe80::1%eth0": LinkLocal, "febf::1": LinkLocal,
		"fc00::1": Private, "fd00:ec2::254": Private, "fec0::1": Private,
	} {
		for _, level := range levels[:5] {
			for _, known := range []bool{true, false} {
				if got := (Policy{Level: level}).Peer(&world{}, netip.AddrPortFrom(netip.MustParseAddr(addr), 40000), known); got != want {
					t.Errorf("%s: %s: %s, want %s", level, addr, got, want)
				}
			}
		}
	}
	// The neighbours of the ranges are ordinary.
	for _, addr := range []string{"1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0",
		"172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2000::1", "2001:200::1", "2003::1", "2a00::1", "3ffe::1"} {
		if got := (Policy{Level: P1}).Peer(&world{}, netip.AddrPortFrom(netip.MustParseAddr(addr), 40000), true); got != Allow {
			t.Errorf("%s: %s", addr, got)
		}
	}
}

func TestOperatorsLists(t *testing.T) {
	p := Policy{
		Level: P2,
		Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("::/0")},
		Deny:  []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24"), netip.MustParsePrefix("5.5.5.5/32")},
	}
	w := &world{own: []string{"10.1.0.9", "7.7.7.7"}, proven: []string{"10.1.2.3:4000", "5.5.5.5:4000"}}
	for peer, want := range map[string]Verdict{
		"10.1.0.1:80":                      Allow,
		"10.1.0.9:80":                      Own,
		"10.1.2.3:4000":                    Denied,
		"5.5.5.5:4000":                     Denied,
		"10.2.0.1:80":                      Private,
		"224.0.0.1:80":                     Multicast,
		"[::]:80":                          Special,
		"[64:ff9b::8.8.8.8]:80":            Allow,
		"[64:ff9b::10.1.0.1]:80":           Allow, // allowed by itself
		"[64:ff9b::10.2.0.1]:80":           Embedded,
		"[64:ff9b::127.0.0.1]:80":          Embedded,
		"[64:ff9b::7.7.7.7]:80":            Embedded,
		"[64:ff9b::5.5.5.5]:80":            Denied,
		"[64:ff9b:1::8.8.8.8]:80":          Allow,
		"[64:ff9b:1::192.168.0.1]:80":      Embedded,
		"[64:ff9b:1:a9fe:a9:fe00::]:80":    Embedded,
		"[64:ff9b:1:c0:a8:1:100::]:80":     Embedded,
		"[64:ff9b:1::c0:a800:100:0]:80":    Embedded,
		"[2002:c0a8:1::]:80":               Embedded,
		"[2001:0:7f00:1::f7f7:f7f7]:80":    Embedded,
		"[2001:0:808:808::80ff:fffe]:4000": Embedded,
	} {
		if got := p.Peer(w, netip.MustParseAddrPort(peer), true); got != want {
			t.Errorf("Peer(%s) = %s, want %s", peer, got, want)
		}
	}
}

func TestAllowLoopback(t *testing.T) {
	w := &world{own: []string{"127.0.0.1", "::1", "192.168.0.1"}}
	p := Policy{Level: P1, AllowLoopback: true}
	for peer, want := range map[string]Verdict{"127.0.0.1:4000": Allow, "[::1]:4000": Allow, "[::ffff:127.0.0.1]:4000": Allow, "127.0.0.1:53": Port, "[::127.0.0.1]:4000": Embedded, "0.0.0.0:4000": Special, "192.168.0.1:4000": Own} {
		if got := p.Peer(w, netip.MustParseAddrPort(peer), true); got != want {
			t.Errorf("Peer(%s) = %s, want %s", peer, got, want)
		}
	}
	p.Level = P2
	if got := p.Peer(w, netip.MustParseAddrPort("127.0.0.1:4000"), true); got != Unproven {
		t.Errorf("P2: %s", got)
	}
}

func TestCanonical(t *testing.T) {
	for text, want := range map[string][]string{
		"8.8.8.8":                         {"8.8.8.8"},
		"::ffff:8.8.8.8":                  {"8.8.8.8"},
		"2a00::1":                         {"2a00::1"},
		"fe80::1%eth0":                    {"fe80::1"},
		"::":                              {"::"},
		"::1":                             {"::1"},
		"::2":                             {"::2", "0.0.0.2"},
		"::127.0.0.1":                     {"::127.0.0.1", "127.0.0.1"},
		"::ffff:0:10.0.0.1":               {"::ffff:0:10.0.0.1", "10.0.0.1"},
		"2002:7f00:1::1":                  {"2002:7f00:1::1", "127.0.0.1"},
		"64:ff9b::169.254.169.254":        {"64:ff9b::169.254.169.254", "169.254.169.254"},
		"64:ff9b:1::10.0.0.1":             {"64:ff9b:1::10.0.0.1", "10.0.0.1"},
		"64:ff9b:1:a00:0:100::":           {"64:ff9b:1:a00:0:100::", "10.0.0.1"},
		"64:ff9b:1:a:0:1::":               {"64:ff9b:1:a:0:1::", "10.0.0.1"},
		"64:ff9b:1:0:a:0:100:0":           {"64:ff9b:1:0:a:0:100:0", "10.0.0.1", "1.0.0.0"},
		"64:ff9b:1::":                     {"64:ff9b:1::", "0.0.0.0"},
		"2001:0:4136:e378:8000:63bf::":    {"2001:0:4136:e378:8000:63bf::", "65.54.227.120", "255.255.255.255"},
		"2001:0:808:808:0:0:80ff:fffe":    {"2001:0:808:808:0:0:80ff:fffe", "8.8.8.8", "127.0.0.1"},
		"2001:1::1":                       {"2001:1::1"},
		"64:ff9b:0:0:0:1::":               {"64:ff9b:0:0:0:1::"},
		"0:0:0:0:0:1:7f00:1":              {"0:0:0:0:0:1:7f00:1"},
		"2001:db8:1:2:0:5efe:192.168.0.1": {"2001:db8:1:2:0:5efe:192.168.0.1"},
	} {
		addr, embedded := Canonical(netip.MustParseAddr(text))
		got := append([]netip.Addr{addr}, embedded...)
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", text, got, want)
			continue
		}
		for i := range got {
			if got[i] != netip.MustParseAddr(want[i]) {
				t.Errorf("%s: %v, want %v", text, got, want)
				break
			}
		}
	}
}

// Whatever the bytes: no plain address is IPv4-mapped or has a zone, and what carries an
// IPv4 address is refused by default.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::1.2.3.4", "64:ff9b:1::1.2.3.4", "2001::", "::1.2.3.4", "2a00::1"} {
		b := netip.MustParseAddr(s).As16()
		f.Add(b[:], uint16(4000))
	}
	f.Fuzz(func(t *testing.T, b []byte, port uint16) {
		in, ok := netip.AddrFromSlice(b)
		addr, embedded := Canonical(in)
		if ok != addr.IsValid() || addr.Is4In6() || addr.Zone() != "" || len(embedded) > maxEmbedded {
			t.Fatalf("%v: %v, %v", in, addr, embedded)
		}
		again, _ := Canonical(addr)
		if again != addr {
			t.Fatalf("%v: not canonical", addr)
		}
		got := (Policy{Level: P0}).Peer(sly{}, netip.AddrPortFrom(in, port), true)
		if got == Allow && (len(embedded) > 0 || port == 0 || addr.IsMulticast() || addr.IsUnspecified()) {
			t.Fatalf("%v: allowed", in)
		}
		for _, e := range embedded {
			if !e.Is4() {
				t.Fatalf("%v: %v", in, e)
			}
		}
	})
}

func TestPeerDoesNotAllocate(t *testing.T) {
	w := &fixed{proven: netip.MustParseAddrPort("9.9.9.9:40000")}
	for _, level := range []Level{P0, P1, P2, P3} {
		p := Policy{Level: level, Allow: []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96")}, Deny: []netip.Prefix{netip.MustParsePrefix("5.5.5.5/32")}}
		for _, peer := range []netip.AddrPort{w.proven, netip.MustParseAddrPort("[64:ff9b::8.8.8.8]:4000")} {
			var got Verdict
			if n := testing.AllocsPerRun(100, func() { got = p.Peer(w, peer, true) }); n != 0 || got != Allow {
				t.Errorf("%s: %v allocations, %s", level, n, got)
			}
		}
	}
}

type fixed struct{ proven netip.AddrPort }

func (*fixed) Relayed(netip.AddrPort, bool) bool { return false }
func (f *fixed) Proven(peer netip.AddrPort, exact bool) bool {
	return peer.Addr() == f.proven.Addr() && (!exact || peer.Port() == f.proven.Port())
}
func (*fixed) Signaled(netip.Addr) bool { return false }
func (*fixed) Own(netip.Addr) bool      { return false }

func BenchmarkPeer(b *testing.B) {
	w := &fixed{proven: netip.MustParseAddrPort("9.9.9.9:40000")}
	for b.Loop() {
		if (Policy{}).Peer(w, w.proven, true) != Allow {
			b.Fatal("refused")
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range Verdicts() {
		if s := v.String(); s == "" || s == "unknown" || seen[s] {
			t.Errorf("verdict %d: %q", v, s)
		}
		seen[v.String()] = true
	}
	if Verdict(200).String() != "unknown" || Level(9).String() != "level(9)" || Level(-1).String() != "level(-1)" {
		t.Error("names of what is none")
	}
	for _, l := range levels {
		if got, err := ParseLevel(l.String()); got != l || err != nil {
			t.Errorf("ParseLevel(%s) = %v, %v", l, got, err)
		}
	}
	if _, err := ParseLevel("p5"); err == nil {
		t.Error("p5")
	}
	if got, err := ParseLevel("P3"); got != P3 || err != nil {
		t.Errorf("P3: %v, %v", got, err)
	}
	for i := 1; i < len(ports); i++ {
		if ports[i-1] >= ports[i] {
			t.Errorf("the ports are not in order at %d", ports[i])
		}
	}
}
