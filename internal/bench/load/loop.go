//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Dialect is what is spoken over a connection. Its methods are called by the
// loop's goroutine only.
type Dialect interface {
	// Setup brings c from a connected socket to the point where messages flow. It is
	// called with empty input once the socket has connected, and then whenever bytes
	// come, until it calls opened. It returns how much of the input it has used.
	Setup(l *Loop, c *Conn, in []byte) (used int, err error)
	// Next cuts the first unit from the input; size is 0 if it is not whole yet.
	// message is empty for units that carry none. reply is sent if not empty.
	Next(c *Conn, in []byte) (message []byte, size int, reply []byte, err error)
	// Append appends the bytes that make from say kind: to the connection, the
	// group or nobody in particular, with a payload of printable ASCII.
	Append(dst []byte, from *Conn, kind Kind, to *Conn, payload []byte) []byte
	// KeepAlive is what a connection sends that has been silent for 15 s; may be empty.
	KeepAlive() []byte
}

// Kind is what a message asks of the server.
type Kind uint8

// The kinds of messages. Not every dialect has all of them.
const (
	Echo      Kind = iota // back to the sender
	Send                  // to one connection
	Join                  // put the sender into its group
	Group                 // to the group of the sender: ten connections
	Broadcast             // to all connections
)

// GroupSize is the number of connections of a group: those whose Index is the
// same after division by it.
const GroupSize = 10

// Loop drives connections. All its methods are called by one goroutine, and only
// while one of them runs anything happens.
type Loop struct {
	// Failed counts connections that ended after they were open.
	Failed int

	addr     netip.AddrPort
	ep       int
	start    time.Time
	now      int64 // nanoseconds since start; read once a round
	swept    int64
	sweepAt  int
	conns    []*Conn
	byFD     []*Conn
	alive    int
	firstErr error
	buf      []byte // input
	scratch  []byte // output
	events   []unix.EpollEvent
	// received is told of every message with a stamp.
	received func(c *Conn, due int64)
}

// New makes a loop for the server at addr, which is on a loopback address.
// Close it after use.
func New(addr netip.AddrPort) (*Loop, error) {
	if !loopback(addr) {
		return nil, errors.New("a server to be driven listens on a 127.x.x.x address")
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &Loop{
		addr: addr, ep: ep, start: time.Now(),
		buf: make([]byte, 256<<10), events: make([]unix.EpollEvent, 256),
		received: func(*Conn, int64) {},
	}, nil
}

// Close ends all connections.
func (l *Loop) Close() {
	for _, c := range l.conns {
		l.hangUp(c)
	}
	l.conns, l.alive = nil, 0
	_ = unix.Close(l.ep)
}

// Open opens n connections that speak d, at most parallel at a time, and returns
// when all are open.
func (l *Loop) Open(ctx context.Context, d Dialect, n, parallel int) ([]*Conn, error) {
	first, before := len(l.conns), l.alive
	started := 0
	progress := time.Now()
	for done := 0; l.alive-before < n; {
		for started < n && started-(l.alive-before) < parallel {
			c := &Conn{Index: started, dialect: d, fd: -1}
			l.conns = append(l.conns, c)
			started++
			if err := l.connect(c); err != nil {
				return nil, fmt.Errorf("connection %d: %w", c.Index, err)
			}
		}
		if err := l.round(ctx); err != nil {
			return nil, err
		}
		if l.firstErr != nil {
			return nil, l.firstErr
		}
		if l.alive != done {
			done, progress = l.alive, time.Now()
		} else if time.Since(progress) > 15*time.Second {
			return nil, fmt.Errorf("no connection opened for 15 s; %d of %d are open", l.alive-before, n)
		}
	}
	return l.conns[first:], nil
}

// Wait keeps the connections going for d.
func (l *Loop) Wait(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := l.round(ctx); err != nil {
			return err
		}
	}
	return nil
}

// opened is called by a dialect's Setup when messages can flow.
func (l *Loop) opened(c *Conn) {
	c.open = true
	l.alive++
}

// again is called by a dialect's Setup to go on with a new socket.
func (l *Loop) again(c *Conn) error {
	l.hangUp(c)
	return l.connect(c)
}

// round handles what has come, waiting for it for at most a millisecond.
func (l *Loop) round(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n, err := unix.EpollWait(l.ep, l.events, 1)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("epoll: %w", err)
	}
	l.now = int64(time.Since(l.start))
	for _, ev := range l.events[:max(n, 0)] {
		c := l.byFD[ev.Fd]
		if c == nil {
			continue // closed in this round
		}
		if ev.Events&unix.EPOLLOUT != 0 && c.waits {
			l.writable(c)
			if !c.open && c.fd >= 0 {
				l.setup(c, nil)
				continue
			}
		}
		if ev.Events&^unix.EPOLLOUT != 0 && c.fd >= 0 {
			l.readable(c)
		}
	}
	l.sweep()
	return nil
}

// readable reads once and handles what has come.
func (l *Loop) readable(c *Conn) {
	have := copy(l.buf, c.rest)
	n, err := unix.Read(c.fd, l.buf[have:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err != nil:
		l.fail(c, fmt.Errorf("read: %w", err))
		return
	case n == 0:
		l.fail(c, errors.New("the server closed the connection"))
		return
	}
	c.rest = c.rest[:0]
	in := l.buf[:have+n]
	if !c.open {
		in = l.setup(c, in)
	}
	for len(in) > 0 && c.open {
		message, size, reply, err := c.dialect.Next(c, in)
		if err != nil {
			l.fail(c, err)
			return
		}
		if size == 0 {
			break
		}
		if len(reply) > 0 {
			l.write(c, reply)
		}
		in = in[size:]
		l.stamps(c, message)
	}
	if len(in) == len(l.buf) {
		l.fail(c, errors.New("a message is longer than the driver's buffer"))
		return
	}
	if len(in) > 0 {
		c.rest = append(c.rest, in...)
	} else if cap(c.rest) > 64<<10 {
		c.rest = nil
	}
}

// setup goes on setting up c, and returns what it has not used.
func (l *Loop) setup(c *Conn, in []byte) []byte {
	for {
		used, err := c.dialect.Setup(l, c, in)
		if err != nil {
			l.fail(c, err)
			return nil
		}
		in = in[used:]
		if used == 0 || len(in) == 0 || c.open {
			return in
		}
	}
}

// silence is how long a connection says nothing before it must.
const silence = 15 * time.Second

// sweep looks after connections that have been silent: each 100 ms at one of 150
// parts of them, so that each is looked at every 15 s, and a part does not wait
// for the others.
func (l *Loop) sweep() {
	const parts = 150
	if l.now-l.swept < int64(silence)/parts || len(l.conns) == 0 {
		return
	}
	l.swept = l.now
	for range len(l.conns)/parts + 1 {
		l.sweepAt = (l.sweepAt + 1) % len(l.conns)
		c := l.conns[l.sweepAt]
		// Half of it, as the next look is that much later.
		if c.open && l.now-c.last > int64(silence)/2 {
			if b := c.dialect.KeepAlive(); len(b) > 0 {
				l.write(c, b)
			}
		}
	}
}

// say makes from send n messages, in one write, that were due at the given time.
func (l *Loop) say(from *Conn, kind Kind, to *Conn, payload []byte, due int64, n int) {
	stamp(payload, due)
	l.scratch = l.scratch[:0]
	for range n {
		l.scratch = from.dialect.Append(l.scratch, from, kind, to, payload)
	}
	l.write(from, l.scratch)
}

// Err is why the first connection ended that should not have; nil if none has.
func (l *Loop) Err() error { return l.firstErr }
