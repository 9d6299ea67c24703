package relay

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"

	"causeway/internal/relay/udp"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// worker is one of the server's, for a test that hands it packets.
func (r *running) worker() *worker {
	w := r.newWorker()
	w.begin()
	return w
}

// The data path takes no memory: to a peer, between two clients, and back.
func TestDataPathAllocatesNothing(t *testing.T) {
	r := start(t, func(c *Config) { c.Ledger, c.Chunk = &capped{cap: 1 << 50}, 1<<40 })
	a, b := r.linked("udp", r.grant("a", nil), r.grant("b", nil))
	if code := a.bind(0x4001, b.local()); code != 0 {
		t.Fatalf("bind: %d", code)
	}
	wait(t, "a lease", func() bool { return r.table.clients.get(a.local()).member.account.Left() > 1<<30 })
	w, linked, direct := r.worker(), data(1200), data(1200)
	direct[1] = 1
	al := r.table.clients.get(a.local())
	for name, run := range map[string]func(){
		"hairpin": func() { w.fromClient(&udp.Packet{Data: linked, Addr: a.local()}, r.shards[0]) },
		"to peer": func() { w.fromClient(&udp.Packet{Data: direct, Addr: a.local()}, r.shards[0]) },
		"back":    func() { w.fromPeer(al, &udp.Packet{Data: direct, Addr: b.local()}) },
	} {
		if n := testing.AllocsPerRun(100, func() {
			run()
			w.flush()
		}); n != 0 {
			t.Errorf("%s: %v allocations a packet", name, n)
		}
	}
	for _, d := range []string{"hairpin", "to_peer", "to_client"} {
		if n := r.count("packets_total", d); n != 101 {
			t.Errorf("%v packets %s, want 101: the path was not taken", n, d)
		}
	}
}

// pion's client over TLS.
func TestTLS(t *testing.T) {
	cert := selfSigned(t, net.IPv4(127, 0, 0, 1))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, attach: l}
	r.begin(nil)
	user, pass := r.mint("a", patience)
	conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c, err := turn.NewClient(&turn.ClientConfig{STUNServerAddr: l.Addr().String(), TURNServerAddr: l.Addr().String(),
		Conn: turn.NewSTUNConn(conn), Username: user, Password: pass, LoggerFactory: silence()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	a, err := c.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	if n := r.count("allocations", "tls"); n != 1 {
		t.Errorf("%v allocations over tls", n)
	}
	cb, b := r.allocate("udp", "b")
	if err := c.CreatePermission(b.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if err := cb.CreatePermission(a.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	exchange(t, a, b, []byte("over tls"))
	exchange(t, b, a, []byte("and back"))
	// Its grant's end cuts it.
	for _, m := range r.table.members() {
		r.Server.end(m, causeDeleted)
	}
	wait(t, "the end of the connection", func() bool {
		r.streams.mu.Lock()
		defer r.streams.mu.Unlock()
		return len(r.streams.open) == 0
	})
}

func TestIndex(t *testing.T) {
	x := newIndex(1)
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), uint16(i))
	}
	as := make([]*allocation, 1000)
	for i := range as {
		as[i] = &allocation{}
		x.put(at(i), as[i])
	}
	for i := range as {
		if x.get(at(i)) != as[i] {
			t.Fatalf("%d is not found", i)
		}
		if i%2 == 0 {
			x.remove(at(i))
		}
	}
	for i := range as {
		if got := x.get(at(i)); (got == nil) != (i%2 == 0) {
			t.Fatalf("%d: %v", i, got)
		}
	}
	x.put(at(1), as[0])
	if x.get(at(1)) != as[0] {
		t.Error("not replaced")
	}
}

// Whatever a client sends, before and after it has an allocation, is handled, and
// nothing of it gets to a peer that is none.
func FuzzClient(f *testing.F) {
	for _, m := range []stun.Method{stun.MethodBinding, stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission,
		stun.MethodChannelBind, stun.MethodSend, stun.MethodConnect} {
		for _, c := range []stun.MessageClass{stun.ClassRequest, stun.ClassIndication} {
			f.Add(stun.MustBuild(stun.TransactionID, stun.NewType(m, c), peerAt("127.0.0.1:9"), udpTransport, channel(0x4000), attr{stun.AttrData, []byte("x")}).Raw)
		}
	}
	f.Add(data(8))
	r := start(f, func(c *Config) { c.Limits.RequestBurst, c.Limits.RequestRate = 1<<30, 1<<30 })
	c := r.as("udp", "a")
	c.allocate()
	w := r.worker()
	f.Fuzz(func(t *testing.T, b []byte) {
		r.t, c.t = t, t
		var attrs []stun.Setter
		m := &stun.Message{Raw: append([]byte(nil), b...)}
		for _, from := range []netip.AddrPort{c.local(), netip.MustParseAddrPort("127.0.0.1:9")} {
			w.fromClient(&udp.Packet{Data: append([]byte(nil), b...), Addr: from}, r.shards[0])
			w.flush()
		}
		// And as an authentic request with the same attributes.
		if m.Decode() == nil {
			for _, a := range m.Attributes {
				switch a.Type {
				case stun.AttrUsername, stun.AttrRealm, stun.AttrNonce, stun.AttrMessageIntegrity, stun.AttrFingerprint:
				default:
					attrs = append(attrs, attr{a.Type, a.Value})
				}
			}
			if len(b) < 1000 {
				for _, method := range []stun.Method{stun.MethodCreatePermission, stun.MethodChannelBind, stun.MethodAllocate} {
					w.fromClient(&udp.Packet{Data: c.build(method, attrs...), Addr: c.local()}, r.shards[0])
					w.flush()
				}
			}
		}
		if n := r.count("packets_total", "to_peer") + r.count("packets_total", "hairpin"); n != 0 {
			t.Errorf("%v packets went to peers", n)
		}
	})
}
