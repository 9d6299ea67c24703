package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// listenT opens a Conn for a test. The tests of IPv6 pass, and say so, where there
// is none.
func listenT(t *testing.T, addr string, o Options) *Conn {
	t.Helper()
	c, err := Listen(netip.MustParseAddrPort(addr), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func hasIPv6(t *testing.T) bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Logf("NOT RUN: no IPv6 here: %v", err)
		return false
	}
	return c.Close() == nil
}

// to is an address of c that can be sent to.
func to(c *Conn, ip string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(ip), c.LocalAddr().Port())
}

// payload is a datagram that says which one it is.
func payload(n, size int) []byte {
	b := bytes.Repeat([]byte{byte(n)}, size)
	if size >= 4 {
		binary.BigEndian.PutUint32(b, uint32(n))
	}
	return b
}

// collect reads until it has n packets, and returns copies.
func collect(t *testing.T, c *Conn, n int) []Packet {
	t.Helper()
	b := NewBatch(8)
	var all []Packet
	for len(all) < n {
		packets, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(packets) == 0 {
			t.Fatal("Read returned no packets")
		}
		for _, p := range packets {
			p.Data = bytes.Clone(p.Data)
			all = append(all, p)
		}
	}
	if len(all) > n {
		t.Fatalf("%d packets, want %d", len(all), n)
	}
	return all
}

var offloads = Options{GRO: true, GSO: true, Buffers: 1 << 20}

func TestDelivery(t *testing.T) {
	for name, test := range map[string]struct {
		listen, reach string
		options       Options
		v6            bool
	}{
		"IPv4, plain":           {"127.0.0.1:0", "127.0.0.1", Options{Buffers: 1 << 20}, false},
		"IPv4, offloads":        {"127.0.0.1:0", "127.0.0.1", offloads, false},
		"IPv6, plain":           {"[::1]:0", "::1", Options{Buffers: 1 << 20}, true},
		"IPv6, offloads":        {"[::1]:0", "::1", offloads, true},
		"dual stack, IPv4":      {"[::]:0", "127.0.0.1", Options{GRO: true, GSO: true, DualStack: true, Buffers: 1 << 20}, true},
		"dual stack, IPv6":      {"[::]:0", "::1", Options{GRO: true, GSO: true, DualStack: true, Buffers: 1 << 20}, true},
		"unspecified, IPv4":     {"0.0.0.0:0", "127.0.0.1", offloads, false},
		"IPv4, receive trains":  {"127.0.0.1:0", "127.0.0.1", Options{GRO: true, Buffers: 1 << 20}, false},
		"IPv4, send trains":     {"127.0.0.1:0", "127.0.0.1", Options{GSO: true, Buffers: 1 << 20}, false},
		"IPv6, packet info":     {"[::]:0", "::1", Options{Pktinfo: true, GRO: true, GSO: true, Buffers: 1 << 20}, true},
		"IPv4, packet info":     {"0.0.0.0:0", "127.0.0.1", Options{Pktinfo: true, GRO: true, GSO: true, Buffers: 1 << 20}, false},
		"both, info of IPv4":    {"[::]:0", "127.0.0.1", Options{Pktinfo: true, GRO: true, GSO: true, DualStack: true, Buffers: 1 << 20}, true},
		"an IPv4 in IPv6 to it": {"127.0.0.1:0", "::ffff:127.0.0.1", offloads, false},
	} {
		t.Run(name, func(t *testing.T) {
			if test.v6 && !hasIPv6(t) {
				return
			}
			from, recipient := listenT(t, test.listen, test.options), listenT(t, test.listen, test.options)
			dst := to(recipient, test.reach)
			// Trains of all shapes: full ones, one longer than a train may be, mixed sizes,
			// a short end, nothing at all, something large.
			var sizes []int
			for range 70 {
				sizes = append(sizes, 1200)
			}
			sizes = append(sizes, 500, 500, 300, 500, 1, 1, 1, 0, 0, 1200, 20000, 20000, 20000, 20000, 4, 1200, 1300, 1300, 1299, 60000)
			w := NewWriter()
			for i, size := range sizes {
				p := payload(i, size)
				cut := size / 3 * (i % 2) // with a head and without
				w.Send(from, dst, netip.Addr{}, p[:cut], p[cut:])
			}
			if sent, err := w.Flush(); err != nil || sent != len(sizes) {
				t.Fatalf("sent %d of %d: %v", sent, len(sizes), err)
			}
			want := netip.AddrPortFrom(netip.MustParseAddr(test.reach).Unmap(), from.LocalAddr().Port())
			for i, p := range collect(t, recipient, len(sizes)) {
				if !bytes.Equal(p.Data, payload(i, sizes[i])) {
					t.Fatalf("packet %d has %d bytes, or others than were sent", i, len(p.Data))
				}
				if p.Addr != want {
					t.Fatalf("packet %d is from %v, want %v", i, p.Addr, want)
				}
				if test.options.Pktinfo && CanShare() && p.Local != want.Addr() {
					t.Fatalf("packet %d was sent to %v, want %v", i, p.Local, want.Addr())
				}
			}
		})
	}
}

