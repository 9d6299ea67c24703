package relay

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// allocation is one live allocation: who made it, and the UDP socket of its relayed
// address, as the net.PacketConn that the library reads peers from and writes to them.
type allocation struct {
	client   client
	id       string // as the library knows the user: one per client and username
	username string
	holder   string
	realm    string // that the client was challenged with
	key      []byte // of long-term credentials, RFC 8489 §9.2.2

	relayed netip.AddrPort // what clients and peers are told
	local   netip.AddrPort // where this machine reaches the socket
	// The library wants a *net.UDPAddr for each packet; these save making them.
	relayedUDP, clientUDP *net.UDPAddr

	permissions, channels atomic.Int32

	conn    *net.UDPConn
	table   *table
	metrics *metrics
	onClose func()

	mu      sync.Mutex
	closed  bool   // the library has let go of it
	reading bool   // its goroutine may still call ReadFrom
	done    func() // says that the library's goroutine has ended; once
}

// peerIPs are the addresses that become possible peers while a is live.
func (a *allocation) peerIPs() []netip.Addr {
	if a.client.transport == overTCP {
		// Its UDP ports are unknown, so none is proven.
		return []netip.Addr{a.relayed.Addr()}
	}
	return []netip.Addr{a.relayed.Addr(), a.client.addr.Addr()}
}

// ReadFrom waits for a packet from a peer.
func (a *allocation) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, source, err := a.conn.ReadFromUDPAddrPort(p)
		if err != nil {
			a.finish()
			return 0, nil, err
		}
		peer := a.table.fromPeer(canonical(source))
		switch {
		case peer == nil:
			a.metrics.drop(droppedFromPeer)
		case n >= len(p):
			a.metrics.drop(droppedOversize)
		default:
			return n, peer, nil
		}
	}
}

// finish accounts for the end of the library's goroutine, which never reads again
// after an error. If the library closed the socket, the goroutine has nothing left to
// do and ends here. If not, it goes on to delete the allocation, and Close is the last
// that it does.
func (a *allocation) finish() {
	a.mu.Lock()
	a.reading = false
	closed := a.closed
	a.mu.Unlock()
	if closed {
		leave(a.done)
	}
}

// leave ends the calling goroutine, and says so by done. The library starts goroutines
// that nobody can wait for; ending them where they call us is what lets Run promise
// that none is left.
func leave(done func()) {
	defer done()
	runtime.Goexit()
}

// WriteTo sends to a peer; to anybody else it drops, as RFC 8656 §11.2 and §12.6 want.
func (a *allocation) WriteTo(p []byte, to net.Addr) (int, error) {
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	dst, ok := a.table.toPeer(canonical(udp.AddrPort()))
	if !ok {
		a.metrics.drop(droppedToPeer)
		return len(p), nil
	}
	n, err := a.conn.WriteToUDPAddrPort(p, dst)
	if err == nil {
		a.metrics.toPeer.add(n)
	}
	return n, err
}

// Close is the library's: each allocation's last event, whatever ended it.
func (a *allocation) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	err := a.conn.Close()
	a.table.remove(a)
	a.metrics.died(a.client.transport)
	a.onClose()
	if !a.reading {
		a.done()
	}
	return err
}

// abort makes the library delete the allocation.
func (a *allocation) abort() {
	_ = a.conn.Close() // only "already closed", by the library at the same moment
}

func (a *allocation) LocalAddr() net.Addr                { return a.conn.LocalAddr() }
func (a *allocation) SetDeadline(t time.Time) error      { return a.conn.SetDeadline(t) }
func (a *allocation) SetReadDeadline(t time.Time) error  { return a.conn.SetReadDeadline(t) }
func (a *allocation) SetWriteDeadline(t time.Time) error { return a.conn.SetWriteDeadline(t) }
