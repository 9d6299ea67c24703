package relay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

// This file holds what the library calls back, besides auth.go.

const socketBuffer = 1 << 20 // bytes; the system may give less

var (
	errTransport = errors.New("only udp to peers")
	errRefused   = errors.New("allocation refused")
)

// start hands the sockets to the library, which starts reading them.
func (s *Server) start() error {
	_, err := turn.NewServer(turn.ServerConfig{
		Realm:        s.cfg.Realm,
		AuthHandler:  s.authenticate,
		QuotaHandler: s.quota,
		EventHandler: s.events(),
		// The library's log lines carry addresses and usernames.
		LoggerFactory: silence{},
		PacketConnConfigs: []turn.PacketConnConfig{
			{PacketConn: s.front, RelayAddressGenerator: generator{s}, PermissionHandler: s.permit},
		},
		ListenerConfigs: []turn.ListenerConfig{
			{Listener: s.listener, RelayAddressGenerator: generator{s}, PermissionHandler: s.permit},
		},
	})
	return err
}

// events counts what has no other trace.
func (s *Server) events() turn.EventHandler {
	count := func(c net.Addr, add func(*allocation)) {
		if c, ok := clientOf(c); ok {
			if a := s.table.client(c); a != nil {
				add(a)
			}
		}
	}
	return turn.EventHandler{
		OnAuth: func(_, _ net.Addr, _, _, _, _ string, verdict bool) {
			if !verdict {
				s.metrics.refuse(refusedPassword)
			}
		},
		OnPermissionCreated: func(c, _ net.Addr, _, _, _ string, _ net.Addr, _ net.IP) {
			count(c, func(a *allocation) { a.permissions.Add(1) })
		},
		OnPermissionDeleted: func(c, _ net.Addr, _, _, _ string, _ net.Addr, _ net.IP) {
			count(c, func(a *allocation) { a.permissions.Add(-1) })
		},
		OnChannelCreated: func(c, _ net.Addr, _, _, _ string, _, _ net.Addr, _ uint16) {
			count(c, func(a *allocation) { a.channels.Add(1) })
		},
		OnChannelDeleted: func(c, _ net.Addr, _, _, _ string, _, _ net.Addr, _ uint16) {
			count(c, func(a *allocation) { a.channels.Add(-1) })
		},
	}
}

// generator is the library's door to newAllocation.
type generator struct{ s *Server }

func (generator) Validate() error { return nil }

func (g generator) AllocatePacketConn(c turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	a, refused, err := g.s.newAllocation(c)
	if err != nil {
		g.s.metrics.refuse(refused)
		return nil, nil, err
	}
	return a, a.relayedUDP, nil
}

// AllocateListener would be RFC 6062.
func (g generator) AllocateListener(turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	g.s.metrics.refuse(refusedTransport)
	return nil, nil, errTransport
}

// AllocateConn would be RFC 6062.
func (g generator) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) {
	g.s.metrics.refuse(refusedTransport)
	return nil, errTransport
}

// newAllocation opens the socket of a relayed address for an authenticated client.
func (s *Server) newAllocation(c turn.AllocateListenerConfig) (*allocation, reason, error) {
	// EVEN-PORT (RFC 8656 §7.2) comes without a user, or with a port that it found.
	who, username, ok := decodeID(c.UserID)
	if !ok || c.RequestedPort != 0 {
		return nil, refusedTransport, errTransport
	}
	holder := holderOf(username)
	if r, ok := s.table.room(holder, who); !ok {
		return nil, r, errRefused
	}
	bind, public, err := s.relayAddress(c.Network)
	if err != nil {
		return nil, refusedFamily, err
	}
	conn, err := s.listenRelay(c.Network, bind)
	if err != nil {
		return nil, refusedPort, err
	}
	port := uint16(conn.LocalAddr().(*net.UDPAddr).Port)
	a := &allocation{
		client: who, id: c.UserID, username: username, holder: holder, realm: c.Realm, key: s.key(username, c.Realm),
		relayed: netip.AddrPortFrom(public, port), local: netip.AddrPortFrom(reachable(bind), port),
		conn: conn, table: s.table, metrics: s.metrics, reading: true, done: s.allocations.Done,
	}
	a.relayedUDP, a.clientUDP = net.UDPAddrFromAddrPort(a.relayed), net.UDPAddrFromAddrPort(who.addr)
	a.onClose = func() { s.rearm(who) }
	// Counted before add, so that whoever sees it in the table can wait for it.
	s.allocations.Add(1)
	if r, ok := s.table.add(a); !ok {
		s.allocations.Done()
		_ = conn.Close() // nothing was sent on it
		return nil, r, errRefused
	}
	s.metrics.born(who.transport)
	return a, "", nil
}