// Datagrams to several destinations and from several sockets arrive in order for each.
func TestManyDestinations(t *testing.T) {
	const conns, rounds = 5, 40
	var from, recipients []*Conn
	for range conns {
		from = append(from, listenT(t, "127.0.0.1:0", offloads))
		recipients = append(recipients, listenT(t, "127.0.0.1:0", offloads))
	}
	w := NewWriter()
	sent := 0
	for i := range rounds {
		for k := range conns {
			for range i%3 + 1 { // short trains
				w.Send(from[k], recipients[(i+k)%conns].LocalAddr(), netip.Addr{}, nil, payload(i, 100))
				sent++
			}
		}
	}
	if n, err := w.Flush(); n != sent || err != nil {
		t.Fatalf("sent %d of %d: %v", n, sent, err)
	}
	for _, r := range recipients {
		last := map[netip.AddrPort]uint32{}
		for _, p := range collect(t, r, sent/conns) {
			n := binary.BigEndian.Uint32(p.Data)
			if n < last[p.Addr] {
				t.Fatalf("%d came after %d", n, last[p.Addr])
			}
			last[p.Addr] = n
		}
	}
	if n, err := w.Flush(); n != 0 || err != nil {
		t.Errorf("flushing nothing sent %d: %v", n, err)
	}
}

// A Writer flushes by itself when it is full.
func TestWriterFull(t *testing.T) {
	from := listenT(t, "127.0.0.1:0", Options{})
	var wg sync.WaitGroup
	recipient := listenT(t, "127.0.0.1:0", Options{Buffers: 4 << 20})
	const n = 1000
	wg.Go(func() { collect(t, recipient, n) })
	w := NewWriter()
	for i := range n {
		w.Send(from, recipient.LocalAddr(), netip.Addr{}, []byte("head"), payload(i, 40))
	}
	if sent, err := w.Flush(); sent != n || err != nil {
		t.Errorf("sent %d: %v", sent, err)
	}
	wg.Wait()
}

