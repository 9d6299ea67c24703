package hub

import (
	"bufio"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"causeway/internal/loop"
	"causeway/internal/realtime/hub/frame"

	"github.com/gobwas/ws"
)

// readSize is the size of the buffers of goroutines that read, and batchSize about
// how much is written at once.
const (
	readSize  = 16 << 10
	batchSize = 64 << 10
)

var (
	readPool  = sync.Pool{New: func() any { return new([readSize]byte) }}
	batchPool = sync.Pool{New: func() any { b := make([]byte, 0, batchSize); return &b }}
)

// wsLink is a WebSocket. WebSocket messages are a byte stream to us: several hub
// messages may come in one, and one in several frames (§2.2).
//
// A TCP connection is read by one of the hub's loops. Others, which are TLS, and all
// where there are no loops, have a goroutine each to read them, and one while the
// client is too slow to be written to at once.
type wsLink struct {
	c    *conn
	sock *loop.Socket // read by a loop
	nc   net.Conn     // else; both are nil until open, and written under c.mu
	in   wsReader
	out  wsWriter
	// stalled is the tick since when the client has not taken out.data; 0 is never.
	stalled atomic.Uint32
	// aborted, under c.mu, says to close the connection as soon as there is one.
	aborted bool
}

// wsReader belongs to whoever reads.
type wsReader struct {
	rest  []byte // the beginning of a frame's header, or of a control frame
	left  int64  // bytes of the current data frame that have not come
	mask  [4]byte
	pos   int // in the mask
	inMsg bool
	deaf  bool // the client sent nonsense; wait for it to leave
}

// wsWriter belongs to whoever owns the writes.
type wsWriter struct {
	data  []byte  // to be written
	batch *[]byte // holds data, if it was put together
	last  bool    // data is the end of our half
}

// taker is a connection that a loop reads already (package front).
type taker interface {
	Take(loop.Source) *loop.Socket
}

// open gives the link its connection, and what the HTTP server read ahead, and
// begins to read.
func (l *wsLink) open(nc net.Conn, early *bufio.Reader) {
	h := l.c.hub
	if t, ok := nc.(taker); ok {
		l.set(t.Take(l), nil)
		l.begin(early)
		return
	}
	if tcp := plain(nc); tcp != nil {
		if lo := h.loop(); lo != nil {
			if lo.Adopt(tcp, l, func(s *loop.Socket) { l.set(s, nil); l.begin(early) }) != nil {
				l.c.ended(l, ReasonDropped, false)
			}
			return
		}
	}
	l.set(nil, nc)
	if l.begin(early) && !h.spawn(l.read) {
		l.end(ReasonDropped, true)
	}
}

// plain is the TCP connection that nc is; nil if it is more than that.
func plain(nc net.Conn) *net.TCPConn {
	switch nc := nc.(type) {
	case *net.TCPConn:
		return nc
	case interface{ Plain() *net.TCPConn }:
		return nc.Plain()
	}
	return nil
}

func (l *wsLink) set(s *loop.Socket, nc net.Conn) {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.sock, l.nc = s, nc
}

// begin writes what is queued and reads what was read ahead. It says no if the
// transport has ended. The loop does not read yet.
func (l *wsLink) begin(early *bufio.Reader) bool {
	l.c.mu.Lock()
	aborted := l.aborted
	l.c.mu.Unlock()
	if aborted {
		l.abort() // again: now there is something to close
	}
	l.flush() // the writes are ours since attach
	if early.Buffered() == 0 {
		return true
	}
	b, _ := early.Peek(early.Buffered()) // from memory
	if done, r, clean := l.consume(nil, b); done {
		l.end(r, clean)
		return false
	}
	return true
}

// Readable implements loop.Source.
func (l *wsLink) Readable(t *loop.Turn) {
	b := t.Buffer()
	rest := copy(b, l.in.rest)
	n, open := l.sock.Read(b[rest:])
	switch {
	case !open:
		l.end(ReasonDropped, false)
	case n > 0:
		if done, r, clean := l.consume(t, b[:rest+n]); done {
			l.end(r, clean)
		}
	}
}

