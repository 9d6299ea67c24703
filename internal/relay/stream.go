package relay

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"causeway/internal/relay/wire"

	"golang.org/x/sync/errgroup"
)

const (
	streamIdle   = 30 * time.Second // without an allocation
	streamWrite  = 10 * time.Second
	streamBuffer = 8 << 10   // bytes read at once
	outbox       = 128 << 10 // bytes that wait for a client
)

// attached is a listener, and what its connections are.
type attached struct {
	net.Listener
	transport transport
}

// streams are the TCP and TLS connections of clients, as many as the limits allow.
type streams struct {
	s         *Server
	tally     *tally
	listeners []attached

	mu      sync.Mutex
	stopped bool
	open    map[*stream]struct{}
	sources map[netip.Prefix]int
}

func newStreams(s *Server) *streams {
	return &streams{s: s, tally: s.metrics.tally(), open: make(map[*stream]struct{}), sources: make(map[netip.Prefix]int)}
}

func (l *streams) attach(n net.Listener, t transport) {
	l.listeners = append(l.listeners, attached{n, t})
}

func (l *streams) closeListeners() error {
	var errs []error
	for _, n := range l.listeners {
		errs = append(errs, n.Close())
	}
	return errors.Join(errs...)
}

// accept serves the connections of one listener, each by two goroutines of g.
func (l *streams) accept(ctx context.Context, g *errgroup.Group, n attached) error {
	for {
		conn, err := n.Accept()
		if errors.Is(err, net.ErrClosed) || err != nil && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			pause(ctx) // out of file descriptors, or the client is gone already
			continue
		}
		st := l.admit(conn, n.transport)
		if st == nil {
			_ = conn.Close() // it never was ours
			continue
		}
		g.Go(func() error {
			defer st.close()
			st.read()
			return nil
		})
		g.Go(func() error {
			st.write()
			return nil
		})
	}
}

// admit makes a stream of conn, or returns nil if the limits do not allow it.
func (l *streams) admit(conn net.Conn, t transport) *stream {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return nil
	}
	addr := canonical(tcp.AddrPort())
	source := sourceOf(addr.Addr())
	l.mu.Lock()
	defer l.mu.Unlock()
	limits := &l.s.cfg.Limits
	switch {
	case l.stopped:
		return nil
	case len(l.open) >= limits.Connections:
		l.tally.drop(droppedConnections)
		return nil
	case l.sources[source] >= limits.ConnectionsPerSource:
		l.tally.drop(droppedConnectionSource)
		return nil
	}
	st := &stream{owner: l, conn: conn, source: source, wake: make(chan struct{}, 1)}
	st.client = client{transport: t, addr: addr, stream: st}
	l.open[st] = struct{}{}
	l.sources[source]++
	return st
}

// stop cuts all streams, and lets no new one in.
func (l *streams) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	for st := range l.open {
		st.cut()
	}
}

// stream is one connection of a client. One goroutine reads it, and one writes.
type stream struct {
	owner      *streams
	conn       net.Conn
	client     client
	source     netip.Prefix
	allocation atomic.Pointer[allocation]
	arming     sync.Mutex // orders arm with itself

	mu     sync.Mutex
	out    []byte // what is to be written; at most outbox bytes, and one frame
	closed bool
	wake   chan struct{}
}

// read handles frames until the connection ends, or what comes is none.
func (st *stream) read() {
	in := bufio.NewReaderSize(st.conn, streamBuffer)
	for {
		st.arm()
		head, err := in.Peek(wire.ChannelHeader)
		if err != nil {
			return
		}
		n, err := wire.FrameSize(head)
		if err != nil {
			st.owner.tally.drop(droppedMalformed)
			return
		}
		// Without an allocation there is no channel, and waiting for up to 64 KiB of what a
		// web browser, say, takes for HTTP is no use.
		if wire.IsChannelData(head[0]) && st.allocation.Load() == nil {
			st.owner.tally.drop(droppedUnsolicited)
			return
		}
		if n > wire.MaxDatagram {
			st.owner.tally.drop(droppedOversize)
			_, err = in.Discard(n)
		} else if _, err = in.Peek(n); err == nil {
			err = st.handle(in)
		}
		if err != nil {
			return
		}
	}
}

// handle deals with the frames that are whole in the buffer, of which there is at least
// one.
func (st *stream) handle(in *bufio.Reader) error {
	s := st.owner.s
	w := <-s.workers // held for moments: nothing in between waits for anybody
	defer func() { s.workers <- w }()
	w.begin()
	b, _ := in.Peek(in.Buffered()) // cannot fail
	used := 0
	for len(b)-used >= wire.ChannelHeader {
		frame := b[used:]
		n, err := wire.FrameSize(frame)
		if err != nil || n > wire.MaxDatagram || n > len(frame) {
			break // read sees to it
		}
		w.fromAny(st.client, frame[:n], st.allocation.Load())
		used += n
	}
	w.flush()
	_, err := in.Discard(used)
	return err
}

// arm sets the read deadline: none with a live allocation, whose lifetime is the bound, a
// short one without. Whoever changes that calls it, after the change; evaluating it
// under the lock makes the last call right.
func (st *stream) arm() {
	st.arming.Lock()
	defer st.arming.Unlock()
	var deadline time.Time
	if st.allocation.Load() == nil {
		deadline = time.Now().Add(streamIdle)
	}
	_ = st.conn.SetReadDeadline(deadline) // fails on a closed connection, which needs none
}

// send queues one frame of two parts, padded as RFC 8656 §12.5 wants it; false if the
// client does not take what waits for it already.
func (st *stream) send(head, body []byte) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed || len(st.out) >= outbox {
		return false
	}
	st.out = append(append(st.out, head...), body...)
	for i := len(head) + len(body); i%4 != 0; i++ {
		st.out = append(st.out, 0)
	}
	st.wakeUp()
	return true
}

func (st *stream) wakeUp() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// write sends what waits until the stream is closed. A client that takes nothing for
// streamWrite is cut, as half a frame may have gone.
func (st *stream) write() {
	var spare []byte
	for range st.wake {
		st.mu.Lock()
		b, closed := st.out, st.closed
		st.out = spare[:0]
		st.mu.Unlock()
		if closed {
			return
		}
		if len(b) == 0 {
			spare = b
			continue
		}
		_ = st.conn.SetWriteDeadline(time.Now().Add(streamWrite)) // if it fails, so does Write
		if _, err := st.conn.Write(b); err != nil {
			st.cut()
		}
		if spare = b; cap(spare) > 2*streamBuffer { // an idle client costs little
			spare = nil
		}
	}
}

// cut ends the connection; read then closes the stream.
func (st *stream) cut() {
	// Closing a TLS connection would wait for its peer to take the farewell.
	if c, ok := st.conn.(interface{ NetConn() net.Conn }); ok {
		_ = c.NetConn().Close() // only "already closed"
		return
	}
	_ = st.conn.Close()
}

// close ends the stream, and the allocation that was made over it.
func (st *stream) close() {
	_ = st.conn.Close() // only "already closed"
	st.mu.Lock()
	st.closed = true
	st.out = nil
	st.wakeUp()
	st.mu.Unlock()
	l := st.owner
	if a := st.allocation.Load(); a != nil {
		l.s.drop(a)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, st)
	if l.sources[st.source]--; l.sources[st.source] <= 0 {
		delete(l.sources, st.source)
	}
}
