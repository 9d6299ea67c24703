package relay

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const gateBuckets = 4096

// gate is a token bucket per source, for requests that anybody can make. Sources whose
// hashes collide share a bucket: the table is bounded whatever arrives, at the price
// that a flood now and then slows a bystander, whose client repeats its request. The hash
// is seeded, so nobody can choose whom.
//
// A request that turns out to be authentic gives its token back. So it is only challenges and
// bindings that are limited, and a busy source of honest clients is not.
type gate struct {
	seed        maphash.Seed
	rate, burst float64

	mu      sync.Mutex
	buckets [gateBuckets]bucket
}

type bucket struct {
	spent float64 // tokens taken and not yet grown again; zero is a full bucket
	at    time.Time
}

func newGate(rate, burst int) *gate {
	return &gate{seed: maphash.MakeSeed(), rate: float64(rate), burst: float64(burst)}
}

// gateKey is what requests of c are limited by: the source, or, for one that has an
// allocation, its five-tuple, so that its neighbours do not get in its way.
func gateKey(c client, a *allocation) netip.AddrPort {
	if a != nil {
		return c.addr
	}
	return netip.AddrPortFrom(sourceOf(c.addr.Addr()).Addr(), 0)
}

func (g *gate) bucket(key netip.AddrPort) *bucket {
	return &g.buckets[maphash.Comparable(g.seed, key)%gateBuckets]
}

// allow takes a token of key at the time now; false if there is none.
func (g *gate) allow(key netip.AddrPort, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.bucket(key)
	if dt := now.Sub(b.at).Seconds(); dt > 0 {
		b.spent = max(0, b.spent-dt*g.rate)
		b.at = now
	}
	if b.spent+1 > g.burst {
		return false
	}
	b.spent++
	return true
}

// refund gives back what allow took.
func (g *gate) refund(key netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.bucket(key)
	b.spent = max(0, b.spent-1)
}

// sourceOf is what limits count by: an IPv4 address, or an IPv6 /64, which is what
// one subscriber has at the least.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits) // fails for an invalid address only
	return p
}
