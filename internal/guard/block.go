package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MaxBlocks is how many prefixes can be blocked.
const MaxBlocks = 1024

// ErrTooMany is Block's error when there are MaxBlocks already.
var ErrTooMany = errors.New("too many blocked prefixes")

// Block is a blocked prefix.
type Block struct {
	Prefix netip.Prefix
	Until  time.Time // zero: for good
}

// blocks is the blocked prefixes. Readers take an immutable snapshot, so that admission
// waits for nobody; and there is none as long as nothing is blocked.
type blocks struct {
	mu   sync.Mutex
	list []Block
	now  atomic.Pointer[blocked]
}

// blocked is a snapshot: by prefix, and which lengths there are.
type blocked struct {
	v4, v6 []int // lengths
	until  map[netip.Prefix]time.Time
}

// find returns until when a is blocked; ok is false if it isn't.
func (b *blocks) find(a netip.Addr, now time.Time) (until time.Time, ok bool) {
	snap := b.now.Load()
	if snap == nil || !a.IsValid() {
		return until, false
	}
	lengths := snap.v4
	if a.Is6() {
		lengths = snap.v6
	}
	for _, bits := range lengths {
		p, _ := a.Prefix(bits) // of the address's own family
		if until, ok = snap.until[p]; ok && (until.IsZero() || now.Before(until)) {
			return until, true
		}
	}
	return until, false
}

// Block refuses everything new from a prefix until a time, or for good if that is zero. A prefix that
// is blocked already gets the new time. What is there already goes on, but its
// invocations and mints are refused.
func (g *Guard) Block(p netip.Prefix, until time.Time) error {
	if p = canonical(p); !p.IsValid() {
		return errors.New("block: not an address prefix")
	}
	b := &g.blocks
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(time.Now())
	i := slices.IndexFunc(b.list, func(x Block) bool { return x.Prefix == p })
	switch {
	case i >= 0:
		b.list[i].Until = until
	case len(b.list) >= MaxBlocks:
		return fmt.Errorf("block: %w", ErrTooMany)
	default:
		b.list = append(b.list, Block{p, until})
	}
	b.publish()
	return nil
}

// Blocking says whether anything is blocked at all.
func (g *Guard) Blocking() bool { return g.blocks.now.Load() != nil }

// Unblock ends a block. It says whether there was one.
func (g *Guard) Unblock(p netip.Prefix) bool {
	p = canonical(p)
	b := &g.blocks
	b.mu.Lock()
	defer b.mu.Unlock()
	before := len(b.list)
	b.list = slices.DeleteFunc(b.list, func(x Block) bool { return x.Prefix == p })
	b.publish()
	return len(b.list) < before
}

// Blocks lists what is blocked, the oldest first.
func (g *Guard) Blocks() []Block {
	b := &g.blocks
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(time.Now())
	return slices.Clone(b.list)
}

// canonical masks a prefix, and unmaps it.
func canonical(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// drop forgets blocks that are over. The caller holds mu.
func (b *blocks) drop(now time.Time) {
	b.list = slices.DeleteFunc(b.list, func(x Block) bool { return !x.Until.IsZero() && !now.Before(x.Until) })
}

// publish makes the list what find sees. The caller holds mu.
func (b *blocks) publish() {
	if len(b.list) == 0 {
		b.now.Store(nil)
		return
	}
	snap := &blocked{until: make(map[netip.Prefix]time.Time, len(b.list))}
	for _, x := range b.list {
		lengths := &snap.v4
		if x.Prefix.Addr().Is6() {
			lengths = &snap.v6
		}
		if !slices.Contains(*lengths, x.Prefix.Bits()) {
			*lengths = append(*lengths, x.Prefix.Bits())
		}
		snap.until[x.Prefix] = x.Until
	}
	b.now.Store(snap)
}
