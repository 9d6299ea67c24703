//go:build !linux || portable

package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// Conn is a UDP socket. At most one goroutine reads it, by Read or in a Poller;
// any number may send, each by a Writer of its own.
type Conn struct {
	*net.UDPConn
	local netip.AddrPort
	dual  bool

	mu     sync.Mutex
	poller *Poller
	source *source
}

// CanShare says whether Options.ReusePort works on this system.
func CanShare() bool { return false }

// Listen opens a socket on addr; port 0 chooses one. Offloads and Pktinfo are left
// off here.
func Listen(addr netip.AddrPort, o Options) (*Conn, error) {
	if o.ReusePort {
		return nil, fmt.Errorf("listen on udp: share an address: %w", errors.ErrUnsupported)
	}
	if !addr.IsValid() {
		return nil, errors.New("listen on udp: invalid address")
	}
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	c := &Conn{dual: addr.Addr().Is6() && addr.Addr().IsUnspecified() && o.DualStack}
	network := "udp4"
	switch {
	case c.dual:
		network = "udp"
	case addr.Addr().Is6():
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("listen on udp: %w", err)
	}
	if o.Buffers > 0 { // as much as the system allows
		_ = conn.SetReadBuffer(o.Buffers)
		_ = conn.SetWriteBuffer(o.Buffers)
	}
	c.UDPConn = conn
	c.local = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	c.local = netip.AddrPortFrom(c.local.Addr().Unmap(), c.local.Port())
	if c.dual {
		c.local = netip.AddrPortFrom(netip.IPv6Unspecified(), c.local.Port())
	}
	return c, nil
}

// LocalAddr is the address that the socket is bound to.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Offload says whether trains can be received and sent.
func (c *Conn) Offload() (gro, gso bool) { return false, false }

// Overflows is not known here.
func (c *Conn) Overflows() (uint32, error) { return 0, errors.ErrUnsupported }

// Close ends the Conn: a Read returns, a Poller forgets it, and what a Writer still
// holds for it is dropped.
func (c *Conn) Close() error {
	err := c.UDPConn.Close()
	c.mu.Lock()
	p := c.poller
	c.mu.Unlock()
	if p != nil {
		p.Remove(c)
	}
	return err
}

// Batch is the memory that packets are read into. One goroutine owns it.
type Batch struct {
	buf    []byte
	packet [1]Packet
	group  [1]Group
}

// NewBatch makes a Batch. Here it takes one datagram, however many slots it has.
func NewBatch(int) *Batch { return &Batch{buf: make([]byte, slotSize)} }

// Damaged returns how many datagrams were discarded as the kernel had cut them.
func (b *Batch) Damaged() uint64 { return 0 }

// Read waits for packets, and returns at least one. The error is net.ErrClosed after
// Close, or one of the system's, after which the Conn is of no use.
func (c *Conn) Read(b *Batch) ([]Packet, error) {
	n, from, err := c.read(b.buf)
	if err != nil {
		return nil, err
	}
	b.packet[0] = Packet{Data: b.buf[:n:n], Addr: from}
	return b.packet[:], nil
}

// patience is how many errors in a row are taken for those of single destinations.
const patience = 1000

func (c *Conn) read(buf []byte) (int, netip.AddrPort, error) {
	for failures := 0; ; failures++ {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), nil
		case errors.Is(err, net.ErrClosed):
			return 0, netip.AddrPort{}, net.ErrClosed
		case failures == patience: // what ICMP says of one peer does not come for ever
			return 0, netip.AddrPort{}, err
		}
	}
}

// Writer collects datagrams and sends them. One goroutine owns it; the Conns that
// it sends from may be shared. Here each leaves at once.
type Writer struct {
	buf   []byte
	sent  int
	err   error
	drops [Drops]uint64
}

// NewWriter makes a Writer.
func NewWriter() *Writer { return &Writer{buf: make([]byte, 0, slotSize)} }

// Send adds the datagram head|body, from c to to; head may be nil. Both must stay as
// they are until Flush. from is not used here.
func (w *Writer) Send(c *Conn, to netip.AddrPort, _ netip.Addr, head, body []byte) {
	ip := to.Addr().Unmap()
	if !ip.IsValid() || ip.Is6() != c.local.Addr().Is6() && !c.dual {
		w.drop(DropFamily, ErrFamily)
		return
	}
	if len(head)+len(body) > maxTrain {
		w.drop(DropTooBig, errors.New("datagram too big"))
		return
	}
	data := body
	if len(head) > 0 {
		w.buf = append(append(w.buf[:0], head...), body...)
		data = w.buf
	}
	_, err := c.WriteToUDPAddrPort(data, netip.AddrPortFrom(ip, to.Port()))
	switch {
	case err == nil:
		w.sent++
	case errors.Is(err, net.ErrClosed):
		w.drop(DropClosed, net.ErrClosed)
	default:
		w.drop(DropOther, err)
	}
}

func (w *Writer) drop(why Drop, err error) {
	w.drops[why]++
	w.err = err
}

// Flush returns how many datagrams the kernel has taken since the last Flush. The
// error is that of one that was dropped, if there are any: Dropped has them all.
func (w *Writer) Flush() (sent int, err error) {
	sent, err = w.sent, w.err
	w.sent, w.err = 0, nil
	return sent, err
}

// Dropped returns how many datagrams this Writer has dropped so far, by reason.
func (w *Writer) Dropped() [Drops]uint64 { return w.drops }
