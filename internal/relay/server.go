package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"causeway/internal/relay/nonce"
	"causeway/internal/relay/udp"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Server is a STUN and TURN server. Make it by New; its methods are safe for
// concurrent use.
type Server struct {
	cfg         Config
	addr        netip.AddrPort
	began       time.Time
	public      *public
	table       *table
	nonces      *nonce.Source
	gate        *gate
	authorities []authority
	metrics     *metrics

	shards  []*udp.Conn // what clients send to, one a core, all on one port
	pollers []*udp.Poller
	streams *streams
	workers chan *worker // for streams, each for a moment

	asks       chan *member  // whose lease is to be filled
	complained seldom        // about the ledger
	alarmed    seldom        // about credentials used elsewhere
	zero       chan struct{} // told when the last allocation has ended
	draining   atomic.Bool
	used       atomic.Bool
}

// New checks cfg and opens the UDP and the TCP sockets, on the same port; it starts
// nothing. The caller then calls Run, or Close if it will not.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	shards, tcp, err := listen(cfg)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	s := &Server{
		cfg: cfg, addr: canonical(shards[0].LocalAddr()), began: cfg.now(),
		table: newTable(cfg.Limits, cfg.StrictSource), metrics: newMetrics(), gate: newGate(cfg.Limits.RequestRate, cfg.Limits.RequestBurst),
		shards: shards, asks: make(chan *member, 1024), zero: make(chan struct{}, 1),
		workers: make(chan *worker, 2*cfg.Shards),
	}
	s.public = newPublic(s.addr.Addr(), cfg.PublicIP, cfg.now)
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails, says its documentation
	s.nonces = nonce.New(key)
	if len(cfg.GrantKey) > 0 {
		s.authorities = append(s.authorities, granted{s.table, cfg.Realm, cfg.GrantKey, cfg.NodeKID})
	}
	if cfg.Secrets != nil {
		s.authorities = append(s.authorities, rest{cfg.Realm, cfg.Secrets})
	}
	s.streams = newStreams(s)
	s.streams.attach(tcp, overTCP)
	for range cap(s.workers) {
		s.workers <- s.newWorker()
	}
	if err := errors.Join(s.openPollers(), s.register()); err != nil {
		return nil, errors.Join(err, s.closeSockets())
	}
	return s, nil
}

func (s *Server) openPollers() error {
	for range s.cfg.Shards {
		p, err := udp.NewPoller()
		if err != nil {
			return fmt.Errorf("relay: %w", err)
		}
		s.pollers = append(s.pollers, p)
	}
	return nil
}

func (s *Server) register() error {
	if s.cfg.Registerer == nil {
		return nil
	}
	for i, c := range s.metrics.collectors {
		if err := s.cfg.Registerer.Register(c); err != nil {
			s.unregister(s.metrics.collectors[:i])
			return fmt.Errorf("relay: register metrics: %w", err)
		}
	}
	return nil
}

func (s *Server) unregister(cs []prometheus.Collector) {
	for _, c := range cs {
		s.cfg.Registerer.Unregister(c)
	}
}

// Attach makes Run serve the connections of l, too; it owns l from now on. Whether
// they are TLS is for metrics only: l does it. It is called before Run.
func (s *Server) Attach(l net.Listener, tls bool) {
	t := overTCP
	if tls {
		t = overTLS
	}
	s.streams.attach(l, t)
}

// Run serves until ctx ends, then cuts every allocation and connection at once, and
// returns nil when nothing of it runs any more and the ledger knows what was delivered.
// It can be called once.
func (s *Server) Run(ctx context.Context) error {
	if s.used.Swap(true) {
		return errors.New("relay: run: closed, or running already")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range s.shards {
		g.Go(func() error { return s.serveClients(ctx, c) })
	}
	for _, p := range s.pollers {
		g.Go(func() error { return s.servePeers(ctx, p) })
	}
	for _, l := range s.streams.listeners {
		g.Go(func() error { return s.streams.accept(ctx, g, l) })
	}
	for range leasers {
		g.Go(func() error { return s.lease(ctx) })
	}
	g.Go(func() error { return s.keepBooks(ctx) })
	g.Go(func() error { return s.sweep(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		return s.shutdown()
	})
	s.cfg.Logger.Info("relay is listening", "port", int(s.addr.Port()), "shards", len(s.shards))
	err := g.Wait()
	s.closeBooks()
	return err
}

// shutdown ends things in the order in which they make each other.
func (s *Server) shutdown() error {
	live := s.Allocations()
	s.table.mu.Lock()
	s.table.stopped = true
	s.table.mu.Unlock()
	err := s.closeSockets()
	for _, m := range s.table.members() {
		s.end(m, causeShutdown)
	}
	s.streams.stop()
	s.cfg.Logger.Info("relay has ended", "allocations_cut", live)
	return err
}

// Close releases the sockets of a server that Run was not called for.
func (s *Server) Close() error {
	if s.used.Swap(true) {
		return errors.New("relay: close: closed, or running already")
	}
	return s.closeSockets()
}

func (s *Server) closeSockets() error {
	if s.cfg.Registerer != nil {
		s.unregister(s.metrics.collectors)
	}
	errs := []error{s.streams.closeListeners()}
	for _, c := range s.shards {
		errs = append(errs, c.Close())
	}
	for _, p := range s.pollers {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// quietAfter is longer than the time between two of an ICE agent's consent checks (RFC 7675: at most 6 s).
const quietAfter = 7 * time.Second

// Drain makes no new allocations from now on, and waits until there is none left that anything passes, or ctx
// ends. Browsers let go of what they no longer use late: Chromium, half a minute after an ICE restart.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	passed, since := s.metrics.relayed(), time.Now()
	look := time.NewTicker(s.cfg.quiet / 8)
	defer look.Stop()
	for s.Allocations() > 0 {
		select {
		case <-s.zero:
		case now := <-look.C:
			if n := s.metrics.relayed(); n != passed {
				passed, since = n, now
			} else if now.Sub(since) >= s.cfg.quiet {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("drain relay: %w", ctx.Err())
		}
	}
	return nil
}

// drained tells Drain to look.
func (s *Server) drained() {
	if s.table.live.Load() == 0 {
		select {
		case s.zero <- struct{}{}:
		default: // it is told already
		}
	}
}

// Addr is the address that the server listens on, UDP and TCP alike, with the real
// port; the IP may be unspecified.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Realm is the realm that credentials are made for.
func (s *Server) Realm() string { return s.cfg.Realm }

// Allocations returns the number of live allocations.
func (s *Server) Allocations() int { return int(s.table.live.Load()) }

// ICEAddrs returns the addresses at which clients reach the server now. Ask again for
// each client: a machine may move to another network.
//
// On a wildcard listener it is not loopback if there is anything else, as Firefox
// refuses STUN and TURN servers on loopback addresses.
func (s *Server) ICEAddrs() []netip.AddrPort {
	ip := s.public.best()
	if !ip.IsValid() {
		return nil
	}
	return []netip.AddrPort{netip.AddrPortFrom(ip, s.addr.Port())}
}

// URLs returns ICEAddrs as ICE server URLs (RFC 7064, RFC 7065): STUN, TURN over UDP
// and TURN over TCP.
func (s *Server) URLs() []string {
	var urls []string
	for _, a := range s.ICEAddrs() {
		urls = append(urls, "stun:"+a.String(), "turn:"+a.String()+"?transport=udp", "turn:"+a.String()+"?transport=tcp")
	}
	return urls
}