// rearm lets the deadline of c's connection follow its allocation.
func (s *Server) rearm(c client) {
	if c.transport != overTCP {
		return
	}
	if st := s.listener.stream(c); st != nil {
		st.arm()
	}
}

// relayAddress returns where to bind a relayed address for a network "udp4" or "udp6",
// and the public address to tell.
func (s *Server) relayAddress(network string) (bind, public netip.Addr, err error) {
	v6 := network == "udp6"
	host := s.addr.Addr()
	switch {
	case host.IsUnspecified() && host.Is4() && v6, !host.IsUnspecified() && host.Is6() != v6:
		return bind, public, fmt.Errorf("not listening on %s", network)
	case !host.IsUnspecified():
		bind = host
	case v6:
		bind = netip.IPv6Unspecified()
	default:
		bind = netip.IPv4Unspecified()
	}
	if public = s.public.address(v6); !public.IsValid() {
		return bind, public, fmt.Errorf("no public address for %s", network)
	}
	return bind, public, nil
}

// reachable is the address at which this machine reaches a socket bound to bind.
func reachable(bind netip.Addr) netip.Addr {
	switch bind {
	case netip.IPv4Unspecified():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case netip.IPv6Unspecified():
		return netip.IPv6Loopback()
	}
	return bind
}

// listenRelay opens a socket on a random free port of the configured range.
func (s *Server) listenRelay(network string, bind netip.Addr) (*net.UDPConn, error) {
	low, n := int(s.cfg.MinPort), int(s.cfg.MaxPort)-int(s.cfg.MinPort)+1
	if low == 0 {
		n = 1 // port 0: the system chooses
	}
	first := rand.IntN(n)
	var lastErr error
	// A range that is nearly full must not cost a flood of system calls per request.
	for i := range min(n, 64) {
		addr := netip.AddrPortFrom(bind, uint16(low+(first+i)%n))
		conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
		if err == nil {
			_ = conn.SetReadBuffer(socketBuffer) // a smaller buffer works, too
			return conn, nil
		}
		lastErr = err
	}
	return nil, fmt.Errorf("open relay socket: %w", lastErr)
}

// encodeID puts a client and its username into a user id of the library's.
func encodeID(c client, username string) string {
	return string(c.transport) + " " + c.addr.String() + " " + username
}

func decodeID(id string) (c client, username string, ok bool) {
	parts := strings.SplitN(id, " ", 3)
	if len(parts) != 3 {
		return client{}, "", false
	}
	addr, err := netip.ParseAddrPort(parts[1])
	if err != nil {
		return client{}, "", false
	}
	return client{transport(parts[0]), addr}, parts[2], true
}

func canonicalIP(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip)
	return a.Unmap(), ok
}

// silence is the library's logger.
type silence struct{}

func (silence) NewLogger(string) logging.LeveledLogger { return silence{} }

func (silence) Trace(string)          {}
func (silence) Tracef(string, ...any) {}
func (silence) Debug(string)          {}
func (silence) Debugf(string, ...any) {}
func (silence) Info(string)           {}
func (silence) Infof(string, ...any)  {}
func (silence) Warn(string)           {}
func (silence) Warnf(string, ...any)  {}
func (silence) Error(string)          {}
func (silence) Errorf(string, ...any) {}
