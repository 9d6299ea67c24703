package relay

import (
	"errors"
	"net"
	"time"
)

// front is the UDP socket that clients send to, as the library reads and writes it.
type front struct {
	*net.UDPConn
	table   *table
	realms  *realms
	gate    *gate
	metrics *metrics
	now     func() time.Time
	done    func()          // says that the library's goroutine has ended
	stop    <-chan struct{} // closed when Run ends
}

// ReadFrom waits for a packet that the library should see. It fails never: the library
// would stop reading, so the end is the end of its goroutine.
func (f *front) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, source, err := f.ReadFromUDPAddrPort(p)
		if errors.Is(err, net.ErrClosed) {
			leave(f.done)
		}
		if err != nil {
			pause(f.stop) // an ICMP error of an earlier answer, where the system reports them
			continue
		}
		c := client{overUDP, canonical(source)}
		a := f.table.client(c)
		if r, ok := f.admit(p[:n], len(p), c, a); !ok {
			f.metrics.drop(r)
			continue
		}
		if a != nil {
			return n, a.clientUDP, nil
		}
		return n, net.UDPAddrFromAddrPort(c.addr), nil
	}
}

// admit decides on a packet from c, which has the allocation a or none. It is the whole cost
// that a packet from a forged address may have, besides a 401 at a limited rate.
func (f *front) admit(b []byte, size int, c client, a *allocation) (reason, bool) {
	if len(b) >= size {
		return droppedOversize, false
	}
	switch classify(b) {
	case kindMalformed:
		return droppedMalformed, false
	case kindRequest:
		if a == nil && !f.gate.allow(sourceOf(c.addr.Addr()), f.now()) {
			return droppedRate, false
		}
	default:
		if a == nil {
			return droppedUnsolicited, false
		}
	}
	return "", true
}

// WriteTo sends to a client.
func (f *front) WriteTo(p []byte, to net.Addr) (int, error) {
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	dst := udp.AddrPort()
	data := relayed(p)
	if !data {
		p = f.answer(p, client{overUDP, canonical(dst)})
	}
	n, err := f.WriteToUDPAddrPort(p, dst)
	if err == nil && data {
		f.metrics.toClient.add(n)
	}
	return n, err
}

// answer is what to send to c instead of the library's answer p.
func (f *front) answer(p []byte, c client) []byte {
	if a := f.table.client(c); a != nil {
		return challenge(mendChannelBind(p, a.key), a.realm)
	}
	return challenge(p, f.realms.current(c))
}
