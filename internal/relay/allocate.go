package relay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"causeway/internal/relay/grants"
	"causeway/internal/relay/udp"
	"causeway/internal/relay/wire"

	"github.com/pion/stun/v4"
)

// wish is what an Allocate asks for.
type wish struct {
	v6       bool
	both     bool // ADDITIONAL-ADDRESS-FAMILY
	even     bool
	lifetime time.Duration
}

// allocate is RFC 8656 §7.2.
func (s *Server) allocate(w *worker, c client, m *stun.Message, a *allocation, id identity) answer {
	if a != nil && !a.dead.Load() {
		if a.tid != m.TransactionID || a.username != id.username {
			return refuse(stun.CodeAllocMismatch, refusedAllocation)
		}
		return allocated(a, time.Duration(a.until.Load()-w.now).Round(time.Second)) // a repetition: the answer was lost
	}
	want, out := wishOf(m)
	if out.code != 0 {
		return out
	}
	if s.draining.Load() {
		return refuse(stun.CodeInsufficientCapacity, refusedDraining)
	}
	made, out := s.newAllocation(w, c, id, want, m.TransactionID)
	if out.code != 0 {
		return out
	}
	s.ask(made.member) // a full lease, now that it will be needed
	return allocated(made, want.lifetime)
}

func allocated(a *allocation, lifetime time.Duration) answer {
	return answer{fill: func(r *wire.Reply) {
		r.Address(stun.AttrXORRelayedAddress, a.relayed)
		r.Address(stun.AttrXORMappedAddress, a.client.addr)
		r.Uint32(stun.AttrLifetime, uint32(max(0, lifetime)/time.Second))
		if a.failed != 0 {
			r.AddressError(wire.IPv6, a.failed)
		}
	}}
}

// wishOf reads the attributes of an Allocate, in the order of RFC 8656 §7.2.
func wishOf(m *stun.Message) (wish, answer) {
	bad := refuse(stun.CodeBadRequest, refusedRequest)
	protocol, present, ok := wire.Uint32(m, stun.AttrRequestedTransport)
	if !present || !ok {
		return wish{}, bad
	}
	if protocol>>24 != 17 { // RFC 6062's TCP among them
		return wish{}, refuse(stun.CodeUnsupportedTransProto, refusedTransport)
	}
	if m.Contains(wire.AttrMobilityTicket) {
		return wish{}, refuse(wire.CodeMobilityForbidden, refusedMobility)
	}
	family, hasFamily, familyOK := wire.Uint32(m, stun.AttrRequestedAddressFamily)
	additional, hasAdditional, additionalOK := wire.Uint32(m, wire.AttrAdditionalAddressFamily)
	reserve, hasEven, evenOK := wire.EvenPort(m)
	token := m.Contains(stun.AttrReservationToken)
	switch {
	case !familyOK || !additionalOK || !evenOK,
		token && (hasEven || hasFamily || hasAdditional),
		hasFamily && hasAdditional,
		hasAdditional && (wire.Family(additional>>24) != wire.IPv6 || reserve):
		return wish{}, bad
	case token || reserve: // pairs of ports are for RTCP before it shared its port
		return wish{}, refuse(stun.CodeInsufficientCapacity, refusedReservation)
	}
	f := wire.IPv4
	if hasFamily {
		f = wire.Family(family >> 24)
	}
	if f != wire.IPv4 && f != wire.IPv6 {
		return wish{}, refuse(stun.CodeAddrFamilyNotSupported, refusedFamily)
	}
	lifetime, ok := lifetimeOf(m)
	if !ok {
		return wish{}, bad
	}
	if lifetime == 0 { // RFC 8656 §7.2 does not want less than the default
		lifetime = maxLifetime
	}
	return wish{v6: f == wire.IPv6, both: hasAdditional, even: hasEven, lifetime: lifetime}, answer{}
}

// lifetimeOf is what LIFETIME asks for, capped.
func lifetimeOf(m *stun.Message) (time.Duration, bool) {
	v, present, ok := wire.Uint32(m, stun.AttrLifetime)
	if !present {
		return maxLifetime, ok
	}
	return min(maxLifetime, time.Duration(v)*time.Second), ok
}

// newAllocation makes an allocation for an authentic client.
func (s *Server) newAllocation(w *worker, c client, id identity, want wish, tid [stun.TransactionIDSize]byte) (*allocation, answer) {
	bind, public, err := s.relayAddress(want.v6)
	if err != nil {
		return nil, refuse(stun.CodeAddrFamilyNotSupported, refusedFamily)
	}
	m := id.member
	if m == nil {
		m, err = s.table.join(id.grant, true, s.newAccount(id.grant.ID))
		if err != nil {
			return nil, refuse(stun.CodeInsufficientCapacity, refusedTotal)
		}
		defer s.leave(m)
	}
	// Before a socket is opened; add asks again.
	s.table.mu.Lock()
	r, foreign := s.table.room(m, c), m.foreign(c.addr.Addr())
	s.table.mu.Unlock()
	if foreign {
		s.alarm()
	}
	if r != "" {
		return nil, full(r)
	}
	conn, err := s.listenRelay(bind, want.even)
	if err != nil {
		return nil, refuse(stun.CodeInsufficientCapacity, refusedPort)
	}
	c.addr = netip.AddrPortFrom(c.addr.Addr(), c.addr.Port())
	a := &allocation{
		client: c, tid: tid, username: id.username, key: id.key, member: m,
		relayed: netip.AddrPortFrom(public, conn.LocalAddr().Port()), conn: conn,
		free: s.public.near(c.addr.Addr()), poller: s.pollers[rand.IntN(len(s.pollers))],
	}
	if want.both {
		a.failed = stun.CodeAddrFamilyNotSupported // one address an allocation
	}
	a.until.Store(w.now + int64(want.lifetime))
	if r := s.table.add(a); r != "" {
		_ = conn.Close() // nothing was sent on it
		return nil, full(r)
	}
	s.metrics.born(c.transport)
	if c.stream != nil {
		c.stream.arm()
	}
	if err := a.poller.Add(conn, a); err != nil {
		s.drop(a)
		return nil, refuse(stun.CodeInsufficientCapacity, refusedPort)
	}
	return a, answer{}
}

