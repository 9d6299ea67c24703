package relay

import (
	"net"

	"causeway/internal/relay/credential"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// authenticate finds the key of a request's username; the library then checks the
// message integrity with it. The user id that it returns is one per client and username, as
// it is all that the library tells newAllocation about who asks.
func (s *Server) authenticate(r *turn.RequestAttributes) (id string, key []byte, ok bool) {
	id, key, refused := s.authenticateClient(r)
	if refused != "" {
		s.metrics.refuse(refused)
		return "", nil, false
	}
	return id, key, true
}

func (s *Server) authenticateClient(r *turn.RequestAttributes) (id string, key []byte, refused reason) {
	c, ok := clientOf(r.SrcAddr)
	if !ok {
		return "", nil, refusedTransport
	}
	live := s.table.client(c)
	mine := live != nil && live.username == r.Username && live.realm == r.Realm
	switch r.Method {
	case stun.MethodAllocate:
		if mine { // repeated: the library answers as before, or 437
			return live.id, live.key, ""
		}
		return s.newcomer(c, r.Username, r.Realm)
	case stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind:
		// RFC 8656 §5: the same username throughout. Neither the expiry nor the secret is
		// asked for again, so that what runs goes on.
		if !mine {
			return "", nil, refusedNoAllocation
		}
		return live.id, live.key, ""
	}
	return "", nil, refusedMethod
}

// newcomer authenticates a request for a new allocation.
func (s *Server) newcomer(c client, username, realm string) (id string, key []byte, refused reason) {
	expires, _, err := credential.Parse(username)
	if err != nil {
		return "", nil, refusedUsername
	}
	if !s.cfg.now().Before(expires) {
		return "", nil, refusedExpired
	}
	if !s.realms.valid(c, realm) {
		return "", nil, refusedRealm
	}
	key = s.key(username, realm)
	if key == nil {
		return "", nil, refusedUsername
	}
	return encodeID(c, username), key, ""
}

// key is the long-term key of username; nil if there is no secret.
func (s *Server) key(username, realm string) []byte {
	_, holder, err := credential.Parse(username)
	if err != nil {
		return nil
	}
	secret := credential.Select(s.cfg.Secrets(), holder)
	if len(secret) == 0 {
		return nil
	}
	return turn.GenerateAuthKey(username, realm, credential.Password(secret, username))
}

// quota is asked before an allocation is made: false is answered by 486. The limits are
// enforced by table.add; this only finds the better words.
func (s *Server) quota(id, _ string, _ net.Addr) bool {
	c, username, ok := decodeID(id)
	if !ok {
		return false
	}
	r, ok := s.table.room(holderOf(username), c)
	if !ok {
		s.metrics.refuse(r)
	}
	return ok
}

// permit is asked for each peer in CreatePermission and ChannelBind: false is answered by 403.
func (s *Server) permit(clientAddr net.Addr, peer net.IP) bool {
	r := s.refusePeer(clientAddr, peer)
	if r != "" {
		s.metrics.refuse(r)
	}
	return r == ""
}

func (s *Server) refusePeer(clientAddr net.Addr, peer net.IP) reason {
	c, ok := clientOf(clientAddr)
	if !ok {
		return refusedNoAllocation
	}
	a := s.table.client(c)
	if a == nil {
		return refusedNoAllocation
	}
	ip, ok := canonicalIP(peer)
	if !ok || !s.table.permits(ip) {
		return refusedPeer
	}
	// The library cannot tell a new permission from one that is refreshed; nobody
	// honest has this many of either.
	limit := int32(s.cfg.Limits.Permissions)
	if a.permissions.Load() >= limit || a.channels.Load() >= limit {
		return refusedPermissions
	}
	return ""
}

// holderOf is what allocations of username are counted under.
func holderOf(username string) string {
	if _, holder, err := credential.Parse(username); err == nil && holder != "" {
		return holder
	}
	return username
}
