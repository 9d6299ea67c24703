package relay

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestShutdown(t *testing.T) {
	r := start(t, nil)
	a, b := r.pair("udp", "tcp")
	_ = r.dial("tcp") // connected, and says nothing
	user, pass := r.mint("c", time.Minute)
	c := r.raw("udp", user, pass)
	if code := c.allocate(); code != 0 {
		t.Fatalf("allocate: %d", code)
	}
	exchange(t, a, b, []byte("x"))
	began := time.Now()
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("shutdown took %v", took)
	}
	// What has said that it ends may still be between that and its last instruction.
	wait(t, "goroutines", func() bool { return serverGoroutines() == "" })
	if r.Allocations() != 0 {
		t.Errorf("%d allocations left", r.Allocations())
	}
	if err := r.Run(context.Background()); err == nil {
		t.Error("Run runs twice")
	}
	if _, err := net.Dial("tcp", r.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
}

// serverGoroutines returns a stack of a server's goroutine, if there is one.
func serverGoroutines() string {
	buf := make([]byte, 1<<20)
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, f := range []string{"relay.(*Server)", "relay.(*stream)", "relay.(*streams)"} {
			if strings.Contains(g, f) {
				return g
			}
		}
	}
	return ""
}

func TestPorts(t *testing.T) {
	for range 20 {
		s, err := New(Config{Listen: "127.0.0.1:0", Secrets: func() [][]byte { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		tcp := s.streams.listeners[0].Addr().(*net.TCPAddr).AddrPort()
		if s.Addr().Port() == 0 || tcp != s.Addr() {
			t.Errorf("udp %v, tcp %v", s.Addr(), tcp)
		}
		if _, err := New(Config{Listen: s.Addr().String(), Secrets: s.cfg.Secrets}); err == nil {
			t.Error("the port was taken twice")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Run(t.Context()); err == nil {
			t.Error("a closed server runs")
		}
	}
}

func TestConfig(t *testing.T) {
	secrets := func() [][]byte { return nil }
	for name, c := range map[string]Config{
		"no secrets":      {Listen: "127.0.0.1:0"},
		"no port":         {Listen: "127.0.0.1", Secrets: secrets},
		"short key":       {Listen: "127.0.0.1:0", GrantKey: []byte("short")},
		"half a range":    {Listen: "127.0.0.1:0", Secrets: secrets, MinPort: 2000},
		"inverted range":  {Listen: "127.0.0.1:0", Secrets: secrets, MinPort: 3000, MaxPort: 2000},
		"low ports":       {Listen: "127.0.0.1:0", Secrets: secrets, MinPort: 53, MaxPort: 2000},
		"unspecified":     {Listen: "127.0.0.1:0", Secrets: secrets, PublicIP: netip.IPv4Unspecified()},
		"negative limit":  {Listen: "127.0.0.1:0", Secrets: secrets, Limits: Limits{Permissions: -1}},
		"realm too long":  {Listen: "127.0.0.1:0", Secrets: secrets, Realm: strings.Repeat("x", 65)},
		"not our address": {Listen: "203.0.113.1:0", Secrets: secrets},
	} {
		if s, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
			_ = s.Close()
		}
	}
}
