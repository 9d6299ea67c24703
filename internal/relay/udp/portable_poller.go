//go:build !linux || portable

package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Poller reads many Conns: here by a goroutine for each, which ends when the Conn
// is removed or closed, or with the Poller.
type Poller struct {
	arrived chan arrival
	wake    chan struct{}
	done    chan struct{}

	mu      sync.Mutex
	closed  bool
	sources map[*source]struct{}
	running sync.WaitGroup
}

// source is a Conn that is being read.
type source struct {
	conn   *Conn
	token  any
	done   chan struct{} // closed by Remove
	ended  chan struct{}
	copied chan struct{}
}

// arrival is a packet in the memory of its source, which waits until it is copied.
type arrival struct {
	from *source
	data []byte
	addr netip.AddrPort
}

// NewPoller makes a Poller. Close ends it.
func NewPoller() (*Poller, error) {
	return &Poller{arrived: make(chan arrival), wake: make(chan struct{}, 1), done: make(chan struct{}), sources: map[*source]struct{}{}}, nil
}

// Add begins to read c, which nobody else may read now. Wait hands token out with
// its packets.
func (p *Poller) Add(c *Conn, token any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.closed {
		return fmt.Errorf("add to poller: %w", net.ErrClosed)
	}
	if c.poller != nil {
		return errors.New("add to poller: a poller reads it already")
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil { // it has been closed
		return fmt.Errorf("add to poller: %w", err)
	}
	s := &source{conn: c, token: token, done: make(chan struct{}), ended: make(chan struct{}), copied: make(chan struct{})}
	c.poller, c.source = p, s
	p.sources[s] = struct{}{}
	p.running.Add(1)
	go func() {
		defer p.running.Done()
		defer close(s.ended)
		p.read(s)
	}()
	return nil
}

func (p *Poller) read(s *source) {
	buf := make([]byte, slotSize)
	for {
		n, addr, err := s.conn.read(buf)
		if err != nil {
			return
		}
		select {
		case p.arrived <- arrival{s, buf[:n], addr}:
			<-s.copied
		case <-s.done:
			return
		case <-p.done:
			return
		}
	}
}

// Remove stops reading c. A Wait at the same time may return it once more, later
// ones don't. Closing a Conn removes it.
func (p *Poller) Remove(c *Conn) {
	c.mu.Lock()
	s := c.source
	if c.poller != p {
		c.mu.Unlock()
		return
	}
	c.poller, c.source = nil, nil
	c.mu.Unlock()
	p.mu.Lock()
	delete(p.sources, s)
	p.mu.Unlock()
	s.stop()
}

// stop ends the goroutine of a source. Wait may be handing on what it has read.
func (s *source) stop() {
	close(s.done)
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // wakes it; a closed one needs no waking
	<-s.ended
	_ = s.conn.SetReadDeadline(time.Time{})
}

// Wake makes a Wait return, without packets if there are none.
func (p *Poller) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Close ends the Poller and its goroutines: Wait returns net.ErrClosed. The Conns
// stay open.
func (p *Poller) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return net.ErrClosed
	}
	p.closed = true
	close(p.done)
	all := p.sources
	p.sources = nil
	p.mu.Unlock()
	for s := range all {
		s.conn.mu.Lock()
		mine := s.conn.source == s
		if mine {
			s.conn.poller, s.conn.source = nil, nil
		}
		s.conn.mu.Unlock()
		if mine {
			s.stop()
		}
	}
	p.running.Wait()
	return nil
}

// Wait waits until a Conn has packets, and returns those of one. None at all means
// that Wake was called. One goroutine calls it. The error is net.ErrClosed after
// Close.
func (p *Poller) Wait(b *Batch) ([]Group, error) {
	select {
	case <-p.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case a := <-p.arrived:
		n := copy(b.buf, a.data)
		b.packet[0] = Packet{Data: b.buf[:n:n], Addr: a.addr}
		b.group[0] = Group{Token: a.from.token, Conn: a.from.conn, Packets: b.packet[:]}
		a.from.copied <- struct{}{}
		return b.group[:], nil
	case <-p.wake:
		return nil, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
