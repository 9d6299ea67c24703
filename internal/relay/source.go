package relay

import "net/netip"

// The first Allocate of a credential pins the prefix that it came from: an IPv4 /24, an IPv6 /48,
// one of each, as a browser with both families uses both. A credential that turns up elsewhere may have
// been copied, so it is counted and told (once a minute, without the address); with
// Config.StrictSource, it is refused. What is always accepted, and pinned from then on, is the prefix that
// the member signals from now: that is how it looks when a phone changes its network.
//
// Soft is the default because honest members look like thieves to this: behind carriers' NAT
// with several addresses, or with a proxy for HTTP only.

// pins are the prefixes of a credential, of IPv4 and of IPv6; guarded by the table's lock.
type pins [2]netip.Prefix

// prefixOf is what pins compare.
func prefixOf(a netip.Addr) (family int, p netip.Prefix) {
	bits := 24
	if a.Is6() {
		family, bits = 1, 48
	}
	p, _ = a.WithZone("").Prefix(bits) // fails for an invalid address only
	return family, p
}

// foreign tells whether m's client at source is elsewhere than it was, and elsewhere than where m signals
// from. The caller holds the table's lock.
func (m *member) foreign(source netip.Addr) bool {
	family, p := prefixOf(source)
	if m.rest || !m.pins[family].IsValid() || m.pins[family] == p {
		return false
	}
	for _, a := range m.grant.Addrs {
		if _, q := prefixOf(a.Unmap()); p == q {
			return false
		}
	}
	return true
}

// pin remembers where m's client is. The caller holds the table's lock.
func (m *member) pin(source netip.Addr) {
	if family, p := prefixOf(source); !m.pins[family].IsValid() || !m.foreign(source) {
		m.pins[family] = p
	}
}

// Moved says that a member signals from addr now, the zero Addr if that is not public. It stays so whatever
// a Put says later.
func (s *Server) Moved(session, member string, addr netip.Addr) {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	of := s.table.sessions[session]
	if of == nil {
		return
	}
	for _, m := range of.members {
		if m.grant.Member != member || m.rest {
			continue
		}
		m.grant.Addrs, m.moved = nil, true
		if addr.IsValid() {
			m.grant.Addrs = []netip.Addr{addr}
		}
	}
	of.changed()
}

// alarm says that a credential was used elsewhere.
func (s *Server) alarm() {
	outcome := "accepted"
	if s.cfg.StrictSource {
		outcome = "refused"
	}
	s.metrics.foreign.WithLabelValues(outcome).Inc()
	if s.alarmed.due(s.cfg.now()) {
		s.cfg.Logger.Warn("a credential is used from another network than before", "outcome", outcome)
	}
}
