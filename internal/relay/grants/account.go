package grants

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Refusal is why an Account does not let a packet pass; the zero value is that it does.
type Refusal uint8

// The refusals.
const (
	Passed Refusal = iota
	Unfunded
	TooFast
	Dead
)

// RateBurst is how far a rate may be ahead of itself.
const RateBurst = 250 * time.Millisecond

// killed is what is left of an account that was killed. No sum of packets under way
// brings it back above zero.
const killed = math.MinInt64 / 2

// Limits of an Account. Zero is no limit.
type Limits struct {
	BytesPerSecond, PacketsPerSecond int64
	Chunk                            int64 // bytes to lease at a time
}

// Account is the live side of a grant. Spend, Low and Free are for the data path.
type Account struct {
	id     string
	ledger Ledger // nil: bytes are not limited
	limits Limits

	left    atomic.Int64 // leased and not spent; negative for moments, when several take the last
	free    atomic.Int64 // spent, and not charged
	bytes   bucket
	packets bucket
	asking  atomic.Bool // a Lease is due or under way
	spent   atomic.Bool // the ledger said ErrSpent

	reporting sync.Mutex // held by who calls the ledger's Settle about what was delivered
	delivered int64      // as reported, guarded by reporting
	charged   int64      // likewise

	mu     sync.Mutex // held for moments, so that Kill never waits for a ledger
	leased int64      // in total
	dead   bool
}

// NewAccount makes the account of the grant id. It has nothing leased yet.
func NewAccount(id string, ledger Ledger, l Limits) *Account {
	a := &Account{id: id, ledger: ledger, limits: l}
	a.bytes.set(l.BytesPerSecond)
	a.packets.set(l.PacketsPerSecond)
	if ledger == nil {
		a.leased = math.MaxInt64 / 2
		a.left.Store(a.leased)
	}
	return a
}

// Spend takes n bytes for one packet at the time now, in nanoseconds of a clock that
// does not go back. What it refuses costs nothing.
func (a *Account) Spend(n, now int64) Refusal {
	if a.left.Add(-n) < 0 {
		if a.left.Add(n) < killed/2 {
			return Dead
		}
		return Unfunded
	}
	if !a.packets.take(1, now) || !a.bytes.take(n, now) {
		a.left.Add(n)
		return TooFast
	}
	return Passed
}

// Free says that n of the bytes spent stayed in the host's own networks. What is never
// said is charged, so that errors cost the owner less than the truth, and not more.
func (a *Account) Free(n int64) { a.free.Add(n) }

// Low tells, once until the next Lease has ended, that half of a chunk is used up and it
// is time to call Lease.
func (a *Account) Low() bool {
	if a.ledger == nil || a.left.Load() > a.limits.Chunk/2 {
		return false
	}
	return !a.spent.Load() && !a.asking.Load() && a.asking.CompareAndSwap(false, true)
}

// Deferred says that the Lease that Low announced will not be called after all.
func (a *Account) Deferred() { a.asking.Store(false) }

// Drained tells that the ledger has nothing more, and less than n bytes are left: the
// data path is to be cut.
func (a *Account) Drained(n int64) bool { return a.spent.Load() && a.left.Load() < n }

// Left returns the bytes that are leased and not spent.
func (a *Account) Left() int64 { return max(0, a.left.Load()) }

// Lease fills the account up to a chunk, or to want bytes if that is less. An error
// that is ErrSpent means that there will be no more.
func (a *Account) Lease(ctx context.Context, want int64) error {
	defer a.asking.Store(false)
	if a.ledger == nil {
		return nil
	}
	want = min(want, a.limits.Chunk) - a.Left()
	if want <= 0 {
		return nil
	}
	got, err := a.ledger.Lease(ctx, a.id, want)
	if errors.Is(err, ErrSpent) {
		a.spent.Store(true)
	}
	if err != nil {
		return fmt.Errorf("lease bytes: %w", err)
	}
	if !a.add(got) { // it came too late
		if err := a.ledger.Settle(ctx, a.id, 0, 0, got); err != nil {
			return fmt.Errorf("return bytes: %w", err)
		}
	}
	return nil
}

// add gives the data path n bytes, unless it is dead.
func (a *Account) add(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.dead {
		return false
	}
	a.leased += n
	a.left.Add(n)
	return true
}

// Settle reports what was delivered since the last time.
func (a *Account) Settle(ctx context.Context) error {
	if a.ledger == nil {
		return nil
	}
	a.reporting.Lock()
	defer a.reporting.Unlock()
	a.mu.Lock()
	total, dead := a.leased-max(0, a.left.Load()), a.dead
	a.mu.Unlock()
	if dead { // Close reports
		return nil
	}
	return a.report(ctx, total, 0)
}

// Kill makes the data path dead, and returns what is to be given back by Close; 0 if
// it was dead already.
func (a *Account) Kill() (left int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.dead {
		return 0
	}
	a.dead = true
	return max(0, a.left.Swap(killed))
}

// Close reports the last of an account that was killed with left bytes left, and gives
// these back. What it reports once it reports not again, so that it can be called
// again after an error.
func (a *Account) Close(ctx context.Context, left int64) error {
	if a.ledger == nil {
		return nil
	}
	a.reporting.Lock()
	defer a.reporting.Unlock()
	a.mu.Lock()
	left = max(0, min(left, a.leased-a.delivered))
	total := a.leased - left
	a.mu.Unlock()
	return a.report(ctx, total, left)
}

// report tells the ledger that total bytes were delivered so far, and gives some back.
// While packets are being refused, total may be more than the truth for a moment; it is not
// reported again until it is true.
func (a *Account) report(ctx context.Context, total, returned int64) error {
	delivered := max(0, total-a.delivered)
	charged := min(delivered, max(0, total-a.free.Load()-a.charged))
	if delivered == 0 && returned == 0 {
		return nil
	}
	if err := a.ledger.Settle(ctx, a.id, delivered, charged, returned); err != nil {
		return fmt.Errorf("settle bytes: %w", err)
	}
	a.delivered, a.charged = a.delivered+delivered, a.charged+charged
	return nil
}

// bucket is a leaky bucket in one word (the generic cell rate algorithm): the time at
// which it will be empty.
type bucket struct {
	empty atomic.Int64
	per   float64 // nanoseconds one unit takes; 0: no limit
}

func (b *bucket) set(rate int64) {
	if rate > 0 {
		b.per = float64(time.Second) / float64(rate)
	}
}

func (b *bucket) take(n, now int64) bool {
	if b.per == 0 {
		return true
	}
	for {
		old := b.empty.Load()
		next := max(old, now) + int64(float64(n)*b.per)
		if old-now > int64(RateBurst) {
			return false
		}
		if b.empty.CompareAndSwap(old, next) {
			return true
		}
	}
}
