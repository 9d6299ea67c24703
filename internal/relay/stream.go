package relay

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	streamIdle  = 30 * time.Second // without an allocation
	streamWrite = 10 * time.Second
	errorPause  = 50 * time.Millisecond
)

// listener accepts the TCP connections of clients, as many as the limits allow.
type listener struct {
	net.Listener
	limits  Limits
	table   *table
	metrics *metrics
	done    func()          // says that the library's accepting goroutine has ended
	stop    <-chan struct{} // closed when Run ends
	streams sync.WaitGroup  // the library's goroutines, one a stream

	mu      sync.Mutex
	open    map[client]*stream
	sources map[netip.Prefix]int
}

// Accept waits for a connection. It fails never, like front.ReadFrom.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			leave(l.done)
		}
		if err != nil {
			pause(l.stop) // out of file descriptors, or the client is gone already
			continue
		}
		if s := l.admit(conn); s != nil {
			return s, nil
		}
		_ = conn.Close() // it never was ours
	}
}

// pause keeps a loop from spinning on an error that stays.
func pause(stop <-chan struct{}) {
	select {
	case <-time.After(errorPause):
	case <-stop:
	}
}

// admit makes a stream of conn, or returns nil if the limits do not allow it.
func (l *listener) admit(conn net.Conn) *stream {
	c, ok := clientOf(conn.RemoteAddr())
	if !ok {
		return nil
	}
	source := sourceOf(c.addr.Addr())
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.open) >= l.limits.Connections:
		l.metrics.drop(droppedConnections)
		return nil
	case l.sources[source] >= l.limits.ConnectionsPerSource:
		l.metrics.drop(droppedConnectionSource)
		return nil
	case l.open[c] != nil: // the same port again, before the library let go of the old one
		return nil
	}
	s := &stream{Conn: conn, client: c, listener: l, in: bufio.NewReaderSize(conn, maxDatagram)}
	l.open[c] = s
	l.sources[source]++
	l.streams.Add(1)
	return s
}

// stream returns the open stream of c, or nil.
func (l *listener) stream(c client) *stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[c]
}

// abort cuts all streams; the library's goroutines then end.
func (l *listener) abort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.open {
		_ = s.Conn.Close() // only "already closed"
	}
}

// stream is a client's TCP connection, as the library reads and writes it.
type stream struct {
	net.Conn
	client   client
	listener *listener
	in       *bufio.Reader

	mu     sync.Mutex // orders arm with itself
	closed sync.Once
}

// Read returns one whole frame. The library puts partial ones together by recursion, as
// deep as the sender likes, and ends the connection at one longer than p.
func (s *stream) Read(p []byte) (int, error) {
	for {
		s.arm()
		head, err := s.in.Peek(4)
		if err != nil {
			return 0, err
		}
		n, err := frameSize(head)
		if err != nil {
			s.listener.metrics.drop(droppedMalformed)
			return 0, err
		}
		// Without an allocation there is no channel, and waiting for up to 64 KiB of what a
		// web browser, say, takes for HTTP is no use.
		if isChannelData(head[0]) && s.listener.table.client(s.client) == nil {
			s.listener.metrics.drop(droppedUnsolicited)
			return 0, errFrame
		}
		if n+len(noop) < len(p) { // the library drops what fills its buffer
			return s.frame(p, n)
		}
		s.listener.metrics.drop(droppedOversize)
		if _, err := s.in.Discard(n); err != nil {
			return 0, err
		}
	}
}

// noop is a Binding indication (RFC 8489 §3), which the server ignores.
const noop = "\x00\x11\x00\x00\x21\x12\xA4\x42causeway-rel"

// frame reads one of n bytes. The library leaves less than 9 bytes lie until more arrive,
// so that the last few bytes that a client has to say would never be relayed; a frame
// that it ignores pushes them.
func (s *stream) frame(p []byte, n int) (int, error) {
	if _, err := io.ReadFull(s.in, p[:n]); err != nil {
		return 0, err
	}
	if n < 9 {
		n += copy(p[n:], noop)
	}
	return n, nil
}

// arm sets the read deadline: none with a live allocation, whose lifetime is the bound, a
// short one without. Whoever changes that calls it, after the change; evaluating it
// under the lock makes the last call right.
func (s *stream) arm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var deadline time.Time
	if s.listener.table.client(s.client) == nil {
		deadline = time.Now().Add(streamIdle)
	}
	_ = s.SetReadDeadline(deadline) // fails on a closed connection, which needs none
}

// Write sends a frame to the client. One that does not take it is cut, as half a frame
// may have gone; what is relayed to it meanwhile waits in the socket of its allocation,
// and is dropped there by the system when that is full.
func (s *stream) Write(p []byte) (int, error) {
	data := relayed(p)
	if !data {
		if a := s.listener.table.client(s.client); a != nil {
			p = mendChannelBind(p, a.key)
		}
	}
	_ = s.SetWriteDeadline(time.Now().Add(streamWrite)) // if it fails, so does Write
	n, err := s.Conn.Write(p)
	if err != nil {
		_ = s.Conn.Close() // the error to report is that of Write
		return n, err
	}
	if data {
		s.listener.metrics.toClient.add(n)
	}
	return n, nil
}

// Close is the last that the library's goroutine for this connection does.
func (s *stream) Close() error {
	err := s.Conn.Close()
	s.closed.Do(func() {
		l := s.listener
		l.mu.Lock()
		delete(l.open, s.client)
		release(l.sources, sourceOf(s.client.addr.Addr()))
		l.mu.Unlock()
		l.streams.Done()
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
