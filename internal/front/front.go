// Package front stands before net/http where connections come by the thousand: it
// answers requests that need no waiting, of which the program says which they are, on
// the goroutine of a loop (package loop), and has net/http serve all others. That saves
// a goroutine, its stack and two buffers for each connection, and more than half of
// what it costs to connect to the realtime service: negotiate, then a WebSocket.
//
//	TCP listener ─▶ Front ─▶ loop ─▶ one whole, plain, quick request? ─▶ Config.Handler
//	                                   └ no ─▶ HTTP(), with the bytes read ─▶ net/http
//
// Only what is beyond doubt is answered here: HTTP/1.1, a head that came in one piece
// with nothing behind it, plain characters, one Host, no body. Everything else, and so
// everything malformed, is net/http's to judge: the two never disagree because one of
// them is not asked. Both call the same handler, which can take the connection over by
// Hijack; what it gets then is a Taker.
//
// Bounds: Pending connections may be silent here, each for HeaderTimeout before its
// first request and IdleTimeout after one. When more come, the one that has been silent
// longest is closed. An answer that the socket does not take at once ends its
// connection: the client has asked often and not read.
//
// Where there are no loops (package loop), all connections are net/http's.
package front

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"causeway/internal/loop"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of a Front.
const (
	Pending = 16384 // silent connections
	backlog = 1024  // connections that net/http has yet to accept
	burst   = 64    // connections accepted before others are read
)

// Config is what a Front needs.
type Config struct {
	Handler http.Handler
	// Quick says whether a request may be answered here, from its head, which begins
	// with the request line. Handler must not wait for anything then, or read a body.
	Quick func(head []byte) bool
	// HeaderTimeout, IdleTimeout and MaxHeader are as in http.Server; bytes.
	HeaderTimeout, IdleTimeout time.Duration
	MaxHeader                  int
	Logger                     *slog.Logger
	Registerer                 prometheus.Registerer // nil: no metrics
}

// Front owns a listener. Make it by New.
type Front struct {
	cfg    Config
	ln     *net.TCPListener
	rest   *rest
	closed *prometheus.CounterVec // by reason

	loops []*loop.Loop
	next  atomic.Uint32 // whose turn it is to get a connection

	mu      sync.Mutex
	silent  [2]list // fresh, idle
	pending int     // how many they may be
	ended   bool
	watch   *loop.Socket // the listener
}

// Taker is a connection that a handler got by Hijack: Take has the source go on with
// it, on the goroutine that called the handler, and returns its socket.
type Taker interface {
	Take(loop.Source) *loop.Socket
}

// New makes a Front of ln. It starts nothing: call Run, or close HTTP().
func New(ln *net.TCPListener, cfg Config) *Front {
	f := &Front{cfg: cfg, ln: ln, pending: Pending}
	f.rest = &rest{front: f, conns: make(chan net.Conn, backlog), closed: make(chan struct{})}
	f.closed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "causeway_http_closed_total",
		Help: "Connections closed before or between requests, by reason.",
	}, []string{"reason"})
	if cfg.Registerer != nil {
		f.closed = register(cfg.Registerer, f.closed)
	}
	return f
}

// register returns the collector that is registered, for there may be several fronts.
func register(r prometheus.Registerer, c *prometheus.CounterVec) *prometheus.CounterVec {
	var already prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &already) {
		if old, ok := already.ExistingCollector.(*prometheus.CounterVec); ok {
			return old
		}
	}
	return c
}

// HTTP are the connections for an http.Server. Closing it closes the listener, and
// those that wait for a request here.
func (f *Front) HTTP() net.Listener { return f.rest }

// Run serves until ctx ends. It takes part in serving connections that handlers have
// taken over, too, so it should end after them.
func (f *Front) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	defer f.stop()
	spawn := func(work func()) bool {
		if ctx.Err() != nil {
			return false
		}
		running.Go(work)
		return true
	}
	defer f.rest.Close()
	for range max(1, runtime.GOMAXPROCS(0)/2) { // the others have handlers and net/http to serve
		l, err := loop.New(spawn)
		if errors.Is(err, errors.ErrUnsupported) {
			return f.forward(ctx)
		}
		if err != nil {
			return err
		}
		if !l.Start() {
			return nil
		}
		f.loops = append(f.loops, l)
	}
	if err := f.loops[0].Watch(f.ln, (*acceptor)(f), f.watching); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			f.sweep(now)
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *Front) watching(s *loop.Socket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watch = s; f.ended {
		s.Close()
	}
}

func (f *Front) stop() {
	for _, l := range f.loops {
		l.Close()
	}
}

// forward gives all connections to net/http.
func (f *Front) forward(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = f.rest.Close() })()
	for {
		c, err := f.ln.Accept()
		switch {
		case err == nil:
			f.rest.push(c)
		case errors.Is(err, net.ErrClosed):
			<-ctx.Done()
			return nil
		default: // descriptors are short
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// acceptor is the source that takes connections from the listener.
type acceptor Front

// Readable implements loop.Source.
func (a *acceptor) Readable(*loop.Turn) {
	f := (*Front)(a)
	for range burst {
		fd, from, err := f.watch.Accept()
		switch {
		case err == nil:
			c := &client{front: f, addr: from.String()}
			l := f.loops[int(f.next.Add(1))%len(f.loops)]
			if l.Take(fd, c, func(s *loop.Socket) { c.sock = s; f.wait(c, fresh) }) != nil {
				f.closed.WithLabelValues("ending").Inc()
			}
		case errors.Is(err, syscall.ECONNABORTED):
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
			f.watch.Listen(false) // until the sweep: asking at once again is of no use
			f.cfg.Logger.Warn("can't accept connections", "err", err)
			return
		default: // nobody is there, or the end
			return
		}
	}
}

// Writable implements loop.Source.
func (a *acceptor) Writable() {}

// sweep closes who has been silent for too long.
func (f *Front) sweep(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watch != nil {
		f.watch.Listen(true)
	}
	for i, patience := range []time.Duration{fresh: f.cfg.HeaderTimeout, idle: f.cfg.IdleTimeout} {
		for c := f.silent[i].first; c != nil && now.Sub(c.since) > patience; c = f.silent[i].first {
			f.drop(c, [...]string{fresh: "header_timeout", idle: "idle"}[i])
		}
	}
}

// wait notes that c is silent. It closes c if nobody may be any more.
func (f *Front) wait(c *client, how int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.since, c.how = time.Now(), how
	f.silent[how].add(c)
	switch {
	case f.ended:
		f.drop(c, "ending")
	case f.silent[fresh].n+f.silent[idle].n > f.pending:
		oldest := f.silent[fresh].first
		if c := f.silent[idle].first; oldest == nil || c != nil && c.since.Before(oldest.since) {
			oldest = c
		}
		f.drop(oldest, "overflow")
	}
}

// woken says that c is not silent any more: it is nobody else's to close.
func (f *Front) woken(c *client) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.silent[c.how].remove(c)
}

// drop closes a silent connection. The caller holds mu.
func (f *Front) drop(c *client, reason string) {
	f.silent[c.how].remove(c)
	f.closed.WithLabelValues(reason).Inc()
	c.sock.Close()
}

// end closes the listener and all who are silent.
func (f *Front) end() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return net.ErrClosed
	}
	f.ended = true
	if f.watch != nil {
		f.watch.Close()
	}
	for i := range f.silent {
		for f.silent[i].first != nil {
			f.drop(f.silent[i].first, "ending")
		}
	}
	return f.ln.Close()
}
