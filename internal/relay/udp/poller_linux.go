//go:build linux && !portable

package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// perConn is how many slots a Poller gives one Conn at a time, so that a busy one
// leaves some to the others. Each may hold a train.
const perConn = 8

// Poller reads many Conns in one goroutine, with epoll(7). Add, Remove, Wake and
// Close may be called from any.
type Poller struct {
	epoll, event int // descriptors

	mu     sync.Mutex
	closed bool
	slots  []pollSlot
	free   []uint32
	busy   bool // Wait is in the kernel; who closes then leaves the descriptors to it
}

// pollSlot is an entry of the Poller's table. The generation tells a Conn from the
// one before it in the same slot, of which an event may still be under way.
type pollSlot struct {
	conn       *Conn
	token      any
	generation uint32
}

// wakeSlot is the slot of the descriptor that wakes Wait.
const wakeSlot = 1<<32 - 1

// NewPoller makes a Poller. Close ends it.
func NewPoller() (*Poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make poller: %w", os.NewSyscallError("epoll_create1", err))
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make poller: %w", errors.Join(os.NewSyscallError("eventfd", err), unix.Close(epoll)))
	}
	p := &Poller{epoll: epoll, event: event}
	if err := p.control(unix.EPOLL_CTL_ADD, event, wakeSlot, 0); err != nil {
		return nil, fmt.Errorf("make poller: %w", errors.Join(err, unix.Close(epoll), unix.Close(event)))
	}
	return p, nil
}

func (p *Poller) control(op, fd int, slot, generation uint32) error {
	// EpollEvent.Fd and Pad together are the 64 bits that the kernel hands back.
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(slot), Pad: int32(generation)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epoll, op, fd, &e))
}

// Add begins to read c, which nobody else may read now. Wait hands token out with
// its packets.
func (p *Poller) Add(c *Conn, token any) error {
	if !c.acquire() {
		return fmt.Errorf("add to poller: %w", net.ErrClosed)
	}
	defer c.release()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("add to poller: %w", net.ErrClosed)
	}
	if !c.poller.CompareAndSwap(nil, p) {
		return errors.New("add to poller: a poller reads it already")
	}
	var slot uint32
	if n := len(p.free); n > 0 {
		slot, p.free = p.free[n-1], p.free[:n-1]
	} else {
		slot = uint32(len(p.slots))
		p.slots = append(p.slots, pollSlot{})
	}
	s := &p.slots[slot]
	s.conn, s.token, c.slot = c, token, slot
	if err := p.control(unix.EPOLL_CTL_ADD, c.fd, slot, s.generation); err != nil {
		p.forget(c)
		return fmt.Errorf("add to poller: %w", err)
	}
	if c.use.Load()&closing != 0 { // Close came between, and may not have seen the poller
		p.drop(c)
		return fmt.Errorf("add to poller: %w", net.ErrClosed)
	}
	return nil
}

// Remove stops reading c. A Wait at the same time may return it once more, later
// ones don't. Closing a Conn removes it.
func (p *Poller) Remove(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.poller.Load() == p { // which Close undoes
		p.drop(c)
	}
}

// drop takes c out. The caller holds the lock.
func (p *Poller) drop(c *Conn) {
	// It can only fail for a descriptor that is not there.
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
	p.forget(c)
}

// forget empties c's slot. The caller holds the lock.
func (p *Poller) forget(c *Conn) {
	s := &p.slots[c.slot]
	*s = pollSlot{generation: s.generation + 1}
	p.free = append(p.free, c.slot)
	c.poller.Store(nil)
}

// Wake makes a Wait return, without packets if there are none.
func (p *Poller) Wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.wake()
	}
}

// wake is Wake for who holds the lock.
func (p *Poller) wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(p.event, one[:]) // EAGAIN: it is awake already
}

// Close ends the Poller: Wait returns net.ErrClosed. The Conns stay open.
func (p *Poller) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.wake()
	p.closed = true
	for _, s := range p.slots {
		if s.conn != nil {
			_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, s.conn.fd, nil)
			s.conn.poller.Store(nil)
		}
	}
	p.slots, p.free = nil, nil
	if p.busy {
		return nil
	}
	return p.closeFDs()
}

func (p *Poller) closeFDs() error {
	return errors.Join(unix.Close(p.epoll), unix.Close(p.event))
}

// Wait waits until a Conn has packets, and returns those of as many Conns as b has
// slots for, each Conn once. None at all means that Wake was called, or that what
// came was nothing. One goroutine calls it. The error is net.ErrClosed after Close.
func (p *Poller) Wait(b *Batch) ([]Group, error) {
	b.groups, b.packets = b.groups[:0], b.packets[:0]
	n, err := p.wait(b)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	for _, e := range b.events[:n] {
		slot := uint32(e.Fd)
		if slot == wakeSlot {
			var count [8]byte
			_, _ = unix.Read(p.event, count[:])
			continue
		}
		// Hold the Conn, so that it can be read without the lock.
		if int(slot) < len(p.slots) {
			if s := &p.slots[slot]; s.conn != nil && s.generation == uint32(e.Pad) && s.conn.acquire() {
				b.groups = append(b.groups, Group{Token: s.token, Conn: s.conn})
			}
		}
	}
	p.mu.Unlock()
	b.fill()
	return b.groups, nil
}

// wait returns the number of events in b.
func (p *Poller) wait(b *Batch) (int, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return 0, net.ErrClosed
	}
	p.busy = true
	p.mu.Unlock()
	n, err := unix.EpollWait(p.epoll, b.events, -1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = false
	switch {
	case p.closed:
		return 0, errors.Join(net.ErrClosed, p.closeFDs())
	case err == unix.EINTR:
		return 0, nil
	case err != nil:
		return 0, os.NewSyscallError("epoll_wait", err)
	}
	return n, nil
}

// fill reads b's groups, and drops those that have nothing.
func (b *Batch) fill() {
	kept, next := 0, 0
	for i := range b.groups {
		g := b.groups[i]
		// Leave a slot for each of the Conns that follow: there are as many as events.
		most := min(perConn, len(b.msgs)-next-(len(b.groups)-1-i))
		n, _ := b.receive(g.Conn, next, most, unix.MSG_DONTWAIT) // an error is about one datagram, or will be back
		from := len(b.packets)
		b.unpack(g.Conn, next, n)
		g.Conn.release()
		next += n
		if len(b.packets) > from {
			g.Packets = b.packets[from:len(b.packets):len(b.packets)]
			b.groups[kept] = g
			kept++
		}
	}
	b.groups = b.groups[:kept]
}
