package relay

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"causeway/internal/relay/udp"

	"github.com/pion/stun/v4"
)

// Garbage is not answered: the only answer is that to the request that follows it.
func TestMalformedIsNotAnswered(t *testing.T) {
	r := start(t, nil)
	c := r.raw("udp", "", "")
	binding := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	cut := append([]byte(nil), binding.Raw[:12]...)
	badCookie := append([]byte(nil), binding.Raw...)
	badCookie[4] ^= 1
	badLength := append(append([]byte(nil), binding.Raw...), 0, 0, 0, 0)
	response := stun.MustBuild(stun.TransactionID, stun.BindingSuccess)
	cases := []struct {
		packet []byte
		reason drop
	}{
		{[]byte{0}, droppedMalformed},
		{[]byte("GET / HTTP/1.1\r\n\r\n"), droppedMalformed},
		{make([]byte, 20), droppedMalformed},
		{cut, droppedMalformed},
		{badCookie, droppedMalformed},
		{badLength, droppedMalformed},
		{response.Raw, droppedMalformed},
		{[]byte{0x40, 0, 0, 9, 1}, droppedMalformed},
		{[]byte{0x40, 0, 0, 4, 1, 2, 3, 4}, droppedUnsolicited},
		{stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication)).Raw, droppedUnsolicited},
		{make([]byte, 2000), droppedOversize},
	}
	want := map[drop]float64{}
	for _, tt := range cases {
		c.send(tt.packet)
		want[tt.reason]++
	}
	c.send(binding.Raw)
	res := c.receive()
	if res.TransactionID != binding.TransactionID || res.Type != stun.BindingSuccess {
		t.Errorf("the first answer is %v", res)
	}
	if len(res.Raw) > 2*len(binding.Raw) {
		t.Errorf("a binding of %d bytes is answered by %d", len(binding.Raw), len(res.Raw))
	}
	for reason, n := range want {
		if got := r.count("drops_total", dropNames[reason]); got != n {
			t.Errorf("%v drops %d, want %v", got, reason, n)
		}
	}
}

func TestUnauthorizedIsSmall(t *testing.T) {
	r := start(t, nil)
	c := r.raw("udp", "", "")
	bare := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	c.send(bare.Raw)
	if n := len(c.receive().Raw); n > 4*len(bare.Raw) {
		t.Errorf("%d bytes are answered by %d", len(bare.Raw), n)
	}
}

func TestFloodIsLimited(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.RequestRate, c.Limits.RequestBurst = 2, 5 })
	c := r.raw("udp", "", "")
	const sent = 200
	for range sent {
		c.send(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)
	}
	for range 5 {
		c.receive()
	}
	r.waitCount("drops_total", "challenge", sent-5)
	nothing(t, c.conn)
	r.advance(time.Second) // two more tokens, minus those of the probes
	if code := codeOf(c.do(stun.MethodBinding)); code != 0 {
		t.Errorf("binding after a pause: %d", code)
	}
}

// A flood does not get in the way of who has an allocation.
func TestFloodSparesAllocations(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.RequestRate, c.Limits.RequestBurst = 1, 4 })
	user, pass := r.mint("a", time.Minute)
	c := r.raw("udp", user, pass)
	if code := c.allocate(); code != 0 {
		t.Fatalf("allocate: %d", code)
	}
	flood := r.raw("udp", "", "") // from the same address
	for range 20 {
		flood.send(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)
	}
	r.waitCount("drops_total", "challenge", 16)
	for range 10 {
		if code := c.request(stun.MethodRefresh); code != 0 {
			t.Fatalf("refresh: %d", code)
		}
	}
}

func TestGate(t *testing.T) {
	g := newGate(10, 20)
	now := time.Unix(1000, 0)
	a := netip.MustParseAddrPort("192.0.2.1:0")
	take := func(n int) (got int) {
		for range n {
			if g.allow(a, now) {
				got++
			}
		}
		return got
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 20}, {0, 0}, {time.Second, 10}, {500 * time.Millisecond, 5}, {time.Hour, 20}, {-time.Hour, 0}} {
		now = now.Add(tt.after)
		if got := take(100); got != tt.want {
			t.Errorf("after %v: %d allowed, want %d", tt.after, got, tt.want)
		}
	}
}