// What cannot be sent is counted, and the rest is sent.
func TestDrops(t *testing.T) {
	from, recipient, gone := listenT(t, "127.0.0.1:0", offloads), listenT(t, "127.0.0.1:0", offloads), listenT(t, "127.0.0.1:0", offloads)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	w := NewWriter()
	w.Send(from, netip.MustParseAddrPort("[::1]:9"), netip.Addr{}, nil, payload(0, 10)) // wrong family
	w.Send(from, netip.AddrPort{}, netip.Addr{}, nil, payload(0, 10))                   // no address
	w.Send(from, recipient.LocalAddr(), netip.Addr{}, nil, payload(1, 10))
	w.Send(from, recipient.LocalAddr(), netip.Addr{}, payload(2, 30), payload(2, 1<<16)) // too big
	w.Send(gone, recipient.LocalAddr(), netip.Addr{}, nil, payload(3, 10))               // closed
	w.Send(gone, recipient.LocalAddr(), netip.Addr{}, nil, payload(3, 10))
	w.Send(from, recipient.LocalAddr(), netip.Addr{}, nil, payload(4, 10))
	sent, err := w.Flush()
	if sent != 2 || err == nil {
		t.Errorf("sent %d, error %v; want 2 and one of the drops", sent, err)
	}
	want := [Drops]uint64{DropFamily: 2, DropTooBig: 1, DropClosed: 2}
	if got := w.Dropped(); got != want {
		t.Errorf("drops %v, want %v", got, want)
	}
	got := collect(t, recipient, 2)
	if !bytes.Equal(got[0].Data, payload(1, 10)) || !bytes.Equal(got[1].Data, payload(4, 10)) {
		t.Errorf("got %v", got)
	}
	seen := map[string]bool{}
	for d := range Drops {
		seen[d.String()] = true
	}
	if len(seen) != int(Drops) {
		t.Errorf("%d labels for %d reasons", len(seen), Drops)
	}
}

// Sending to a port where nobody listens is answered by ICMP, which ends nothing.
func TestPortUnreachable(t *testing.T) {
	c, gone := listenT(t, "127.0.0.1:0", offloads), listenT(t, "127.0.0.1:0", offloads)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	w := NewWriter()
	for range 3 {
		for i := range 5 {
			w.Send(c, gone.LocalAddr(), netip.Addr{}, nil, payload(i, 10))
		}
		w.Flush()
	}
	w.Send(c, c.LocalAddr(), netip.Addr{}, nil, payload(7, 10)) // to itself
	w.Flush()
	if got := collect(t, c, 1); !bytes.Equal(got[0].Data, payload(7, 10)) {
		t.Errorf("got %v", got)
	}
}

func TestCloseWhileReading(t *testing.T) {
	for range 50 {
		c := listenT(t, "127.0.0.1:0", offloads)
		ended := make(chan error, 1)
		go func() {
			_, err := c.Read(NewBatch(1))
			ended <- err
		}()
		runtime.Gosched() // either may come first
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("Read returned %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("closing twice: %v", err)
		}
		if _, err := c.Read(NewBatch(1)); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("reading a closed one: %v", err)
		}
	}
}

func TestListenErrors(t *testing.T) {
	if _, err := Listen(netip.AddrPort{}, Options{}); err == nil {
		t.Error("an invalid address was taken")
	}
	if _, err := Listen(netip.MustParseAddrPort("192.0.2.1:0"), Options{}); err == nil {
		t.Error("an address of nobody was taken")
	}
	c := listenT(t, "127.0.0.1:0", Options{})
	if _, err := Listen(c.LocalAddr(), Options{}); err == nil {
		t.Error("an address was taken twice")
	}
	if !CanShare() {
		if _, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), Options{ReusePort: true}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("sharing: %v", err)
		}
	}
}

func TestPoller(t *testing.T) {
	const conns, each = 100, 30
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	all := make([]*Conn, conns)
	for i := range all {
		all[i] = listenT(t, "127.0.0.1:0", offloads)
		if err := p.Add(all[i], i); err != nil {
			t.Fatal(err)
		}
		if p.Add(all[i], i) == nil {
			t.Fatal("added twice")
		}
	}
	from := listenT(t, "127.0.0.1:0", offloads)
	var wg sync.WaitGroup
	wg.Go(func() {
		w := NewWriter()
		for n := range each {
			for i := range all {
				w.Send(from, all[i].LocalAddr(), netip.Addr{}, nil, payload(n*conns+i, 100))
				if i%3 == 0 { // part of a train
					w.Send(from, all[i].LocalAddr(), netip.Addr{}, nil, payload(n*conns+i, 100))
				}
			}
			w.Flush()
		}
	})
	counts := make([]int, conns)
	b := NewBatch(16)
	for left := each * (conns + (conns+2)/3); left > 0; {
		groups, err := p.Wait(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			i := g.Token.(int)
			if g.Conn != all[i] || len(g.Packets) == 0 {
				t.Fatalf("group %+v", g)
			}
			for _, q := range g.Packets {
				if n := int(binary.BigEndian.Uint32(q.Data)); n%conns != i || q.Addr != from.LocalAddr() {
					t.Fatalf("packet %d on Conn %d from %v", n, i, q.Addr)
				}
				counts[i]++
				left--
			}
		}
	}
	wg.Wait()
	for i, n := range counts {
		if want := each * (1 + (3-i%3)/3); n != want {
			t.Errorf("Conn %d got %d packets, want %d", i, n, want)
		}
	}
}

