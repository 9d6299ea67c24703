package grants

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// book is a ledger with one cap, which it keeps true to the letter.
type book struct {
	mu                                   sync.Mutex
	cap, leased, delivered, charged, max int64
	broken                               bool
}

func (b *book) Lease(_ context.Context, _ string, want int64) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return 0, errors.New("no connection")
	}
	n := min(want, b.cap-b.delivered-b.leased)
	if n <= 0 {
		return 0, ErrSpent
	}
	b.leased += n
	b.max = max(b.max, n)
	return n, nil
}

func (b *book) Settle(_ context.Context, _ string, delivered, charged, returned int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return errors.New("no connection")
	}
	if delivered < 0 || charged < 0 || returned < 0 || charged > delivered || delivered+returned > b.leased {
		return errors.New("settled what was not leased")
	}
	b.leased -= delivered + returned
	b.delivered += delivered
	b.charged += charged
	return nil
}

// Whatever happens in whatever order, the books balance.
func TestConservation(t *testing.T) {
	for seed := range uint64(300) {
		walk(t, rand.New(rand.NewPCG(seed, 0)))
	}
}

func walk(t *testing.T, r *rand.Rand) {
	b := &book{cap: r.Int64N(10000)}
	a := NewAccount("g", b, Limits{Chunk: 1 + r.Int64N(3000)})
	var passed, free int64
	for i := range 1 + r.Int64N(100) {
		step := r.IntN(6)
		b.broken = step == 5
		switch step {
		case 0, 1, 2:
			n := 1 + r.Int64N(1500)
			if a.Spend(n, i) == Passed {
				passed += n
				if step == 0 {
					a.Free(n)
					free += n
				}
			}
		case 3:
			_ = a.Settle(t.Context())
		default: // and 5, when both fail
			_ = a.Lease(t.Context(), 1<<40)
			_ = a.Settle(t.Context())
		}
		if b.delivered+b.leased > b.cap || b.delivered > passed {
			t.Fatalf("delivered %d + leased %d of %d, passed %d", b.delivered, b.leased, b.cap, passed)
		}
	}
	b.broken = false
	if err := a.Close(t.Context(), a.Kill()); err != nil {
		t.Fatal(err)
	}
	if b.delivered != passed || b.leased != 0 || b.charged != passed-free {
		t.Errorf("delivered %d, passed %d, leased %d, charged %d, free %d", b.delivered, passed, b.leased, b.charged, free)
	}
	if a.Spend(1, 0) != Dead || a.Left() != 0 {
		t.Error("a killed account spends")
	}
}

// Many at once deliver no byte beyond the cap, and no byte is lost.
func TestConcurrentSpending(t *testing.T) {
	const packet = 100
	b := &book{cap: 1_000_000}
	a := NewAccount("g", b, Limits{Chunk: 5000})
	var passed [4]int64
	var wg sync.WaitGroup
	for g := range passed {
		wg.Go(func() {
			for !a.Drained(packet) {
				if a.Spend(packet, 0) == Passed {
					passed[g] += packet
				}
				if a.Low() {
					_ = a.Lease(context.Background(), 1<<40)
				}
				if rand.IntN(50) == 0 {
					if err := a.Settle(context.Background()); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if err := a.Close(t.Context(), a.Kill()); err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, n := range passed {
		sum += n
	}
	if sum != b.cap || b.delivered != sum || b.leased != 0 {
		t.Errorf("passed %d, delivered %d, leased %d; want %d, the same, 0", sum, b.delivered, b.leased, b.cap)
	}
	if b.max > 5000 {
		t.Errorf("leased %d at once", b.max)
	}
}

func TestLateLeaseIsReturned(t *testing.T) {
	b := &book{cap: 1000}
	a := NewAccount("g", b, Limits{Chunk: 500})
	left := a.Kill()
	if err := a.Lease(t.Context(), 500); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context(), left); err != nil {
		t.Fatal(err)
	}
	if b.leased != 0 || b.delivered != 0 {
		t.Errorf("leased %d, delivered %d", b.leased, b.delivered)
	}
	if a.Kill() != 0 {
		t.Error("killed twice")
	}
}

func TestLow(t *testing.T) {
	b := &book{cap: 10000}
	a := NewAccount("g", b, Limits{Chunk: 1000})
	if !a.Low() || a.Low() {
		t.Error("an empty account asks not once")
	}
	if err := a.Lease(t.Context(), 1<<40); err != nil || a.Left() != 1000 {
		t.Fatalf("left %d, %v", a.Left(), err)
	}
	if a.Low() {
		t.Error("a full account asks")
	}
	if a.Spend(499, 0) != Passed || a.Low() {
		t.Error("asks before the half")
	}
	if a.Spend(1, 0) != Passed || !a.Low() {
		t.Error("does not ask at the half")
	}
	if a.Spend(501, 0) != Unfunded || a.Left() != 500 {
		t.Error("what is refused costs")
	}
}

func TestRates(t *testing.T) {
	second := int64(time.Second)
	for _, tt := range []struct {
		name   string
		limits Limits
		size   int64
		want   int // packets in the first 10 s
	}{
		{"packets", Limits{PacketsPerSecond: 100}, 1, 1000},
		{"bytes", Limits{BytesPerSecond: 100_000}, 1000, 1000},
	} {
		a := NewAccount("g", nil, tt.limits)
		passed := 0
		for now := int64(0); now < 10*second; now += second / 1000 {
			for range 3 {
				if a.Spend(tt.size, now) == Passed {
					passed++
				}
			}
		}
		if passed < tt.want || passed > tt.want+26 {
			t.Errorf("%s: %d in 10 s, want %d and a burst of 25", tt.name, passed, tt.want)
		}
	}
}

func TestSpendDoesNotAllocate(t *testing.T) {
	a := NewAccount("g", nil, Limits{BytesPerSecond: 1 << 40, PacketsPerSecond: 1 << 30})
	if n := testing.AllocsPerRun(100, func() {
		a.Spend(1200, 0)
		a.Free(1200)
		a.Low()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEnd(t *testing.T) {
	at := time.Unix(1000, 0)
	for _, tt := range []struct{ until, notAfter, want time.Time }{
		{at, time.Time{}, at},
		{at, at.Add(1), at},
		{at, at.Add(-1), at.Add(-1)},
	} {
		g := Grant{Until: tt.until, NotAfter: tt.notAfter}
		if got := g.End(); !got.Equal(tt.want) {
			t.Errorf("End of %v, %v is %v", tt.until, tt.notAfter, got)
		}
	}
}
