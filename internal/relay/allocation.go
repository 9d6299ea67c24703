package relay

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"causeway/internal/relay/policy"
	"causeway/internal/relay/udp"
	"causeway/internal/relay/wire"

	"github.com/pion/stun/v4"
)

// The times of RFC 8656.
const (
	maxLifetime        = 600 * time.Second // of an allocation; also the default (§3.2)
	permissionLifetime = 300 * time.Second // §9
	channelLifetime    = 600 * time.Second // §12
)

// client is who sent something: the client's half of a five-tuple, and the way back.
type client struct {
	transport transport
	addr      netip.AddrPort
	local     netip.Addr // ours that was asked, where the socket has several; else invalid
	via       *udp.Conn  // over UDP
	stream    *stream    // over TCP and TLS
}

// allocation is one live allocation: who made it, the socket of its relayed address,
// and whom it talks to. What is not atomic does not change, or is guarded by the
// table's lock.
type allocation struct {
	client   client
	tid      [stun.TransactionIDSize]byte // of the Allocate, which may be repeated
	username string
	key      wire.Key
	member   *member

	relayed netip.AddrPort
	conn    *udp.Conn // of relayed
	poller  *udp.Poller
	free    bool // what goes to the client stays in our networks

	until  atomic.Int64 // nanoseconds of Server.clock
	dead   atomic.Bool
	failed stun.ErrorCode // of the additional address family; 0 if none was asked for

	permissions atomic.Pointer[[]*permission] // replaced as a whole, under the table's lock
	peers       atomic.Pointer[[]*peer]       // likewise
}

// permission is for an IP (RFC 8656 §9).
type permission struct {
	addr  netip.Addr
	until atomic.Int64
}

// peer is one address and port that an allocation exchanges packets with, and what is
// known about it, so that most packets need no more than a look.
type peer struct {
	addr       netip.AddrPort
	permission *permission
	free       bool // what goes to it stays in our networks

	channel      atomic.Uint32 // number; 0: none
	channelUntil atomic.Int64
	used         atomic.Int64 // when it was met or last judged

	// judged is a policy.Verdict and, above it, the generation of the session that it
	// holds for; target is the allocation whose relayed address this is, or nil.
	judged atomic.Uint64
	target atomic.Pointer[allocation]

	gate atomic.Pointer[gated] // policy.P3
}

// gated is a policy.Gate for several goroutines.
type gated struct {
	mu   sync.Mutex
	gate policy.Gate
	open atomic.Bool // as it was after the last packet; asked where mu must not be waited for
}

func (g *gated) pass(fromPeer bool, b []byte, now time.Time) (ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if fromPeer {
		ok = g.gate.FromPeer(b, now)
	} else {
		ok = g.gate.FromClient(b, now)
	}
	g.open.Store(g.gate.Open(now))
	return ok
}

func load[T any](p *atomic.Pointer[[]T]) []T {
	if l := p.Load(); l != nil {
		return *l
	}
	return nil
}

// permission returns the live permission for addr, or nil.
func (a *allocation) permission(addr netip.Addr, now int64) *permission {
	for _, p := range load(&a.permissions) {
		if p.addr == addr && p.until.Load() > now {
			return p
		}
	}
	return nil
}

// peer returns the peer at addr if it has been met, and its permission lives.
func (a *allocation) peer(addr netip.AddrPort, now int64) *peer {
	for _, p := range load(&a.peers) {
		if p.addr == addr {
			if p.permission.until.Load() <= now {
				return nil
			}
			return p
		}
	}
	return nil
}

// bound returns the peer that channel number n is bound to, or nil.
func (a *allocation) bound(n uint16, now int64) *peer {
	for _, p := range load(&a.peers) {
		if p.channel.Load() == uint32(n) {
			if p.channelUntil.Load() <= now || p.permission.until.Load() <= now {
				return nil
			}
			return p
		}
	}
	return nil
}

// live tells whether the channel may be used, and its number.
func (p *peer) live(now int64) (uint16, bool) {
	n := p.channel.Load()
	return uint16(n), n != 0 && p.channelUntil.Load() > now
}

// permit gives addr a permission or renews it; false if there are too many. The caller
// holds the table's lock.
func (a *allocation) permit(addr netip.Addr, limit int, now int64) (*permission, bool) {
	list := load(&a.permissions)
	live := 0
	for _, p := range list {
		if p.addr == addr {
			p.until.Store(now + int64(permissionLifetime))
			return p, true
		}
		if p.until.Load() > now {
			live++
		}
	}
	if live >= limit {
		return nil, false
	}
	next := slices.DeleteFunc(slices.Clone(list), func(p *permission) bool { return p.until.Load() <= now })
	p := &permission{addr: addr}
	p.until.Store(now + int64(permissionLifetime))
	next = append(next, p)
	a.permissions.Store(&next)
	return p, true
}

// meet returns the peer at addr, made if need be, for which there is a permission. Of the ports of
// one address there may be many: the one that was used the longest ago and has no channel
// makes room. It returns nil if all have one. The caller holds the table's lock.
func (a *allocation) meet(addr netip.AddrPort, permission *permission, near bool, limit int, now int64) *peer {
	list := slices.DeleteFunc(slices.Clone(load(&a.peers)), func(p *peer) bool {
		return p.addr != addr && p.permission.until.Load() <= now
	})
	oldest := -1
	for i, p := range list {
		if p.addr == addr {
			if p.permission == permission {
				return p
			}
			list = slices.Delete(list, i, i+1) // its permission had ended; so had all that was known
			break
		}
	}
	for i, p := range list {
		g := p.gate.Load()
		if _, bound := p.live(now); bound || g != nil && g.open.Load() {
			continue
		}
		if oldest < 0 || p.used.Load() < list[oldest].used.Load() {
			oldest = i
		}
	}
	if len(list) >= limit {
		if oldest < 0 {
			return nil
		}
		list = slices.Delete(list, oldest, oldest+1)
	}
	p := &peer{addr: addr, permission: permission, free: near}
	p.used.Store(now)
	list = append(list, p)
	a.peers.Store(&list)
	return p
}
