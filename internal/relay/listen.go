package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"causeway/internal/relay/udp"
)

const (
	clientBuffer = 4 << 20 // bytes of the system's buffers; it may give less
	errorPause   = 50 * time.Millisecond
)

// listen opens UDP, as many sockets as shards, and TCP, on one port.
func listen(cfg Config) ([]*udp.Conn, net.Listener, error) {
	want, family, err := resolve(cfg.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen address: %w", err)
	}
	o := udp.Options{
		ReusePort: cfg.Shards > 1 && udp.CanShare(), GRO: true, GSO: true, Buffers: clientBuffer,
		Pktinfo: want.Addr().IsUnspecified(), DualStack: true,
	}
	// The system finds a port that is free for UDP; for TCP it may be taken.
	for attempt := 0; ; attempt++ {
		first, err := udp.Listen(want, o)
		if err != nil {
			return nil, nil, err
		}
		local := first.LocalAddr()
		tcp, err := net.ListenTCP("tcp"+family, net.TCPAddrFromAddrPort(local))
		if err == nil {
			return share(first, tcp, cfg.Shards, o)
		}
		if cerr := first.Close(); cerr != nil {
			return nil, nil, errors.Join(err, cerr)
		}
		if want.Port() != 0 || attempt == 31 {
			return nil, nil, fmt.Errorf("listen on tcp: %w", err)
		}
	}
}

// share opens the other sockets of first's port.
func share(first *udp.Conn, tcp net.Listener, shards int, o udp.Options) ([]*udp.Conn, net.Listener, error) {
	conns := []*udp.Conn{first}
	for o.ReusePort && len(conns) < shards {
		c, err := udp.Listen(first.LocalAddr(), o)
		if err != nil {
			errs := []error{err, tcp.Close()}
			for _, c := range conns {
				errs = append(errs, c.Close())
			}
			return nil, nil, errors.Join(errs...)
		}
		conns = append(conns, c)
	}
	return conns, tcp, nil
}

// resolve turns host:port into an address, and "4" if IPv4 alone is meant. An empty
// host is every interface, of both families where the system has IPv6.
func resolve(listen string) (netip.AddrPort, string, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return netip.AddrPort{}, "", err
	}
	a, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		return netip.AddrPort{}, "", err
	}
	if host == "" {
		probe, err := udp.Listen(netip.AddrPortFrom(netip.IPv6Unspecified(), 0), udp.Options{DualStack: true})
		if err != nil {
			return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(a.Port)), "4", nil
		}
		return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(a.Port)), "", probe.Close()
	}
	at := canonical(a.AddrPort())
	if at.Addr().Is4() {
		return at, "4", nil // an IPv4 wildcard would otherwise mean IPv6, too
	}
	return netip.AddrPortFrom(at.Addr().WithZone(a.Zone), at.Port()), "", nil
}

// serveClients reads what clients send to one of the shards.
func (s *Server) serveClients(ctx context.Context, c *udp.Conn) error {
	w, b := s.newWorker(), udp.NewBatch(udp.DefaultSlots)
	for {
		packets, err := c.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			pause(ctx)
			continue
		}
		w.begin()
		for i := range packets {
			w.fromClient(&packets[i], c)
		}
		w.flush()
	}
}

// servePeers reads the relayed addresses of one of the pollers.
func (s *Server) servePeers(ctx context.Context, p *udp.Poller) error {
	w, b := s.newWorker(), udp.NewBatch(udp.DefaultSlots)
	for {
		groups, err := p.Wait(b)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			pause(ctx)
			continue
		}
		w.begin()
		for _, g := range groups {
			a, ok := g.Token.(*allocation)
			for i := range g.Packets {
				if ok {
					w.fromPeer(a, &g.Packets[i])
				}
			}
		}
		w.flush()
	}
}

// pause keeps a loop from spinning on an error that stays.
func pause(ctx context.Context) {
	select {
	case <-time.After(errorPause):
	case <-ctx.Done():
	}
}
