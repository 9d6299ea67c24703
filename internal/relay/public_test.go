package relay

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func TestPublic(t *testing.T) {
	parse := netip.MustParseAddr
	tests := []struct {
		name, host, configured, want string
	}{
		{"loopback", "127.0.0.1", "", "127.0.0.1"},
		{"loopback, IPv6", "::1", "", "::1"},
		{"one address", "192.0.2.5", "", "192.0.2.5"},
		{"configured", "127.0.0.1", "198.51.100.1", "198.51.100.1"},
		{"configured, listening everywhere", "::", "198.51.100.1", "198.51.100.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var configured netip.Addr
			if tt.configured != "" {
				configured = parse(tt.configured)
			}
			if got := newPublic(parse(tt.host), configured, time.Now).best(); got != parse(tt.want) {
				t.Errorf("best = %v, want %s", got, tt.want)
			}
		})
	}
}

// A laptop that moves is noticed, and looked for once in 10 s.
func TestPublicRoams(t *testing.T) {
	now := time.Unix(1000, 0)
	home, office := netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("10.1.1.2")
	v6 := netip.MustParseAddr("2001:db8::2")
	p := newPublic(netip.IPv6Unspecified(), netip.Addr{}, func() time.Time { return now })
	at, lookups := home, 0
	p.lookup = func() (netip.Addr, netip.Addr) { lookups++; return at, v6 }
	for range 3 {
		if got := p.best(); got != home {
			t.Fatalf("best = %v", got)
		}
	}
	at = office
	if got := p.best(); got != home || lookups != 1 {
		t.Errorf("looked %d times within 10 s", lookups)
	}
	now = now.Add(publicTTL)
	if got := p.best(); got != office || lookups != 2 {
		t.Errorf("after moving: %v, %d look-ups", got, lookups)
	}
	if got := p.address(true); got != v6 {
		t.Errorf("IPv6 address %v", got)
	}
	at = netip.Addr{}
	now = now.Add(publicTTL)
	if got := p.best(); got != v6 {
		t.Errorf("without IPv4: %v", got)
	}
}

// Whatever machine this runs on has an address that can be told, at worst loopback.
func TestMachineAddresses(t *testing.T) {
	v4, v6 := machineAddresses(true)
	if !v4.IsValid() && !v6.IsValid() {
		t.Fatal("none found")
	}
	for _, a := range []netip.Addr{v4, v6} {
		if a.IsValid() && (a.IsUnspecified() || a.IsLinkLocalUnicast() || a.Is4In6()) {
			t.Errorf("found %v", a)
		}
	}
}

func TestURLs(t *testing.T) {
	s := &Server{addr: netip.MustParseAddrPort("[::]:3478"), public: newPublic(netip.IPv6Unspecified(), netip.MustParseAddr("2001:db8::1"), time.Now)}
	want := []string{"stun:[2001:db8::1]:3478", "turn:[2001:db8::1]:3478?transport=udp", "turn:[2001:db8::1]:3478?transport=tcp"}
	if got := s.URLs(); !reflect.DeepEqual(got, want) {
		t.Errorf("URLs = %q, want %q", got, want)
	}
}

// Listening everywhere, what is advertised works from this machine.
func TestWildcard(t *testing.T) {
	for _, listen := range []string{":0", "0.0.0.0:0"} {
		r := start(t, func(c *Config) { c.Listen = listen })
		for _, a := range r.ICEAddrs() {
			if a.Addr().IsUnspecified() || a.Port() != r.Addr().Port() {
				t.Errorf("%s: advertises %v", listen, a)
			}
		}
		a, b := r.pair("udp", "tcp")
		exchange(t, a, b, []byte("hello"))
		exchange(t, b, a, []byte("hello, too"))
	}
}
