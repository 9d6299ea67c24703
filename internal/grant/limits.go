package grant

import (
	"net/netip"
	"sync"
	"time"
)

const (
	memberBurst = 16
	memberEvery = 10 * time.Second
	prefixBurst = 64
	prefixEvery = 2500 * time.Millisecond
	maxPrefixes = 1 << 16
)

// bucket is a token bucket: the time at which it is full again.
type bucket struct{ full time.Time }

// take takes one token of a bucket that holds burst and gains one every `every`.
func (b *bucket) take(now time.Time, burst int, every time.Duration) bool {
	full := b.full
	if full.Before(now) {
		full = now
	}
	if full.Sub(now) > time.Duration(burst-1)*every {
		return false
	}
	b.full = full.Add(every)
	return true
}

// Bucket is one limit that a member who asks for a relay is under.
type Bucket struct {
	Name  string
	Burst int
	Every time.Duration
}

// Buckets are the limits that m is under, for those who keep them elsewhere than a Keeper does.
func Buckets(m Member) []Bucket {
	all := []Bucket{{"member " + m.Session + "." + m.Peer, memberBurst, memberEvery}}
	if m.Addr.IsValid() {
		all = append(all, Bucket{"prefix " + prefixOf(m.Addr).String(), prefixBurst, prefixEvery})
	}
	return all
}

// limits are the buckets of address prefixes.
type limits struct {
	mu       sync.Mutex
	prefixes map[netip.Prefix]*bucket
}

// prefixOf returns what one network has: an IPv4 /24 or an IPv6 /56.
func prefixOf(a netip.Addr) netip.Prefix {
	bits := 24
	if a = a.Unmap(); a.Is6() {
		bits = 56
	}
	p, _ := a.Prefix(bits) // the zero Addr has the zero Prefix, which all share that have no public address
	return p
}

// take takes a token of a's prefix. Members without a public address are on the server's own
// network, and are limited one by one only.
func (l *limits) take(a netip.Addr, now time.Time) bool {
	if !a.IsValid() {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.prefixes[prefixOf(a)]
	if b == nil {
		if len(l.prefixes) >= maxPrefixes {
			return false
		}
		if l.prefixes == nil {
			l.prefixes = map[netip.Prefix]*bucket{}
		}
		b = &bucket{}
		l.prefixes[prefixOf(a)] = b
	}
	return b.take(now, prefixBurst, prefixEvery)
}

// sweep forgets buckets that are full.
func (l *limits) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, b := range l.prefixes {
		if !b.full.After(now) {
			delete(l.prefixes, p)
		}
	}
}
