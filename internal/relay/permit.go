package relay

import (
	"net/netip"

	"causeway/internal/relay/policy"
	"causeway/internal/relay/wire"

	"github.com/pion/stun/v4"
)

// Channel numbers. RFC 8656 §12 ends them at 0x4FFF, so that other protocols may share
// the port; none does here, and clients of RFC 5766, as coturn's, use them up to 0x7FFF.
const (
	minChannel = 0x4000
	maxChannel = 0x7FFF
)

// createPermission is RFC 8656 §10.2: all peers or none.
func (s *Server) createPermission(w *worker, m *stun.Message, a *allocation) answer {
	peers, ok := wire.Peers(m)
	if !ok {
		return refuse(stun.CodeBadRequest, refusedRequest)
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	for _, p := range peers {
		if out := s.admit(a, p, false); out.code != 0 {
			return out
		}
	}
	wanted := make(map[netip.Addr]struct{})
	for _, p := range load(&a.permissions) {
		if p.until.Load() > w.now {
			wanted[p.addr] = struct{}{}
		}
	}
	for _, p := range peers {
		wanted[canonical(p).Addr()] = struct{}{}
	}
	limit := s.permissions(a)
	if len(wanted) > limit {
		return refuse(stun.CodeInsufficientCapacity, refusedPermissions)
	}
	for _, p := range peers {
		a.permit(canonical(p).Addr(), limit, w.now) // there is room
	}
	return answer{}
}

// admit asks the policy about a peer of a request. The caller holds the table's lock.
func (s *Server) admit(a *allocation, p netip.AddrPort, portKnown bool) answer {
	p = canonical(p)
	if wire.FamilyOf(p.Addr()) != wire.FamilyOf(a.relayed.Addr()) {
		return refuse(stun.CodePeerAddrFamilyMismatch, refusedFamily)
	}
	if v := s.policyOf(a).Peer(facts{s, a}, p, portKnown); v != policy.Allow {
		s.metrics.denyRequest(v)
		return refuse(stun.CodeForbidden, refusedPeer)
	}
	return answer{}
}

// permissions is how many a may have.
func (s *Server) permissions(a *allocation) int {
	if n := a.member.grant.Permissions; n > 0 {
		return n
	}
	return s.cfg.Limits.Permissions
}

// channelBind is RFC 8656 §12.2.
func (s *Server) channelBind(w *worker, m *stun.Message, a *allocation) answer {
	n, ok := wire.ChannelNumber(m)
	addr, has := wire.Peer(m)
	if !ok || !has || n < minChannel || n > maxChannel {
		return refuse(stun.CodeBadRequest, refusedRequest)
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	if out := s.admit(a, addr, true); out.code != 0 {
		return out
	}
	addr = canonical(addr)
	for _, p := range load(&a.peers) {
		number, live := p.live(w.now)
		if live && (number == n) != (p.addr == addr) {
			return refuse(stun.CodeBadRequest, refusedChannel)
		}
	}
	permission, ok := a.permit(addr.Addr(), s.permissions(a), w.now)
	if !ok {
		return refuse(stun.CodeInsufficientCapacity, refusedPermissions)
	}
	p := a.meet(addr, permission, s.public.near(addr.Addr()), s.cfg.Limits.peers(), w.now)
	if p == nil {
		return refuse(stun.CodeInsufficientCapacity, refusedPermissions)
	}
	// Another peer's channel of this number has ended, and must not be found before this one.
	for _, o := range load(&a.peers) {
		if o != p && o.channel.Load() == uint32(n) {
			o.channel.Store(0)
		}
	}
	p.channelUntil.Store(w.now + int64(channelLifetime))
	p.channel.Store(uint32(n))
	return answer{}
}
