package front

import (
	"bytes"
	"net"
	"runtime/debug"
	"time"

	"causeway/internal/loop"
)

// client is a connection that waits for a request, or whose request is being answered.
type client struct {
	front *Front
	sock  *loop.Socket
	addr  string // host:port
	last  bool   // we have said the end, and wait for the client's

	since         time.Time // in the list
	how           int       // which list
	listed        bool
	before, after *client
}

// Readable implements loop.Source.
func (c *client) Readable(t *loop.Turn) {
	b := t.Buffer()
	n, open := c.sock.Read(b)
	switch {
	case !open:
		if c.front.woken(c) {
			c.sock.Close()
		}
	case n == 0 || c.last || !c.front.woken(c):
	case !c.answer(b[:n]):
		c.pass(b[:n])
	}
}

// Writable implements loop.Source.
func (c *client) Writable() {}

// pass has net/http go on with the connection.
func (c *client) pass(early []byte) {
	nc, err := c.sock.Conn()
	if err != nil { // descriptors are short
		c.front.closed.WithLabelValues("descriptors").Inc()
		return
	}
	c.front.rest.push(&conn{Conn: nc, early: bytes.Clone(early)})
}

// answer answers a request, if it is one that is answered here.
func (c *client) answer(b []byte) bool {
	f := c.front
	if len(b) > f.cfg.MaxHeader || !plain(b) || !f.cfg.Quick(b) {
		return false
	}
	r := parse(b)
	if r == nil {
		return false
	}
	r.RemoteAddr = c.addr
	w := &reply{client: c}
	defer func() {
		if p := recover(); p != nil {
			f.cfg.Logger.Error("panic in a handler", "panic", p, "stack", string(debug.Stack()))
			c.sock.Close()
		}
	}()
	f.cfg.Handler.ServeHTTP(w, r)
	switch {
	case w.taken:
	case !w.send(r):
		c.sock.Close()
	case r.Close:
		c.last = true
		c.sock.CloseWrite()
		f.wait(c, fresh)
	default:
		f.wait(c, idle)
	}
	return true
}

// conn is a connection of which something was read already.
type conn struct {
	net.Conn
	early []byte
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
	}
	return n, nil
}

// CloseWrite ends our half.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Plain is the TCP connection itself; nil if it is not the same as c.
func (c *conn) Plain() *net.TCPConn {
	if tcp, ok := c.Conn.(*net.TCPConn); ok && len(c.early) == 0 {
		return tcp
	}
	return nil
}
