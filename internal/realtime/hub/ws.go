package hub

import (
	"bufio"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"causeway/internal/realtime/hub/frame"

	"github.com/gobwas/ws"
)

// readSize is the size of read buffers, and batchSize about how much is written
// at once.
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
type wsLink struct {
	c   *conn
	nc  net.Conn        // nil until open; written under c.mu
	raw syscall.RawConn // nil if the connection is no socket of ours (TLS, tests)
	in  wsReader
	out wsWriter
	// worn says that the reading goroutine has done more than wait, so that its
	// stack has grown.
	worn atomic.Bool
	// aborted, under c.mu, says to close nc as soon as there is one.
	aborted bool
}

// wsReader belongs to the reading goroutine.
type wsReader struct {
	try   func(fd uintptr) bool // wsLink.tryRead, made once
	buf   *[readSize]byte       // nil while nothing is there
	have  int                   // bytes in buf
	first []byte                // for the beginning of a frame, where reads block
	err   error
	left  int64 // bytes of the current data frame that have not come
	mask  [4]byte
	pos   int // in the mask
	inMsg bool
	deaf  bool // the client sent nonsense; wait for it to leave
}

// wsWriter belongs to whoever owns the writes.
type wsWriter struct {
	try   func(fd uintptr) bool // wsLink.tryWrite, made once
	data  []byte                // to be written; on return, what was not
	batch *[]byte               // holds data, if it was put together
	err   error
}

func newWSLink(c *conn) *wsLink { return &wsLink{c: c} }

// open gives the link its connection.
func (l *wsLink) open(nc net.Conn) {
	if raw := rawConn(nc); raw != nil {
		l.raw = raw
		l.in.try, l.out.try = l.tryRead, l.tryWrite
	} else {
		l.in.first = make([]byte, 32)
	}
	l.c.mu.Lock()
	l.nc = nc
	aborted := l.aborted
	l.c.mu.Unlock()
	if aborted {
		_ = nc.Close()
	}
}

// begin reads until the client has shaken hands, and says no if the transport has
// ended. It runs on net/http's goroutine, whose stack has grown already; the one
// that waits afterwards then begins with a small stack. early is what the HTTP
// server read ahead.
func (l *wsLink) begin(early *bufio.Reader) bool {
	l.flush() // the writes are ours since attach
	ahead := early.Buffered()
	for ahead > 0 || l.c.shakingHands() {
		if ahead > 0 {
			l.in.buf = readPool.Get().(*[readSize]byte)
			l.in.have, _ = early.Read(l.in.buf[:min(readSize, ahead)]) // from memory
			ahead = 0
		} else if err := l.fill(); err != nil {
			l.end(ReasonDropped, false)
			return false
		}
		if done, r, clean := l.consume(); done {
			l.end(r, clean)
			return false
		}
	}
	l.worn.Store(false) // the next stack is new
	return true
}

// read reads until the transport ends, or until the stack is to be replaced.
func (l *wsLink) read() {
	for {
		if err := l.fill(); err != nil {
			if l.worn.Load() && errors.Is(err, os.ErrDeadlineExceeded) && l.molt() {
				return
			}
			l.end(ReasonDropped, false)
			return
		}
		if done, r, clean := l.consume(); done {
			l.end(r, clean)
			return
		}
	}
}

// refresh makes the reading goroutine molt, if it has worked and now waits.
// Stacks grow to 4 or 8 KiB when a message is handled, and the runtime does not
// shrink them that far while a goroutine waits; half of an idle connection's
// memory would be this stack.
func (l *wsLink) refresh() {
	if l.raw != nil && l.worn.Load() {
		_ = l.nc.SetReadDeadline(time.Unix(1, 0)) // fails only when reading does
	}
}

// molt goes on reading in a new goroutine.
func (l *wsLink) molt() bool {
	if err := l.nc.SetReadDeadline(time.Time{}); err != nil {
		return false
	}
	l.worn.Store(false)
	return l.c.hub.spawn(l.read)
}

// end ends the link after the reading has.
func (l *wsLink) end(r Reason, clean bool) {
	if l.in.buf != nil {
		readPool.Put(l.in.buf)
		l.in.buf = nil
	}
	if r == ReasonClient {
		l.farewell()
	}
	_ = l.nc.Close() // nothing is left that could fail
	l.c.ended(l, r, clean)
}

