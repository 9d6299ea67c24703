package front

import (
	"net"
	"sync"
)

// The lists of Front.silent.
const (
	fresh = iota // has not asked anything yet
	idle         // has been answered
)

// list has the clients that are silent, who has been so longest first. Front.mu guards
// it and the links of its members.
type list struct {
	first, last *client
	n           int
}

func (l *list) add(c *client) {
	c.listed, c.before, c.after = true, l.last, nil
	if l.last == nil {
		l.first = c
	} else {
		l.last.after = c
	}
	l.last = c
	l.n++
}

// remove says whether c was there.
func (l *list) remove(c *client) bool {
	if !c.listed {
		return false
	}
	if c.before == nil {
		l.first = c.after
	} else {
		c.before.after = c.after
	}
	if c.after == nil {
		l.last = c.before
	} else {
		c.after.before = c.before
	}
	c.listed, c.before, c.after = false, nil, nil
	l.n--
	return true
}

// rest is the net.Listener of the connections that net/http serves.
type rest struct {
	front  *Front
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
	err    error
}

// push gives a connection to net/http. It does not wait.
func (r *rest) push(c net.Conn) {
	select {
	case <-r.closed:
	default:
		select {
		case r.conns <- c:
			return
		default:
		}
	}
	_ = c.Close() // nobody takes it
	r.front.closed.WithLabelValues("backlog").Inc()
}

// Accept implements net.Listener.
func (r *rest) Accept() (net.Conn, error) {
	select {
	case c := <-r.conns:
		return c, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (r *rest) Close() error {
	r.once.Do(func() {
		close(r.closed)
		r.err = r.front.end()
		for {
			select {
			case c := <-r.conns:
				_ = c.Close() // nobody takes it
			default:
				return
			}
		}
	})
	return r.err
}

// Addr implements net.Listener.
func (r *rest) Addr() net.Addr { return r.front.ln.Addr() }
