package place

import (
	"net/netip"
	"slices"
	"testing"
)

func TestPlace(t *testing.T) {
	lan := netip.MustParseAddr("192.168.1.5")
	cases := []struct {
		name         string
		p            Place
		lan          netip.Addr
		urls         []string
		origin, base string
	}{
		{"loopback only", Place{Host: "localhost", Port: 8080, Scheme: "http"}, lan, []string{"http://localhost:8080"}, "http://localhost:8080", "http://localhost:8080"},
		{"all, by localhost", Place{Port: 8080, Scheme: "http"}, lan, []string{"http://localhost:8080", "http://192.168.1.5:8080"}, "http://localhost:8080", "http://192.168.1.5:8080"},
		{"all, by another name", Place{Port: 8080, Scheme: "http"}, lan, []string{"http://localhost:8080", "http://192.168.1.5:8080"}, "http://box.local:8080", "http://box.local:8080"},
		{"all, no network", Place{Port: 8080, Scheme: "http"}, netip.Addr{}, []string{"http://localhost:8080"}, "http://127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"one address", Place{Host: "192.168.1.5", Port: 80, Scheme: "http"}, lan, []string{"http://192.168.1.5"}, "http://localhost", "http://192.168.1.5"},
		{"public", Place{Port: 443, Scheme: "https", Public: "https://send.example"}, lan, []string{"https://localhost", "https://192.168.1.5", "https://send.example"}, "https://localhost", "https://send.example"},
		{"proxied", Place{Host: "127.0.0.1", Port: 8080, Scheme: "http"}, lan, []string{"http://127.0.0.1:8080"}, "https://send.example", "https://send.example"},
		{"IPv6", Place{Host: "fd00::1", Port: 443, Scheme: "https"}, lan, []string{"https://[fd00::1]"}, "https://[::1]", "https://[fd00::1]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.URLs(c.lan); !slices.Equal(got, c.urls) {
				t.Errorf("urls %v, want %v", got, c.urls)
			}
			if got := c.p.LinkBase(c.origin, func() netip.Addr { return c.lan }); got != c.base {
				t.Errorf("link base %q, want %q", got, c.base)
			}
		})
	}
}

func TestListenLocalhost(t *testing.T) {
	ls, err := Listen(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Of("localhost:0", ls[0], false, "https://a.example/")
	if err != nil || p.Port == 0 || p.Public != "https://a.example" {
		t.Errorf("%+v %v", p, err)
	}
	for _, l := range ls {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Listen(t.Context(), "nonsense"); err == nil {
		t.Error("an address without a port was accepted")
	}
}