// Writable implements loop.Source. The writes are ours since push said no.
func (l *wsLink) Writable() {
	if l.push() && !l.finished() {
		l.flush()
	}
}

// read reads a connection that no loop reads, until it ends.
func (l *wsLink) read() {
	first := make([]byte, 32) // between frames there is nothing to keep a large buffer for
	for {
		b := first
		var large *[readSize]byte
		if l.in.left > 0 || len(l.in.rest) > 0 {
			large = readPool.Get().(*[readSize]byte)
			b = large[:]
		}
		rest := copy(b, l.in.rest)
		n, err := l.nc.Read(b[rest:])
		done, r, clean := n == 0 && err != nil, ReasonDropped, false
		if n > 0 {
			done, r, clean = l.consume(nil, b[:rest+n])
		}
		if large != nil {
			readPool.Put(large)
		}
		if done {
			l.end(r, clean)
			return
		}
	}
}

// end ends the link after the reading has.
func (l *wsLink) end(r Reason, clean bool) {
	if r == ReasonClient {
		l.farewell()
	}
	if l.sock != nil {
		l.sock.Close()
	} else {
		_ = l.nc.Close() // nothing is left that could fail
	}
	l.c.ended(l, r, clean)
}

// consume handles the bytes that were read, which begin with in.rest, and keeps
// those of an unfinished frame header or control frame.
func (l *wsLink) consume(t *loop.Turn, b []byte) (done bool, r Reason, clean bool) {
	k := l.c.cork()
	b, done, r, clean = l.split(feeding{l, k, t}, b)
	k.end()
	l.in.rest = append(l.in.rest[:0], b...)
	if len(b) == 0 {
		l.in.rest = nil
	}
	return done, r, clean
}

// split returns the bytes that are to come again, before others.
func (l *wsLink) split(f feeding, b []byte) (rest []byte, done bool, r Reason, clean bool) {
	in := &l.in
	for len(b) > 0 && !in.deaf {
		if in.left > 0 {
			n := int(min(in.left, int64(len(b))))
			ws.Cipher(b[:n], in.mask, in.pos)
			in.pos = (in.pos + n) & 3
			in.left -= int64(n)
			if err := l.c.feed(f, b[:n]); err != nil {
				if errors.Is(err, closeError{ReasonClient}) {
					return nil, true, ReasonClient, true
				}
				// The goodbye is being written; wait for the client to leave.
			}
			b = b[n:]
			continue
		}
		h, size, err := frame.ParseHeader(b)
		if err != nil || size > 0 && !frame.Acceptable(h, in.inMsg) {
			l.c.close(ReasonProtocol, "")
			in.deaf = true
			break
		}
		if size == 0 || h.OpCode.IsControl() && len(b) < size+int(h.Length) {
			return b, false, 0, false
		}
		b = b[size:]
		if h.OpCode.IsControl() {
			payload := b[:h.Length]
			ws.Cipher(payload, h.Mask, 0)
			if h.OpCode == ws.OpClose {
				code := frame.CloseCode(payload)
				return nil, true, ReasonClient, code == ws.StatusNormalClosure
			}
			l.control(h.OpCode, payload)
			b = b[h.Length:]
			continue
		}
		in.inMsg = !h.Fin
		in.left, in.mask, in.pos = h.Length, h.Mask, 0
	}
	return nil, false, 0, false
}

func (l *wsLink) control(op ws.OpCode, payload []byte) {
	l.c.clock.in.Store(l.c.hub.now())
	if op == ws.OpPing {
		l.c.send(frame.Raw(ws.OpPong, payload, false), nil)
	}
}

// flush implements link: it writes what the socket takes at once, and leaves the
// rest to the loop, or to a goroutine.
func (l *wsLink) flush() {
	if l.sock == nil {
		if !l.c.hub.spawn(l.writeAll) {
			l.abort()
		}
		return
	}
	for {
		more, finish := l.gather()
		if !more {
			if !finish {
				return // the writes may already be somebody else's
			}
			l.out.data, l.out.last = closeNormal, true
		}
		if !l.push() || l.finished() {
			return
		}
	}
}