func TestSourceOf(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1":      "192.0.2.1/32",
		"2001:db8::1":    "2001:db8::/64",
		"fe80::1%eth0":   "fe80::/64",
		"2001:db8:0:1::": "2001:db8:0:1::/64",
	} {
		if got := sourceOf(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("sourceOf(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestConnectionLimits(t *testing.T) {
	for _, tt := range []struct {
		limits Limits
		reason drop
	}{
		{Limits{Connections: 2}, droppedConnections},
		{Limits{ConnectionsPerSource: 2}, droppedConnectionSource},
	} {
		r := start(t, func(c *Config) { c.Limits = tt.limits })
		first := r.raw("tcp", "", "")
		if code := codeOf(first.do(stun.MethodBinding)); code != 0 {
			t.Fatal(code)
		}
		second := r.raw("tcp", "", "")
		if code := codeOf(second.do(stun.MethodBinding)); code != 0 {
			t.Fatal(code)
		}
		third := r.dial("tcp")
		if _, _, err := third.ReadFrom(make([]byte, 100)); err == nil {
			t.Error("the third connection is served")
		}
		r.waitCount("drops_total", dropNames[tt.reason], 1)
		// A connection that ends makes room.
		_ = first.conn.Close()
		wait(t, "the end of a connection", func() bool {
			r.streams.mu.Lock()
			defer r.streams.mu.Unlock()
			return len(r.streams.open) == 1
		})
		if code := codeOf(r.raw("tcp", "", "").do(stun.MethodBinding)); code != 0 {
			t.Fatal(code)
		}
	}
}

func TestStreamFrames(t *testing.T) {
	r := start(t, nil)
	binding := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	t.Run("byte by byte", func(t *testing.T) {
		c := r.raw("tcp", "", "")
		for i := range binding.Raw {
			c.send(binding.Raw[i : i+1])
		}
		if res := c.receive(); res.TransactionID != binding.TransactionID {
			t.Errorf("answer %v", res)
		}
	})
	t.Run("several at once", func(t *testing.T) {
		c := r.raw("tcp", "", "")
		c.send(append(append([]byte(nil), binding.Raw...), binding.Raw...))
		c.receive()
		c.receive()
	})
	// The codec that checks a request must not write on the one behind it.
	t.Run("authentic ones at once", func(t *testing.T) {
		user, pass := r.mint("a", time.Minute)
		c := r.raw("tcp", user, pass)
		if code := c.allocate(); code != 0 {
			t.Fatal(code)
		}
		refresh := c.build(stun.MethodRefresh)
		c.send(append(append([]byte(nil), refresh...), refresh...))
		for range 2 {
			if code := codeOf(c.receive()); code != 0 {
				t.Errorf("refresh: %d", code)
			}
		}
	})
	t.Run("oversize", func(t *testing.T) {
		user, pass := r.mint("a", time.Minute)
		c := r.raw("tcp", user, pass)
		if code := c.allocate(); code != 0 {
			t.Fatal(code)
		}
		big := make([]byte, 65536+4)
		big[0], big[2], big[3] = 0x40, 0xff, 0xff
		c.send(append(big, binding.Raw...)) // 0xffff is padded to 0x10000
		if res := c.receive(); res.TransactionID != binding.TransactionID {
			t.Errorf("answer %v", res)
		}
	})
	for name, b := range map[string]string{"http": "GET / HTTP/1.1\r\nHost: relay\r\n\r\n", "tls": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"channel data without a channel": "\x40\x00\x00\x04data"} {
		t.Run(name, func(t *testing.T) {
			c := r.raw("tcp", "", "")
			c.send([]byte(b))
			if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			n, _, err := c.conn.ReadFrom(make([]byte, 100))
			if n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read %d, %v; want the connection closed", n, err)
			}
		})
	}
}

// Floods of what is invalid, has no credentials, or wrong ones, each packet from another source, leave nothing behind.
func TestFloodMemoryIsFlat(t *testing.T) {
	r := start(t, nil)
	wrong := r.as("udp", "a")
	wrong.allocate()
	wrong.password = "guessed"
	anonymous := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), udpTransport).Raw
	packets := [][]byte{anonymous, wrong.build(stun.MethodAllocate, udpTransport), append([]byte("garbage that is no STUN"), 0xff), data(100), anonymous[:19]}
	w := r.worker()
	sources := 0
	flood := func(n int) {
		for range n {
			sources++
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(sources >> 16), byte(sources >> 8), byte(sources)}), 9)
			for _, p := range packets {
				w.fromClient(&udp.Packet{Data: p, Addr: from}, r.shards[0])
			}
			w.flush()
		}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	flood(1000)
	before := heap()
	flood(30_000)
	if grown := heap() - before; grown > 512<<10 {
		t.Errorf("%d bytes more after a flood from 30000 sources", grown)
	}
	if n := r.count("refusals_total", string(refusedAnonymous)); n < 30_000 {
		t.Errorf("%v requests were challenged: not a flood", n)
	}
	if r.Allocations() != 1 {
		t.Errorf("%d allocations", r.Allocations())
	}
}
