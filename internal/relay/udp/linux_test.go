//go:build linux && !portable

package udp

import (
	"bytes"
	"errors"
	"net/netip"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel has trains, and they are used: 64 datagrams fill one slot.
func TestTrainsTravelWhole(t *testing.T) {
	from, recipient := listenT(t, "127.0.0.1:0", offloads), listenT(t, "127.0.0.1:0", offloads)
	if gro, gso := from.Offload(); !gro || !gso {
		t.Fatalf("receive trains %v, send trains %v: this test needs Linux 5.0", gro, gso)
	}
	w := NewWriter()
	head := []byte{0x40, 0, 0x04, 0xb0}
	for i := range maxSegments {
		w.Send(from, recipient.LocalAddr(), netip.Addr{}, head, payload(i, 900))
	}
	if w.count != 1 {
		t.Errorf("%d messages, want one train", w.count)
	}
	if n, err := w.Flush(); n != maxSegments || err != nil {
		t.Fatalf("sent %d: %v", n, err)
	}
	packets, err := recipient.Read(NewBatch(1))
	if err != nil || len(packets) != maxSegments {
		t.Fatalf("%d packets in a slot, want %d: %v", len(packets), maxSegments, err)
	}
	for i, p := range packets {
		if !bytes.Equal(p.Data, append(bytes.Clone(head), payload(i, 900)...)) || cap(p.Data) != len(p.Data) {
			t.Fatalf("packet %d: %d bytes of capacity %d", i, len(p.Data), cap(p.Data))
		}
	}
}

// A socket without checksums may not send trains (the kernel says EINVAL), which is
// how it is where a device or a path cannot.
func TestFallBack(t *testing.T) {
	from, recipient := listenT(t, "127.0.0.1:0", offloads), listenT(t, "127.0.0.1:0", offloads)
	if err := unix.SetsockoptInt(from.fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
		t.Fatal(err)
	}
	w := NewWriter()
	round := func() {
		t.Helper()
		const n = 10
		for i := range n {
			p := payload(i, 800-i/(n-1)*100) // the last one is shorter
			w.Send(from, recipient.LocalAddr(), netip.Addr{}, p[:i%5], p[i%5:])
		}
		if sent, err := w.Flush(); sent != n || err != nil {
			t.Fatalf("sent %d of %d: %v", sent, n, err)
		}
		for i, p := range collect(t, recipient, n) {
			if !bytes.Equal(p.Data, payload(i, 800-i/(n-1)*100)) {
				t.Fatalf("packet %d differs", i)
			}
		}
	}
	for range trainPatience {
		if from.trains.pause.Load() != 0 {
			t.Fatal("gave up too soon")
		}
		round()
	}
	if from.trains.pause.Load() != trainPause {
		t.Fatal("trains are still tried")
	}
	round()
	if got := from.trains.pause.Load(); got != trainPause-9 {
		t.Errorf("the pause is %d datagrams long still, want %d", got, trainPause-9)
	}
	// When it is over and the cause gone, they travel again.
	from.trains.pause.Store(0)
	if err := unix.SetsockoptInt(from.fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 0); err != nil {
		t.Fatal(err)
	}
	round()
	if from.trains.failures.Load() != 0 || from.trains.pause.Load() != 0 {
		t.Error("a train that left is not noticed")
	}
}

func TestOffloadFailures(t *testing.T) {
	for errno, want := range map[unix.Errno]struct {
		split, pause bool
	}{
		unix.EIO: {true, true}, unix.EOPNOTSUPP: {true, true}, unix.EINVAL: {true, false}, unix.EMSGSIZE: {true, false},
		unix.EAGAIN: {}, unix.EPERM: {}, unix.ENETUNREACH: {},
	} {
		var o offload
		if got := o.failed(errno); got != want.split || (o.pause.Load() > 0) != want.pause {
			t.Errorf("%v: split %v, pause %v; want %+v", errno, got, o.pause.Load(), want)
		}
	}
}

func TestReasons(t *testing.T) {
	for errno, want := range map[unix.Errno]Drop{
		unix.EAGAIN: DropFull, unix.ENOBUFS: DropFull, unix.EHOSTUNREACH: DropUnreachable, unix.ECONNREFUSED: DropUnreachable,
		unix.EMSGSIZE: DropTooBig, unix.EPERM: DropRefused, unix.EINVAL: DropOther, unix.EAFNOSUPPORT: DropFamily,
	} {
		if got := reason(errno); got != want {
			t.Errorf("%v is %v, want %v", errno, got, want)
		}
	}
	if passing(unix.EBADF) || !passing(unix.ECONNREFUSED) {
		t.Error("EBADF passes or ECONNREFUSED doesn't")
	}
}

// A socket that is full, and an error in the middle of a run.
func TestSendErrors(t *testing.T) {
	from, recipient := listenT(t, "127.0.0.1:0", Options{}), listenT(t, "127.0.0.1:0", Options{})
	w := NewWriter()
	broadcast := netip.MustParseAddrPort("255.255.255.255:9") // not allowed without SO_BROADCAST
	w.Send(from, recipient.LocalAddr(), netip.Addr{}, nil, payload(0, 10))
	w.Send(from, broadcast, netip.Addr{}, nil, payload(1, 10))
	w.Send(from, broadcast, netip.Addr{}, nil, payload(1, 10))
	w.Send(from, recipient.LocalAddr(), netip.Addr{}, nil, payload(2, 10))
	if sent, err := w.Flush(); sent != 2 || !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("sent %d: %v", sent, err)
	}
	d := w.Dropped()
	if d[DropRefused]+d[DropUnreachable] != 2 {
		t.Errorf("drops %v", d)
	}
	collect(t, recipient, 2)
}