// push writes out.data. It says no if not all is written: then Writable goes on.
func (l *wsLink) push() bool {
	n, err := l.sock.Write(l.out.data)
	l.out.data = l.out.data[n:]
	if err == nil && len(l.out.data) > 0 {
		l.stalled.CompareAndSwap(0, l.c.hub.now())
		if l.sock.Await(true) {
			return false // and out may be Writable's already
		}
		err = net.ErrClosed
	}
	l.stalled.Store(0)
	l.scatter()
	if err != nil {
		l.abort()
		return false
	}
	return true
}

// finished ends our half of the connection if all is written (RFC 6455 §7.1.1: the
// server closes first). The client's half is still read, and the sweep waits for both.
func (l *wsLink) finished() bool {
	if l.out.last {
		l.sock.CloseWrite()
	}
	return l.out.last
}

// gather takes the next batch from the outbox into out.data. If there is none,
// and nothing to finish, the writes may already be somebody else's.
func (l *wsLink) gather() (more, finish bool) {
	var frames [16]*frame.Frame
	n, finish := l.c.take(l, frames[:], batchSize)
	switch {
	case n == 1:
		l.out.data = frames[0].Wire
	case n > 1:
		l.out.batch = batchPool.Get().(*[]byte)
		b := (*l.out.batch)[:0]
		for _, f := range frames[:n] {
			b = append(b, f.Wire...)
		}
		*l.out.batch, l.out.data = b, b
	}
	return n > 0, finish
}

// scatter gives the batch back.
func (l *wsLink) scatter() {
	l.out.data = nil
	if l.out.batch != nil {
		if cap(*l.out.batch) <= 2*batchSize {
			batchPool.Put(l.out.batch)
		}
		l.out.batch = nil
	}
}

// writeAll writes what is queued, waiting for the client where it must, but not for
// longer than Timing.Write at a time.
func (l *wsLink) writeAll() {
	for {
		more, finish := l.gather()
		if !more {
			if finish {
				l.goodbye()
			}
			return
		}
		for len(l.out.data) > 0 {
			_ = l.nc.SetWriteDeadline(time.Now().Add(l.c.hub.cfg.Timing.Write)) // fails only with the write
			n, err := l.nc.Write(l.out.data)
			l.out.data = l.out.data[n:]
			if err != nil {
				l.scatter()
				if errors.Is(err, os.ErrDeadlineExceeded) {
					l.c.close(ReasonSlowClient, "")
				}
				l.abort()
				return
			}
		}
		_ = l.nc.SetWriteDeadline(time.Time{}) // whoever writes next may not set one
		l.scatter()
	}
}

var closeNormal = ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))

// goodbye is finished for a connection that no loop reads.
func (l *wsLink) goodbye() {
	_ = l.nc.SetWriteDeadline(time.Now().Add(l.c.hub.cfg.Timing.Write))
	_, err := l.nc.Write(closeNormal)
	if half, ok := l.nc.(interface{ CloseWrite() error }); ok && err == nil {
		err = half.CloseWrite()
	}
	if err != nil {
		l.abort()
	}
}

// farewell answers the client's Close frame, if nobody else is writing.
func (l *wsLink) farewell() {
	l.c.mu.Lock()
	mine := l.c.link == l && !l.c.out.writing
	if mine {
		l.c.out.writing = true
	}
	l.c.mu.Unlock()
	switch {
	case !mine:
	case l.sock != nil:
		_, _ = l.sock.Write(closeNormal) // the client may have left
	default:
		_ = l.nc.SetWriteDeadline(time.Now().Add(time.Second)) // the client may have left
		_, _ = l.nc.Write(closeNormal)
	}
}

// abort implements link.
func (l *wsLink) abort() {
	l.c.mu.Lock()
	sock, nc := l.sock, l.nc
	l.aborted = true
	l.c.mu.Unlock()
	switch {
	case sock != nil:
		sock.Abort()
	case nc != nil:
		_ = nc.Close() // nothing is left that could fail
	}
}
