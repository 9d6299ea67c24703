//go:build linux

package load

import (
	"bufio"
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"causeway/internal/bench/yardstick"
)

// serve runs a yardstick in this process until the test ends.
func serve(t *testing.T, kind yardstick.Kind) netip.AddrPort {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- yardstick.Run(ctx, kind, w) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("yardstick: %v", err)
		}
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddrPort(strings.TrimSpace(line))
}

func open(t *testing.T, addr netip.AddrPort, d Dialect, n int) (*Loop, []*Conn) {
	t.Helper()
	l, err := New(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	conns, err := l.Open(t.Context(), d, n, 16)
	if err != nil {
		t.Fatal(err)
	}
	return l, conns
}

// still is the CPU time of a server that is not looked at.
func still() (time.Duration, error) { return 0, nil }

func TestRuns(t *testing.T) {
	addr := serve(t, yardstick.Plain)
	l, conns := open(t, addr, &Plain{Overhead: Overhead()}, 50)
	for name, load := range map[string]Load{
		"paced":     {Kind: Send, Rate: 2000, Fan: 1, To: conns},
		"saturated": {Kind: Send, InFlight: 20, Fan: 1, To: conns},
		"batched":   {Kind: Send, InFlight: 40, Batch: 4, Fan: 1, To: conns},
		"broadcast": {Kind: Broadcast, InFlight: 2, Fan: 50},
	} {
		t.Run(name, func(t *testing.T) {
			load.Size, load.From, load.Sample, load.Duration, load.Warmup = 300, conns, still, 100*time.Millisecond, 10*time.Millisecond
			r, err := l.Run(t.Context(), load)
			if err != nil {
				t.Fatal(err)
			}
			if r.Lost != 0 || r.Failed != 0 || r.Delivered == 0 || r.Sent == 0 || r.Elapsed < load.Duration {
				t.Errorf("%+v", *r)
			}
			if r.Latency.Count() == 0 || r.Latency.Percentile(50) <= 0 || r.MessagesPerSecond(load.Fan) <= 0 {
				t.Error("no figures")
			}
		})
	}
}

func TestUpgrade(t *testing.T) {
	addr := serve(t, yardstick.Upgrade)
	d := &SignalR{Host: addr.String(), Hub: "echo", Bare: true, Token: func(int) (string, error) { return "t", nil }}
	l, conns := open(t, addr, d, 40)
	for _, c := range conns {
		if !c.open || c.ID == "" {
			t.Fatalf("connection %d is not set up", c.Index)
		}
	}
	if err := l.Wait(t.Context(), time.Millisecond); err != nil || l.Failed > 0 {
		t.Errorf("%v, %d failed", err, l.Failed)
	}
}

func TestOpenFails(t *testing.T) {
	addr := serve(t, yardstick.Plain)
	l, err := New(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// A server that speaks something else hangs up.
	if _, err := l.Open(t.Context(), &PeerJS{Host: addr.String()}, 1, 1); err == nil {
		t.Error("a PeerJS client can talk to a yardstick")
	}
	for _, bad := range []string{"192.0.2.1:80", "127.0.0.1:0", "[::1]:80"} {
		if _, err := New(netip.MustParseAddrPort(bad)); err == nil {
			t.Errorf("%s is driven", bad)
		}
	}
}

func TestRunNeedsSomebody(t *testing.T) {
	l, _ := open(t, serve(t, yardstick.Plain), &Plain{}, 1)
	if _, err := l.Run(t.Context(), Load{Rate: 1, Fan: 1}); err == nil {
		t.Error("runs without senders")
	}
}

func TestSource(t *testing.T) {
	for index, want := range map[int]string{0: "127.0.0.2", 179: "127.0.0.2", 180: "127.0.0.3", 179_999: "127.0.3.233"} {
		if got := netip.AddrFrom4(source(index)).String(); got != want {
			t.Errorf("connection %d comes from %s, not %s", index, got, want)
		}
	}
}
