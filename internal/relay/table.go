package relay

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"causeway/internal/relay/grants"
)

// session is one meeting: the members that may be each other's peers.
type session struct {
	id      string
	members []*member // guarded by the table's lock
	// generation changes with everything that a judgement about a peer may depend on.
	generation atomic.Uint64
}

func (s *session) changed() { s.generation.Add(1) }

// member is the live side of a grant.
type member struct {
	account *grants.Account
	session *session
	rest    bool // made by a TURN REST credential, which names no session

	// Guarded by the table's lock.
	grant       grants.Grant
	allocations []*allocation
	proofs      []proof
	pins        pins
	moved       bool // grant.Addrs are Server.Moved's
	dead        bool
}

// proof is where an authenticated Allocate of a member came from.
type proof struct {
	addr netip.AddrPort
	udp  bool
}

// maxProofs bounds what is remembered of a member; the oldest is forgotten.
const maxProofs = 16

// closing is an account that was killed, and what it gives back.
type closing struct {
	account *grants.Account
	left    int64
}

// table holds who is there: grants, sessions, allocations. Its lock is held for
// moments; the data path takes it only to judge a peer anew.
type table struct {
	limits  Limits
	strict  bool   // Config.StrictSource
	clients *index // allocations by the client's address, over UDP
	relayed *index // allocations by relayed address
	live    atomic.Int64
	slack   atomic.Int64 // by which grants outlive their end, in nanoseconds

	mu       sync.Mutex
	grants   map[string]*member
	sessions map[string]*session
	sources  map[netip.Prefix]int
	all      map[*allocation]struct{}
	closing  []closing
	stopped  bool // nothing more is added
}

func newTable(l Limits, strict bool) *table {
	return &table{
		limits: l, strict: strict, clients: newIndex(l.Allocations), relayed: newIndex(l.Allocations),
		grants: make(map[string]*member), sessions: make(map[string]*session),
		sources: make(map[netip.Prefix]int), all: make(map[*allocation]struct{}),
	}
}

// member returns the live member of a grant, or nil.
func (t *table) member(id string) *member {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.grants[id]
}

// join adds the member of g, or returns the one that is there, with g as its grant from
// now on. A grant cannot move to another session.
func (t *table) join(g grants.Grant, rest bool, account *grants.Account) (*member, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m := t.grants[g.ID]; m != nil {
		if m.grant.Session != g.Session || m.grant.Member != g.Member || m.rest != rest {
			return nil, fmt.Errorf("put grant: %w", errMoved)
		}
		if m.moved {
			g.Addrs = m.grant.Addrs
		}
		m.grant = g
		m.session.changed()
		return m, nil
	}
	if t.stopped || len(t.grants) >= t.limits.Grants {
		return nil, fmt.Errorf("put grant: %w", errFull)
	}
	s := t.sessions[g.Session]
	if s == nil {
		s = &session{id: g.Session}
		t.sessions[g.Session] = s
	}
	m := &member{account: account, session: s, rest: rest, grant: g}
	s.members = append(s.members, m)
	t.grants[g.ID] = m
	s.changed()
	return m, nil
}

// room tells why one more allocation of m from c does not fit; "" if it does. The caller
// holds the lock.
func (t *table) room(m *member, c client) refusal {
	limit := m.grant.Allocations
	if limit == 0 {
		limit = t.limits.AllocationsPerHolder
	}
	switch {
	case m.dead || t.stopped:
		return refusedExpired
	case t.strict && m.foreign(c.addr.Addr()):
		return refusedElsewhere
	case len(t.all) >= t.limits.Allocations:
		return refusedTotal
	case len(m.allocations) >= limit:
		return refusedHolder
	case t.sources[sourceOf(c.addr.Addr())] >= t.limits.AllocationsPerSource:
		return refusedSource
	}
	return ""
}

// add makes a live if there is room.
func (t *table) add(a *allocation) refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.room(a.member, a.client); r != "" {
		return r
	}
	if t.relayed.get(a.relayed) != nil {
		return refusedPort
	}
	if a.client.stream == nil {
		t.clients.put(a.client.addr, a)
	} else {
		a.client.stream.allocation.Store(a)
	}
	t.relayed.put(a.relayed, a)
	t.all[a] = struct{}{}
	t.sources[sourceOf(a.client.addr.Addr())]++
	m := a.member
	m.allocations = append(m.allocations, a)
	m.prove(proof{a.client.addr, a.client.stream == nil})
	m.pin(a.client.addr.Addr())
	m.session.changed()
	t.live.Store(int64(len(t.all)))
	return ""
}

func (m *member) prove(p proof) {
	m.proofs = slices.DeleteFunc(m.proofs, func(q proof) bool { return q == p })
	if len(m.proofs) == maxProofs {
		m.proofs = slices.Delete(m.proofs, 0, 1)
	}
	m.proofs = append(m.proofs, p)
}

// remove undoes add; false if somebody else did. The last allocation of a TURN REST
// credential takes its member along.
func (t *table) remove(a *allocation) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.removeLocked(a)
}

func (t *table) removeLocked(a *allocation) bool {
	if _, ok := t.all[a]; !ok {
		return false
	}
	a.dead.Store(true)
	if a.client.stream == nil {
		t.clients.remove(a.client.addr)
	} else {
		a.client.stream.allocation.CompareAndSwap(a, nil)
	}
	t.relayed.remove(a.relayed)
	delete(t.all, a)
	source := sourceOf(a.client.addr.Addr())
	if t.sources[source]--; t.sources[source] <= 0 {
		delete(t.sources, source)
	}
	m := a.member
	m.allocations = slices.DeleteFunc(m.allocations, func(b *allocation) bool { return a == b })
	m.session.changed()
	t.live.Store(int64(len(t.all)))
	if m.rest && len(m.allocations) == 0 && !m.dead {
		t.killLocked(m)
	}
	return true
}

// killLocked ends m and returns the allocations that it had; their sockets are the
// caller's to close. The caller holds the lock.
func (t *table) killLocked(m *member) []*allocation {
	if m.dead {
		return nil
	}
	m.dead = true
	left := m.account.Kill()
	cut := slices.Clone(m.allocations)
	for _, a := range cut {
		t.removeLocked(a)
	}
	delete(t.grants, m.grant.ID)
	s := m.session
	s.members = slices.DeleteFunc(s.members, func(o *member) bool { return o == m })
	s.changed()
	if len(s.members) == 0 {
		delete(t.sessions, s.id)
	}
	// What cannot be remembered stays leased, which counts as spent.
	if len(t.closing) < t.limits.Grants {
		t.closing = append(t.closing, closing{m.account, left})
	}
	return cut
}

// members returns all live members.
func (t *table) members() []*member {
	t.mu.Lock()
	defer t.mu.Unlock()
	ms := make([]*member, 0, len(t.grants))
	for _, m := range t.grants {
		ms = append(ms, m)
	}
	return ms
}

// takeClosing returns the accounts that are to be closed, and forgets them.
func (t *table) takeClosing() []closing {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.closing
	t.closing = nil
	return list
}

// retry remembers an account whose closing failed.
func (t *table) retry(c closing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.closing) < t.limits.Grants {
		t.closing = append(t.closing, c)
	}
}