// fill waits until bytes come, and reads them.
func (l *wsLink) fill() error {
	if l.raw != nil {
		l.in.err = nil
		if err := l.raw.Read(l.in.try); err != nil {
			return err
		}
		return l.in.err
	}
	into := l.in.first // between frames there is nothing to keep a large buffer for
	if l.in.buf != nil || l.in.left > 0 {
		if l.in.buf == nil {
			l.in.buf = readPool.Get().(*[readSize]byte)
		}
		into = l.in.buf[l.in.have:]
	}
	n, err := l.nc.Read(into)
	if l.in.buf == nil && n > 0 {
		l.in.buf = readPool.Get().(*[readSize]byte)
		copy(l.in.buf[:], into[:n])
	}
	l.in.have += n
	if n > 0 {
		return nil
	}
	return err
}

// consume handles the bytes that were read, and keeps those of an unfinished
// frame header or control frame.
func (l *wsLink) consume() (done bool, r Reason, clean bool) {
	k := l.c.cork()
	done, r, clean = l.split(k)
	k.end()
	return done, r, clean
}

func (l *wsLink) split(k *cork) (done bool, r Reason, clean bool) {
	if !l.worn.Load() {
		l.worn.Store(true)
	}
	in := &l.in
	b := in.buf[:in.have]
	if in.deaf {
		b = nil
	}
	for len(b) > 0 {
		if in.left > 0 {
			n := int(min(in.left, int64(len(b))))
			ws.Cipher(b[:n], in.mask, in.pos)
			in.pos = (in.pos + n) & 3
			in.left -= int64(n)
			if err := l.c.feed(l, b[:n], k); err != nil {
				if errors.Is(err, closeError{ReasonClient}) {
					return true, ReasonClient, true
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
			b = nil
			break
		}
		if size == 0 || h.OpCode.IsControl() && len(b) < size+int(h.Length) {
			break
		}
		b = b[size:]
		if h.OpCode.IsControl() {
			payload := b[:h.Length]
			ws.Cipher(payload, h.Mask, 0)
			if h.OpCode == ws.OpClose {
				code := frame.CloseCode(payload)
				return true, ReasonClient, code == ws.StatusNormalClosure
			}
			l.control(h.OpCode, payload)
			b = b[h.Length:]
			continue
		}
		in.inMsg = !h.Fin
		in.left, in.mask, in.pos = h.Length, h.Mask, 0
	}
	if in.have = copy(in.buf[:], b); in.have == 0 {
		readPool.Put(in.buf)
		in.buf = nil
	}
	return false, 0, false
}

func (l *wsLink) control(op ws.OpCode, payload []byte) {
	l.c.clock.in.Store(l.c.hub.now())
	if op == ws.OpPing {
		l.c.send(frame.Raw(ws.OpPong, payload, false), nil)
	}
}

// flush implements link: it writes what the socket takes at once, and leaves the
// rest to a goroutine.
func (l *wsLink) flush() {
	if l.raw == nil {
		l.writeLater()
		return
	}
	for {
		more, finish := l.gather()
		if !more {
			if finish {
				l.writeLater() // the goodbye may block
			}
			return
		}
		l.out.err = nil
		if err := l.raw.Write(l.out.try); err != nil || l.out.err != nil {
			l.scatter()
			l.abort()
			return
		}
		if len(l.out.data) > 0 {
			l.writeLater()
			return
		}
		l.scatter()
	}
}

func (l *wsLink) writeLater() {
	if !l.c.hub.spawn(l.writeAll) {
		l.abort()
	}
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

// writeAll writes what is left in out.data, then what is queued, waiting for the
// client where it must, but not for longer than Timing.Write at a time.
func (l *wsLink) writeAll() {
	for {
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
		if more, finish := l.gather(); !more {
			if finish {
				l.goodbye()
			}
			return
		}
	}
}

var closeNormal = ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))

// goodbye ends our half of the connection (RFC 6455 §7.1.1: the server closes
// first). The reading goroutine waits for the client's half, and the sweep for both.
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
	if mine {
		_ = l.nc.SetWriteDeadline(time.Now().Add(time.Second)) // the client may have left
		_, _ = l.nc.Write(closeNormal)
	}
}

// abort implements link.
func (l *wsLink) abort() {
	l.c.mu.Lock()
	nc := l.nc
	l.aborted = true
	l.c.mu.Unlock()
	if nc != nil {
		_ = nc.Close() // nothing is left that could fail
	}
}