// What is removed or closed is not read any more, others are, and a slot may be
// used again.
func TestPollerRemove(t *testing.T) {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	w, b := NewWriter(), NewBatch(4)
	from := listenT(t, "127.0.0.1:0", Options{})
	removed, closed, last := listenT(t, "127.0.0.1:0", Options{}), listenT(t, "127.0.0.1:0", Options{}), listenT(t, "127.0.0.1:0", Options{})
	for i, c := range []*Conn{removed, closed} {
		if err := p.Add(c, "c"+strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	p.Remove(removed)
	p.Remove(removed) // is nothing
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Add(closed, 0); err == nil {
		t.Error("a closed Conn was added")
	}
	if err := p.Add(last, "last"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Conn{removed, closed, last} {
		w.Send(from, c.LocalAddr(), netip.Addr{}, nil, payload(1, 10))
	}
	w.Flush()
	var groups []Group
	for len(groups) == 0 {
		if groups, err = p.Wait(b); err != nil {
			t.Fatal(err)
		}
	}
	if len(groups) != 1 || groups[0].Token != "last" {
		t.Errorf("groups %v", groups)
	}
	if got := collect(t, removed, 1); !bytes.Equal(got[0].Data, payload(1, 10)) { // it can be read by hand
		t.Errorf("got %v", got)
	}
	if err := p.Add(removed, "again"); err != nil {
		t.Fatal(err)
	}
	w.Send(from, removed.LocalAddr(), netip.Addr{}, nil, payload(2, 10))
	w.Flush()
	for groups, err = p.Wait(b); len(groups) == 0; groups, err = p.Wait(b) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if groups[0].Token != "again" {
		t.Errorf("groups %v", groups)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Add(removed, 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("adding to a closed Poller: %v", err)
	}
	if _, err := p.Wait(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("waiting for a closed Poller: %v", err)
	}
	if err := p.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closing twice: %v", err)
	}
	p.Wake() // is nothing
}

func TestPollerWakeAndClose(t *testing.T) {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	c := listenT(t, "127.0.0.1:0", Options{})
	if err := p.Add(c, nil); err != nil {
		t.Fatal(err)
	}
	woken, ended := make(chan struct{}), make(chan error)
	go func() {
		b := NewBatch(2)
		groups, err := p.Wait(b)
		if len(groups) > 0 || err != nil {
			t.Errorf("woken with %v, %v", groups, err)
		}
		close(woken)
		for err == nil {
			_, err = p.Wait(b)
		}
		ended <- err
	}()
	p.Wake()
	<-woken
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Wait returned %v", err)
	}
	// The Conn is as it was before.
	w := NewWriter()
	w.Send(c, c.LocalAddr(), netip.Addr{}, nil, payload(3, 10))
	w.Flush()
	collect(t, c, 1)
}

// Adding, removing, closing and sending at the same time.
func TestPollerChurn(t *testing.T) {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := NewBatch(8)
		for {
			if _, err := p.Wait(b); err != nil {
				return
			}
		}
	})
	var churn sync.WaitGroup
	for range 4 {
		churn.Go(func() {
			w := NewWriter()
			for i := range 200 {
				c, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), offloads)
				if err != nil {
					t.Error(err)
					return
				}
				if err := p.Add(c, i); err != nil {
					t.Error(err)
				}
				for k := range 4 {
					w.Send(c, c.LocalAddr(), netip.Addr{}, nil, payload(k, 100))
				}
				w.Flush()
				if i%2 == 0 {
					p.Remove(c)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	churn.Wait()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
