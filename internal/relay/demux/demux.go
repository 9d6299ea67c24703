// Package demux lets one TLS listener serve HTTPS, WebSocket and TURN, so that port 443
// alone is enough for a client behind a strict firewall.
//
// Who says the protocol in the TLS handshake (ALPN, RFC 7443: "stun.turn") is told
// apart by that. Of the others, which say none, the first byte decides: 0 to 3 is STUN
// (RFC 7983 §7), and an HTTP request begins with a letter.
//
//	net.Listener ─▶ Demux.Run ─▶ handshake ─▶ HTTP()  for net/http
//	                                       └▶ Relay() for the relay
//
// net/http finds the TLS state of a connection only if it is a *tls.Conn as it came. One
// whose first byte was read is not; ConnContext and Handler make up for it.
//
// Bounds: Pending connections may be in the handshake, silent or not taken at a time,
// each for Patience; more are closed at accept.
package demux

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// ALPN names the protocol (RFC 7443 §5); add it to tls.Config.NextProtos.
const ALPN = "stun.turn"

// Bounds of a Demux.
const (
	Pending  = 1024
	Patience = 10 * time.Second

	errorPause = 50 * time.Millisecond
)

// Demux owns a listener. Make it by New.
type Demux struct {
	l      net.Listener
	cfg    *tls.Config
	http   *half
	relay  *half
	closed sync.Once
	err    error
}

// New makes a Demux of l, which speaks TLS by cfg. It starts nothing: call Run, or Close.
func New(l net.Listener, cfg *tls.Config) *Demux {
	return &Demux{l: l, cfg: cfg, http: newHalf(l.Addr()), relay: newHalf(l.Addr())}
}

// HTTP are the connections for an http.Server, with the handshake done. Closing it
// refuses further ones.
func (d *Demux) HTTP() net.Listener { return d.http }

// Relay are the connections for a relay, likewise.
func (d *Demux) Relay() net.Listener { return d.relay }

// Close closes the listener; a Run ends.
func (d *Demux) Close() error {
	d.closed.Do(func() { d.err = d.l.Close() })
	return d.err
}

// Run accepts connections until ctx ends or Close is called. It ends when nothing of it runs
// any more; connections that were accepted live on.
func (d *Demux) Run(ctx context.Context) error {
	defer d.http.Close()
	defer d.relay.Close()
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = d.Close() }) // Run's accept fails, and that is all
	defer stop()
	places := make(chan struct{}, Pending)
	g.Go(func() error {
		for {
			conn, err := d.l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return net.ErrClosed // ends those that wait
			}
			if err != nil {
				select { // out of file descriptors, or the client is gone already
				case <-time.After(errorPause):
				case <-ctx.Done():
				}
				continue
			}
			select {
			case places <- struct{}{}:
				g.Go(func() error {
					defer func() { <-places }()
					d.sort(ctx, conn)
					return nil
				})
			default:
				_ = conn.Close() // it never was ours
			}
		}
	})
	if err := g.Wait(); !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("accept connections: %w", err)
	}
	return nil
}

// sort finds out whom a connection is for, and hands it over.
func (d *Demux) sort(ctx context.Context, raw net.Conn) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	// A silent client, or one that nobody accepts: closing the socket ends every wait.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	conn := tls.Server(raw, d.cfg)
	to, out := d.look(ctx, conn)
	given := to != nil && to.give(ctx, out)
	if !stop() || !given {
		_ = raw.Close()
	}
}

// look returns the half that conn is for, and the connection to give; nil for none.
func (d *Demux) look(ctx context.Context, conn *tls.Conn) (*half, net.Conn) {
	if conn.HandshakeContext(ctx) != nil {
		return nil, nil
	}
	switch conn.ConnectionState().NegotiatedProtocol {
	case ALPN:
		return d.relay, conn
	case "":
	default:
		return d.http, conn
	}
	var first [1]byte
	if n, err := conn.Read(first[:]); n == 0 || err != nil {
		return nil, nil
	}
	p := &peeked{Conn: conn, first: first[0], full: true}
	if first[0] < 4 {
		return d.relay, p
	}
	return d.http, p
}

// peeked is a connection whose first byte was read.
type peeked struct {
	*tls.Conn
	first byte
	full  bool
}

// Read returns the first byte, then what follows. One goroutine reads a connection.
func (p *peeked) Read(b []byte) (int, error) {
	if p.full && len(b) > 0 {
		p.full = false
		b[0] = p.first
		return 1, nil
	}
	return p.Conn.Read(b)
}

// half is a listener whose connections somebody gives it.
type half struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newHalf(a net.Addr) *half {
	return &half{addr: a, conns: make(chan net.Conn), done: make(chan struct{})}
}

// give waits until somebody accepts c; false if nobody does.
func (h *half) give(ctx context.Context, c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.done:
		return false
	case <-ctx.Done():
		return false
	}
}

// Accept implements net.Listener.
func (h *half) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener; it can be called again.
func (h *half) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener.
func (h *half) Addr() net.Addr { return h.addr }

// stateKey is where ConnContext leaves the TLS state.
type stateKey struct{}

// ConnContext is for http.Server.ConnContext, with Handler.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if p, ok := c.(*peeked); ok {
		state := p.ConnectionState()
		return context.WithValue(ctx, stateKey{}, &state)
	}
	return ctx
}

// Handler gives requests on connections whose first byte was read the TLS state that they
// have.
func Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if state, ok := r.Context().Value(stateKey{}).(*tls.ConnectionState); ok && r.TLS == nil {
			r.TLS = state
		}
		next.ServeHTTP(w, r)
	})
}
