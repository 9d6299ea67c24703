package relay

import (
	"time"

	"causeway/internal/relay/credential"
	"causeway/internal/relay/grants"
	"causeway/internal/relay/wire"
)

// authority knows usernames of one form.
type authority interface {
	// identify finds who username is, and the key that its message integrity is made
	// with. Fresh is true for a new allocation, where an expiry in the name counts. "mine" is
	// false for a username of another form.
	identify(username string, fresh bool, now time.Time) (id identity, r refusal, mine bool)
}

// identity is who sent an authentic request.
type identity struct {
	username string
	key      wire.Key
	member   *member // nil: the first allocation of grant makes it
	grant    grants.Grant
}

// granted is the authority for credentials that name a grant. They carry no right by
// themselves: without a live grant they are as good as unknown.
type granted struct {
	table *table
	realm string
	key   []byte
	kid   uint16
}

func (g granted) identify(username string, _ bool, now time.Time) (identity, refusal, bool) {
	kid, id, _, err := credential.ParseGrant(username)
	if err != nil {
		return identity{}, "", false
	}
	if kid != g.kid {
		return identity{}, refusedUsername, true
	}
	m := g.table.member(id)
	if m == nil || !g.table.lives(m, now) {
		return identity{}, refusedGrant, true
	}
	key := wire.LongTermKey(username, g.realm, credential.GrantPassword(g.key, username, g.realm))
	return identity{username: username, key: key, member: m}, "", true
}

// lives tells whether m's grant has not ended.
func (t *table) lives(m *member, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !m.dead && now.Before(t.end(&m.grant))
}

// rest is the authority for TURN REST credentials, in the way of coturn's
// use-auth-secret: whoever has the secret names users, and their expiry bounds when an
// allocation can be made, not how long it lasts.
type rest struct {
	realm   string
	secrets func() [][]byte
}

// restSession is the one session that all TURN REST users are in: nothing tells them
// apart. No grant's is, as restPrefix begins no grant's id.
const (
	restSession = "\x00rest"
	restPrefix  = "rest:"
)

func (r rest) identify(username string, fresh bool, now time.Time) (identity, refusal, bool) {
	expires, holder, err := credential.Parse(username)
	if err != nil {
		return identity{}, refusedUsername, true
	}
	if fresh && !now.Before(expires) {
		return identity{}, refusedExpired, true
	}
	secret := credential.Select(r.secrets(), holder)
	if len(secret) == 0 {
		return identity{}, refusedUsername, true
	}
	if holder == "" {
		holder = username
	}
	return identity{
		username: username,
		key:      wire.LongTermKey(username, r.realm, credential.Password(secret, username)),
		grant:    grants.Grant{ID: restPrefix + holder, Session: restSession, Member: holder},
	}, "", true
}

// identify asks the authorities in order. The user of a live allocation goes on
// under the key that made it, for as long as its grant lives, so that a secret may be changed
// under a running call.
func (s *Server) identify(username string, fresh bool, a *allocation, now time.Time) (identity, refusal) {
	if a != nil && a.username == username && (a.member.rest || s.table.lives(a.member, now)) {
		return identity{username: username, key: a.key, member: a.member}, ""
	}
	for _, of := range s.authorities {
		if id, r, mine := of.identify(username, fresh, now); mine {
			return id, r
		}
	}
	return identity{}, refusedUsername
}
