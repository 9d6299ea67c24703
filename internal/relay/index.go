package relay

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
)

// index finds allocations by an address, without a lock and without memory, for each
// packet. Its buckets are replaced as a whole by whoever changes them, one at a time.
// The hash is seeded, so that nobody can choose addresses that share a bucket.
type index struct {
	seed    [2]uint64
	buckets []atomic.Pointer[[]entry]
}

type entry struct {
	key netip.AddrPort
	a   *allocation
}

// newIndex makes an index for about size allocations; more only make it slower.
func newIndex(size int) *index {
	n := 1 << bits.Len(uint(min(max(size, 64), 1<<20)-1))
	return &index{seed: [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1}, buckets: make([]atomic.Pointer[[]entry], n)}
}

func (x *index) bucket(key netip.AddrPort) *atomic.Pointer[[]entry] {
	ip := key.Addr().As16()
	// Two rounds of multiply and fold, as wyhash does it.
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(ip[:])^x.seed[0], binary.LittleEndian.Uint64(ip[8:])^x.seed[1])
	hi, lo = bits.Mul64(hi^lo^uint64(key.Port()), x.seed[0])
	return &x.buckets[(hi^lo)&uint64(len(x.buckets)-1)]
}

// get returns the allocation of key, or nil.
func (x *index) get(key netip.AddrPort) *allocation {
	b := x.bucket(key).Load()
	if b == nil {
		return nil
	}
	for i := range *b {
		if (*b)[i].key == key {
			return (*b)[i].a
		}
	}
	return nil
}

// put makes a the one of key. The caller serialises changes.
func (x *index) put(key netip.AddrPort, a *allocation) { x.change(key, a) }

// remove takes key out. The caller serialises changes.
func (x *index) remove(key netip.AddrPort) { x.change(key, nil) }

func (x *index) change(key netip.AddrPort, a *allocation) {
	p := x.bucket(key)
	var next []entry
	if old := p.Load(); old != nil {
		next = make([]entry, 0, len(*old)+1)
		for _, e := range *old {
			if e.key != key {
				next = append(next, e)
			}
		}
	}
	if a != nil {
		next = append(next, entry{key, a})
	}
	if len(next) == 0 {
		p.Store(nil)
		return
	}
	p.Store(&next)
}
