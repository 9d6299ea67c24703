package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Server is a STUN and TURN server. Make it by New; its methods are safe for
// concurrent use.
type Server struct {
	cfg     Config
	addr    netip.AddrPort
	public  *public
	table   *table
	realms  *realms
	metrics *metrics

	front    *front
	listener *listener

	loops       sync.WaitGroup // the library's reading and accepting goroutines
	allocations sync.WaitGroup // its goroutines, one an allocation
	stop        chan struct{}
	used        atomic.Bool
}

// New checks cfg and opens the UDP and the TCP socket, on the same port; it starts
// nothing. The caller then calls Run, or Close if it will not.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	udp, tcp, err := listenBoth(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	_ = udp.SetReadBuffer(socketBuffer) // a smaller buffer works, too
	s := &Server{
		cfg:     cfg,
		addr:    canonical(udp.LocalAddr().(*net.UDPAddr).AddrPort()),
		table:   newTable(cfg.Limits),
		realms:  newRealms(cfg.Realm, cfg.now),
		metrics: newMetrics(),
		stop:    make(chan struct{}),
	}
	s.public = newPublic(s.addr.Addr().WithZone(""), cfg.PublicIP, cfg.now)
	s.front = &front{
		UDPConn: udp, table: s.table, realms: s.realms, metrics: s.metrics, now: cfg.now, done: s.loops.Done, stop: s.stop,
		gate: newGate(cfg.Limits.RequestRate, cfg.Limits.RequestBurst),
	}
	s.listener = &listener{
		Listener: tcp, limits: cfg.Limits, table: s.table, metrics: s.metrics,
		done: s.loops.Done, stop: s.stop,
		open: make(map[client]*stream), sources: make(map[netip.Prefix]int),
	}
	if err := s.register(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) register() error {
	if s.cfg.Registerer == nil {
		return nil
	}
	for i, c := range s.metrics.collector {
		if err := s.cfg.Registerer.Register(c); err != nil {
			s.unregister(s.metrics.collector[:i])
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

// listenBoth opens UDP and TCP on one port.
func listenBoth(listen string) (*net.UDPConn, *net.TCPListener, error) {
	want, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen address: %w", err)
	}
	var family string
	if want.IP.To4() != nil {
		family = "4" // an IPv4 wildcard would otherwise mean IPv6, too
	}
	// The system finds a port that is free for UDP; for TCP it may be taken.
	for attempt := 0; ; attempt++ {
		udp, err := net.ListenUDP("udp"+family, want)
		if err != nil {
			return nil, nil, fmt.Errorf("listen on udp: %w", err)
		}
		local := udp.LocalAddr().(*net.UDPAddr)
		// The address that UDP got: the host may be a name that has several.
		target := net.TCPAddr{IP: local.IP, Port: local.Port, Zone: local.Zone}
		tcp, err := net.ListenTCP("tcp"+family, &target)
		if err == nil {
			return udp, tcp, nil
		}
		if cerr := udp.Close(); cerr != nil {
			return nil, nil, errors.Join(err, cerr)
		}
		if want.Port != 0 || attempt == 31 {
			return nil, nil, fmt.Errorf("listen on tcp: %w", err)
		}
	}
}

// Run serves until ctx ends, then cuts every allocation and connection at once, and
// returns nil when nothing of it runs any more. It can be called once.
func (s *Server) Run(ctx context.Context) error {
	if s.used.Swap(true) {
		return errors.New("relay: run: closed, or running already")
	}
	s.loops.Add(2)
	if err := s.start(); err != nil {
		// The library checks everything before it starts anything.
		s.loops.Add(-2)
		return errors.Join(fmt.Errorf("relay: start: %w", err), s.closeSockets())
	}
	s.cfg.Logger.Info("relay is listening", "port", int(s.addr.Port()))
	<-ctx.Done()
	return s.shutdown()
}

// shutdown ends things in the order in which they make each other: first no new clients,
// then no requests, then no allocations.
func (s *Server) shutdown() error {
	live := s.table.size()
	close(s.stop)
	err := s.closeSockets()
	s.loops.Wait()
	s.listener.abort()
	s.listener.streams.Wait()
	for _, a := range s.table.all() {
		a.abort()
	}
	s.allocations.Wait()
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
		s.unregister(s.metrics.collector)
	}
	return errors.Join(s.front.UDPConn.Close(), s.listener.Listener.Close())
}

// Addr is the address that the server listens on, UDP and TCP alike, with the real
// port; the IP may be unspecified.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Allocations returns the number of live allocations.
func (s *Server) Allocations() int { return s.table.size() }

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
