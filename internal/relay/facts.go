package relay

import (
	"net/netip"

	"causeway/internal/relay/policy"
)

// facts is what an allocation's session looks like to package policy. Whoever asks it
// holds the table's lock.
type facts struct {
	s *Server
	a *allocation
}

// other tells whether o is another member than the allocation's own. A member may hold
// several grants, one after the other.
func (f facts) other(o *member) bool {
	return o != f.a.member && o.grant.Member != f.a.member.grant.Member
}

// peerOf tells whether b may be the peer of f's allocation by its relayed address. TURN
// REST credentials name no session and often no user: there, any two may.
func (f facts) peerOf(b *allocation) bool {
	if b.member.session != f.a.member.session || b == f.a || b.dead.Load() {
		return false
	}
	return f.a.member.rest || f.other(b.member)
}

// Relayed implements policy.Facts.
func (f facts) Relayed(peer netip.AddrPort, exact bool) bool {
	if exact {
		b := f.s.table.relayed.get(peer)
		return b != nil && f.peerOf(b)
	}
	for _, m := range f.a.member.session.members {
		for _, b := range m.allocations {
			if b.relayed.Addr() == peer.Addr() && f.peerOf(b) {
				return true
			}
		}
	}
	return false
}

// Proven implements policy.Facts.
func (f facts) Proven(peer netip.AddrPort, exact bool) bool {
	for _, m := range f.a.member.session.members {
		if !f.other(m) {
			continue
		}
		for _, p := range m.proofs {
			if exact && p.udp && p.addr == peer || !exact && p.addr.Addr() == peer.Addr() {
				return true
			}
		}
	}
	return false
}

// Signaled implements policy.Facts.
func (f facts) Signaled(addr netip.Addr) bool {
	for _, m := range f.a.member.session.members {
		if !f.other(m) {
			continue
		}
		for _, a := range m.grant.Addrs {
			if a.Unmap() == addr {
				return true
			}
		}
	}
	return false
}

// Own implements policy.Facts.
func (f facts) Own(addr netip.Addr) bool { return f.s.public.own(addr) }

// policyOf is the policy for an allocation. The caller holds the table's lock.
func (s *Server) policyOf(a *allocation) policy.Policy {
	p := s.cfg.Policy
	if a.member.rest {
		p.Level = min(p.Level, policy.P1) // nobody proves anything there
		if p.Level == policy.Default {
			p.Level = policy.P1
		}
	} else if l := a.member.grant.Policy; l != policy.Default {
		p.Level = l
	} else if p.Level == policy.Default {
		p.Level = policy.P2
	}
	return p
}

// judge says whether a may exchange packets with p, and remembers it for as long as
// nothing changes in the session.
func (s *Server) judge(a *allocation, p *peer) policy.Verdict {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	generation := a.member.session.generation.Load()
	rule := s.policyOf(a)
	v := rule.Peer(facts{s, a}, p.addr, true)
	var target *allocation
	if b := s.table.relayed.get(p.addr); v == policy.Allow && b != nil && (facts{s, a}).peerOf(b) {
		target = b
	}
	p.target.Store(target)
	if rule.Level == policy.P3 && p.gate.Load() == nil {
		p.gate.Store(&gated{gate: policy.Gate{Member: a.member.grant.Member, Directory: s.directory(a.member.session)}})
	}
	p.judged.Store(generation<<8 | uint64(v))
	return v
}

// directory finds the ICE credentials of a session's members.
func (s *Server) directory(of *session) policy.Directory {
	return func(ufrag []byte) (member, pwd string, ok bool) {
		s.table.mu.Lock()
		defer s.table.mu.Unlock()
		for _, m := range of.members {
			for _, c := range m.grant.ICE {
				if c.Ufrag == string(ufrag) {
					return m.grant.Member, c.Pwd, true
				}
			}
		}
		return "", "", false
	}
}
