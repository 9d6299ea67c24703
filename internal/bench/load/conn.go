//go:build linux

package load

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Conn is one connection of a Loop.
type Conn struct {
	// Index in the order of opening, from 0 for each call of Open.
	Index int
	// ID is the name by which other connections address this one; the dialect
	// sets it during Setup.
	ID string

	dialect Dialect
	step    uint8  // of Setup; belongs to the dialect, as do the next two
	token   string // access token
	link    string // connection token
	fd      int
	open    bool
	waits   bool   // epoll tells when the socket takes more
	busy    bool   // waits for an answer, in a dialect that has them
	rest    []byte // input that is not a whole message yet
	out     []byte // output that the socket did not take
	last    int64  // Loop.now when something was last sent
	err     error  // why it ended
}

// Err is why the connection ended; nil if it has not.
func (c *Conn) Err() error { return c.err }

// perSource is how many connections come from one loopback address. It stays
// below the limit per address that causeway has by default (200).
const perSource = 180

// maxOut is how much a connection may leave unread of what is sent to it before
// it counts as failed.
const maxOut = 4 << 20

// source is the address that the connection with this index comes from.
func source(index int) [4]byte {
	n := index/perSource + 2
	return [4]byte{127, 0, byte(n >> 8), byte(n)}
}

// connect opens a socket to addr, without waiting for it.
func (l *Loop) connect(c *Conn) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	c.fd, c.waits = fd, true
	// The port is chosen at connect, so that it need be free for this destination only.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source(c.Index)}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(l.addr.Port()), Addr: l.addr.Addr().As4()})
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect: %w", err)
	}
	for len(l.byFD) <= fd {
		l.byFD = append(l.byFD, nil)
	}
	l.byFD[fd] = c
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT, Fd: int32(fd)}
	if err := unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// hangUp closes c's socket, if it has one.
func (l *Loop) hangUp(c *Conn) {
	if c.fd < 0 {
		return
	}
	l.byFD[c.fd] = nil
	_ = unix.Close(c.fd) // also leaves epoll; nothing is to be done about an error
	c.fd, c.rest, c.out, c.waits = -1, nil, nil, false
}

// fail ends c for good.
func (l *Loop) fail(c *Conn, err error) {
	if c.err != nil {
		return
	}
	c.err = err
	if c.open {
		l.alive--
		l.Failed++
	}
	if l.firstErr == nil {
		l.firstErr = fmt.Errorf("connection %d: %w", c.Index, err)
	}
	c.open = false
	l.hangUp(c)
}

// write sends b, or keeps what the socket does not take. b is not kept.
func (l *Loop) write(c *Conn, b []byte) {
	if c.fd < 0 {
		return
	}
	c.last = l.now
	if len(c.out) == 0 {
		n, err := unix.Write(c.fd, b)
		switch {
		case n == len(b):
			return
		case n > 0:
			b = b[n:]
		case err != nil && !errors.Is(err, unix.EAGAIN):
			l.fail(c, fmt.Errorf("write: %w", err))
			return
		}
	}
	if len(c.out)+len(b) > maxOut {
		l.fail(c, errors.New("the server does not read"))
		return
	}
	c.out = append(c.out, b...)
	l.watch(c, true)
}

// watch asks to be told when c's socket takes more, or not any more.
func (l *Loop) watch(c *Conn, out bool) {
	if c.waits == out {
		return
	}
	c.waits = out
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)}
	if out {
		ev.Events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(l.ep, unix.EPOLL_CTL_MOD, c.fd, &ev); err != nil {
		l.fail(c, fmt.Errorf("epoll: %w", err))
	}
}

// writable goes on with what the socket did not take before. The first time it
// is called the socket has connected, or failed to.
func (l *Loop) writable(c *Conn) {
	if len(c.out) > 0 {
		n, err := unix.Write(c.fd, c.out)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			l.fail(c, fmt.Errorf("write: %w", err))
			return
		}
		c.out = c.out[max(n, 0):]
		if len(c.out) > 0 {
			return
		}
		c.out = nil
	}
	l.watch(c, false)
}

// loopback says whether addr may be driven.
func loopback(addr netip.AddrPort) bool {
	return addr.Addr().Is4() && addr.Addr().IsLoopback() && addr.Port() != 0
}
