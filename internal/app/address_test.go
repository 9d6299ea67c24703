package app

import (
	"net/netip"
	"slices"
	"testing"
)

func TestPlace(t *testing.T) {
	lan := netip.MustParseAddr("192.168.1.5")
	cases := []struct {
		name         string
		p            place
		lan          netip.Addr
		urls         []string
		origin, base string
	}{
		{"loopback only", place{host: "localhost", port: 8080, scheme: "http"}, lan, []string{"http://localhost:8080"}, "http://localhost:8080", "http://localhost:8080"},
		{"all, by localhost", place{port: 8080, scheme: "http"}, lan, []string{"http://localhost:8080", "http://192.168.1.5:8080"}, "http://localhost:8080", "http://192.168.1.5:8080"},
		{"all, by another name", place{port: 8080, scheme: "http"}, lan, []string{"http://localhost:8080", "http://192.168.1.5:8080"}, "http://box.local:8080", "http://box.local:8080"},
		{"all, no network", place{port: 8080, scheme: "http"}, netip.Addr{}, []string{"http://localhost:8080"}, "http://127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"one address", place{host: "192.168.1.5", port: 80, scheme: "http"}, lan, []string{"http://192.168.1.5"}, "http://localhost", "http://192.168.1.5"},
		{"public", place{port: 443, scheme: "https", public: "https://send.example"}, lan, []string{"https://localhost", "https://192.168.1.5", "https://send.example"}, "https://localhost", "https://send.example"},
		{"proxied", place{host: "127.0.0.1", port: 8080, scheme: "http"}, lan, []string{"http://127.0.0.1:8080"}, "https://send.example", "https://send.example"},
		{"IPv6", place{host: "fd00::1", port: 443, scheme: "https"}, lan, []string{"https://[fd00::1]"}, "https://[::1]", "https://[fd00::1]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.urls(c.lan); !slices.Equal(got, c.urls) {
				t.Errorf("urls %v, want %v", got, c.urls)
			}
			if got := c.p.linkBase(c.origin, func() netip.Addr { return c.lan }); got != c.base {
				t.Errorf("link base %q, want %q", got, c.base)
			}
		})
	}
}

func TestListenLocalhost(t *testing.T) {
	ls, err := listen(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := placeOf("localhost:0", ls[0], false, "https://a.example/")
	if err != nil || p.port == 0 || p.public != "https://a.example" {
		t.Errorf("%+v %v", p, err)
	}
	for _, l := range ls {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := listen(t.Context(), "nonsense"); err == nil {
		t.Error("an address without a port was accepted")
	}
}