// Answers leave from the address that was asked.
func TestSourceAddress(t *testing.T) {
	for name, test := range map[string]struct {
		listen, asked string
		dual, v6      bool
	}{
		"IPv4":            {"0.0.0.0:0", "127.0.0.3", false, false},
		"IPv4, dualstack": {"[::]:0", "127.0.0.3", true, true},
		"IPv6":            {"[::]:0", "::1", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			if test.v6 && !hasIPv6(t) {
				return
			}
			server := listenT(t, test.listen, Options{Pktinfo: true, DualStack: test.dual, GRO: true, GSO: true})
			asked := netip.MustParseAddr(test.asked)
			client := listenT(t, netip.AddrPortFrom(asked, 0).String(), offloads)
			w := NewWriter()
			for i := range 3 {
				w.Send(client, netip.AddrPortFrom(asked, server.LocalAddr().Port()), netip.Addr{}, nil, payload(i, 10))
			}
			w.Flush()
			for _, p := range collect(t, server, 3) {
				if p.Local != asked {
					t.Fatalf("asked %v, want %v", p.Local, asked)
				}
				w.Send(server, p.Addr, p.Local, []byte("re"), p.Data)
			}
			if n, err := w.Flush(); n != 3 || err != nil {
				t.Fatalf("sent %d: %v", n, err)
			}
			for _, p := range collect(t, client, 3) {
				if p.Addr.Addr() != asked {
					t.Errorf("the answer is from %v, want %v", p.Addr, asked)
				}
			}
		})
	}
}

func TestNothingAllocated(t *testing.T) {
	from, recipient := listenT(t, "127.0.0.1:0", offloads), listenT(t, "127.0.0.1:0", offloads)
	single := listenT(t, "127.0.0.1:0", Options{GRO: true, Pktinfo: true})
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Add(single, t); err != nil {
		t.Fatal(err)
	}
	w, b, data := NewWriter(), NewBatch(16), payload(1, 1000)
	dst, other := recipient.LocalAddr(), single.LocalAddr()
	allocs := testing.AllocsPerRun(200, func() {
		for range 8 {
			w.Send(from, dst, netip.Addr{}, data[:4], data)
		}
		w.Send(from, other, netip.Addr{}, nil, data)
		if n, err := w.Flush(); n != 9 || err != nil {
			t.Fatalf("sent %d: %v", n, err)
		}
		if got, err := recipient.Read(b); err != nil || len(got) == 0 {
			t.Fatal(err)
		}
		if got, err := p.Wait(b); err != nil || len(got) != 1 {
			t.Fatal(len(got), err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a round, want 0", allocs)
	}
}

func TestShare(t *testing.T) {
	first := listenT(t, "127.0.0.1:0", Options{ReusePort: true})
	second := listenT(t, first.LocalAddr().String(), Options{ReusePort: true})
	if first.LocalAddr() != second.LocalAddr() {
		t.Error("different addresses")
	}
}

func TestOverflows(t *testing.T) {
	from, recipient := listenT(t, "127.0.0.1:0", Options{}), listenT(t, "127.0.0.1:0", Options{Buffers: 4096})
	w := NewWriter()
	for i := range 200 {
		w.Send(from, recipient.LocalAddr(), netip.Addr{}, nil, payload(i, 1000))
	}
	w.Flush()
	if n, err := recipient.Overflows(); err != nil || n < 100 || n >= 200 {
		t.Errorf("%d overflows: %v", n, err)
	}
}

// The variant for other systems passes the same tests.
func TestPortable(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Logf("NOT RUN: the portable variant, without the go command: %v", err)
		return
	}
	out, err := exec.CommandContext(t.Context(), goTool, "test", "-tags=portable", "-count=1", ".").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func FuzzControl(f *testing.F) {
	var b control
	n := b.putSegment(0, 1200)
	f.Add(b[:n])
	n = b.putSource(&Conn{v6: true}, 0, netip.IPv6Loopback())
	f.Add(b[:n])
	f.Fuzz(func(t *testing.T, data []byte) {
		var b control
		segment, _ := b.get(copy(b[:], data))
		if segment < 0 {
			t.Error("negative size")
		}
	})
}