// full is the answer where there is no room: 486 is the user's own limit.
func full(r refusal) answer {
	switch r {
	case refusedHolder, refusedSource:
		return refuse(stun.CodeAllocQuotaReached, r)
	case refusedExpired, refusedElsewhere:
		return refuse(stun.CodeUnauthorized, r)
	}
	return refuse(stun.CodeInsufficientCapacity, r)
}

// leave ends the member of a TURN REST credential if it has no allocation.
func (s *Server) leave(m *member) {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	if m.rest && len(m.allocations) == 0 {
		s.table.killLocked(m)
	}
}

// drop ends an allocation.
func (s *Server) drop(a *allocation) {
	if s.table.remove(a) {
		s.dropped(a, false)
	}
}

// dropped lets go of what a, which is not in the table any more, holds. If cut, its
// client's connection goes as well.
func (s *Server) dropped(a *allocation, cut bool) {
	_ = a.conn.Close() // what is under way is dropped
	s.metrics.died(a.client.transport)
	st := a.client.stream
	switch {
	case st == nil:
	case cut:
		st.cut()
	default:
		st.arm()
	}
	s.drained()
}

// refresh is RFC 8656 §8.2.
func (s *Server) refresh(w *worker, m *stun.Message, a *allocation) answer {
	if m.Contains(wire.AttrMobilityTicket) {
		return refuse(wire.CodeMobilityForbidden, refusedMobility)
	}
	family, present, ok := wire.Uint32(m, stun.AttrRequestedAddressFamily)
	lifetime, lok := lifetimeOf(m)
	if !ok || !lok {
		return refuse(stun.CodeBadRequest, refusedRequest)
	}
	if present && wire.Family(family>>24) != wire.FamilyOf(a.relayed.Addr()) {
		return refuse(stun.CodePeerAddrFamilyMismatch, refusedFamily)
	}
	if lifetime == 0 {
		s.drop(a)
	} else {
		a.until.Store(w.now + int64(lifetime))
	}
	return answer{fill: func(r *wire.Reply) { r.Uint32(stun.AttrLifetime, uint32(lifetime/time.Second)) }}
}

// newAccount makes an account under the server's limits.
func (s *Server) newAccount(id string) *grants.Account {
	l := s.cfg.Limits
	return grants.NewAccount(id, s.cfg.Ledger, grants.Limits{
		BytesPerSecond: int64(l.BytesPerSecond), PacketsPerSecond: int64(l.PacketsPerSecond), Chunk: s.cfg.Chunk,
	})
}

// relayAddress returns where to bind a relayed address, and the public address to tell.
func (s *Server) relayAddress(v6 bool) (bind, public netip.Addr, err error) {
	host := s.addr.Addr()
	switch {
	case host.IsUnspecified() && host.Is4() && v6, !host.IsUnspecified() && host.Is6() != v6:
		return bind, public, errors.New("address family is not listened on")
	case !host.IsUnspecified():
		bind = host
	case v6:
		bind = netip.IPv6Unspecified()
	default:
		bind = netip.IPv4Unspecified()
	}
	if public = s.public.address(v6); !public.IsValid() {
		return bind, public, errors.New("no public address of that family")
	}
	return bind, public, nil
}

// evenAttempts is how often the system is asked for a port until it is even.
const evenAttempts = 16

// listenRelay opens a socket on a random free port of the configured range.
func (s *Server) listenRelay(bind netip.Addr, even bool) (*udp.Conn, error) {
	o := udp.Options{GRO: true, GSO: true, Buffers: s.cfg.RelayBuffer}
	low, n := int(s.cfg.MinPort), int(s.cfg.MaxPort)-int(s.cfg.MinPort)+1
	if low == 0 {
		for attempt := 0; ; attempt++ {
			conn, err := udp.Listen(netip.AddrPortFrom(bind, 0), o)
			if err != nil || !even || conn.LocalAddr().Port()%2 == 0 {
				return conn, err
			}
			_ = conn.Close() // not used
			if attempt == evenAttempts {
				return nil, errors.New("no even port found")
			}
		}
	}
	first := rand.IntN(n)
	for i := range n {
		port := uint16(low + (first+i)%n)
		if even && port%2 != 0 {
			continue
		}
		if conn, err := udp.Listen(netip.AddrPortFrom(bind, port), o); err == nil {
			return conn, nil
		}
	}
	return nil, fmt.Errorf("no free port in %d-%d", s.cfg.MinPort, s.cfg.MaxPort)
}
