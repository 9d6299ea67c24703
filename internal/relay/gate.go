package relay

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const gateBuckets = 4096

// gate is a token bucket per source. Sources whose hashes collide share a bucket: the
// table is bounded whatever arrives, at the price that a flood now and then slows a bystander,
// whose client repeats its request. The hash is seeded, so nobody can choose whom.
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

// allow takes a token of source at the time now; false if there is none.
func (g *gate) allow(source netip.Prefix, now time.Time) bool {
	i := maphash.Comparable(g.seed, source) % gateBuckets
	g.mu.Lock()
	defer g.mu.Unlock()
	b := &g.buckets[i]
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
