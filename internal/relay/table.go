package relay

import (
	"net"
	"net/netip"
	"sync"
)

// client is the client's half of a five-tuple. The server's half is always the same.
type client struct {
	transport transport
	addr      netip.AddrPort
}

// clientOf reads the address of a client as the library hands it around.
func clientOf(a net.Addr) (client, bool) {
	switch a := a.(type) {
	case *net.UDPAddr:
		return client{overUDP, canonical(a.AddrPort())}, true
	case *net.TCPAddr:
		return client{overTCP, canonical(a.AddrPort())}, true
	}
	return client{}, false
}

// canonical makes one form of each address: IPv4 is never IPv4-mapped IPv6.
func canonical(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// table holds the live allocations and answers who may talk to whom. Its size is
// bounded by Limits.Allocations.
type table struct {
	limits Limits

	mu      sync.RWMutex
	clients map[client]*allocation
	relayed map[netip.AddrPort]*allocation // by relayed address
	local   map[netip.AddrPort]*allocation // by the address of its socket inside this machine
	ips     map[netip.Addr]int             // uses of an IP as that of a possible peer
	holders map[string]int
	sources map[netip.Prefix]int
}

func newTable(l Limits) *table {
	return &table{
		limits:  l,
		clients: make(map[client]*allocation),
		relayed: make(map[netip.AddrPort]*allocation),
		local:   make(map[netip.AddrPort]*allocation),
		ips:     make(map[netip.Addr]int),
		holders: make(map[string]int),
		sources: make(map[netip.Prefix]int),
	}
}

// client returns the live allocation of c, or nil.
func (t *table) client(c client) *allocation {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.clients[c]
}

// size returns the number of live allocations.
func (t *table) size() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.relayed)
}

// room tells whether one more allocation fits; if not, why.
func (t *table) room(holder string, c client) (reason, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.roomLocked(holder, c)
}

func (t *table) roomLocked(holder string, c client) (reason, bool) {
	switch {
	case len(t.relayed) >= t.limits.Allocations:
		return refusedTotal, false
	case t.holders[holder] >= t.limits.AllocationsPerHolder:
		return refusedHolder, false
	case t.sources[sourceOf(c.addr.Addr())] >= t.limits.AllocationsPerSource:
		return refusedSource, false
	}
	return "", true
}

// add makes a live, if there is room.
func (t *table) add(a *allocation) (reason, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r, ok := t.roomLocked(a.holder, a.client); !ok {
		return r, false
	}
	if t.relayed[a.relayed] != nil {
		return refusedPort, false
	}
	t.clients[a.client] = a
	t.relayed[a.relayed] = a
	t.local[a.local] = a
	t.holders[a.holder]++
	t.sources[sourceOf(a.client.addr.Addr())]++
	for _, ip := range a.peerIPs() {
		t.ips[ip]++
	}
	return "", true
}

// remove undoes add.
func (t *table) remove(a *allocation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// An allocation that ran out may be removed after its client made the next one.
	if t.clients[a.client] == a {
		delete(t.clients, a.client)
	}
	delete(t.relayed, a.relayed)
	delete(t.local, a.local)
	release(t.holders, a.holder)
	release(t.sources, sourceOf(a.client.addr.Addr()))
	for _, ip := range a.peerIPs() {
		release(t.ips, ip)
	}
}

func release[K comparable](m map[K]int, k K) {
	if m[k]--; m[k] <= 0 {
		delete(m, k)
	}
}

// permits tells whether some port of ip may be a peer. A permission is for an IP
// (RFC 8656 §9); the port is checked for each packet, by toPeer and fromPeer.
func (t *table) permits(ip netip.Addr) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.ips[ip] > 0
}

// toPeer returns where to send what is for peer; false if it is not a peer.
func (t *table) toPeer(peer netip.AddrPort) (netip.AddrPort, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if a := t.relayed[peer]; a != nil {
		return a.local, true
	}
	return peer, t.clients[client{overUDP, peer}] != nil
}

// fromPeer returns the peer that a packet with this source address is from, in the
// form the library wants; nil if it is not a peer.
func (t *table) fromPeer(source netip.AddrPort) *net.UDPAddr {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if a := t.local[source]; a != nil {
		return a.relayedUDP
	}
	if a := t.clients[client{overUDP, source}]; a != nil {
		return a.clientUDP
	}
	return nil
}

// all returns the live allocations.
func (t *table) all() []*allocation {
	t.mu.RLock()
	defer t.mu.RUnlock()
	as := make([]*allocation, 0, len(t.relayed))
	for _, a := range t.relayed {
		as = append(as, a)
	}
	return as
}
