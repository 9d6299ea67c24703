package budget

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// walker does random things to some grants, and knows what it delivered.
type walker struct {
	l           *Ledger
	r           *rand.Rand
	name        string
	outstanding map[string]int64
	delivered   int64
}

func (w *walker) step(ctx context.Context) error {
	id := fmt.Sprint(w.name, w.r.IntN(6))
	switch w.r.IntN(10) {
	case 0:
		err := w.l.Open(id, Chain{Session: fmt.Sprint("s", w.r.IntN(3)), Member: fmt.Sprint("m", w.r.IntN(3)), Price: []string{"", "p"}[w.r.IntN(2)]}, w.r.Int64N(3)*w.r.Int64N(mb))
		if _, is := w.outstanding[id]; err == nil && !is {
			w.outstanding[id] = 0
		}
	case 1:
		w.l.CloseGrant(id)
		w.delivered += w.outstanding[id] // counts as such
		delete(w.outstanding, id)
	case 2, 3, 4, 5:
		n, err := w.l.Lease(ctx, id, 1+w.r.Int64N(200_000))
		if (err == nil) != (n > 0) {
			return fmt.Errorf("lease: %d, %w", n, err)
		}
		if err == nil {
			w.outstanding[id] += n
		}
	default:
		have, open := w.outstanding[id]
		d := w.r.Int64N(have + 1)
		c, b := w.r.Int64N(d+1), w.r.Int64N(have-d+1)
		if err := w.l.Settle(ctx, id, d, c, b); (err == nil) != open {
			return fmt.Errorf("settle: %w", err)
		}
		w.outstanding[id] -= d + b
		w.delivered += d
		if !open {
			delete(w.outstanding, id)
		}
	}
	return nil
}

func walkConfig(dir string) Config {
	return Config{
		Dir:        dir,
		Credential: Cap{Bytes: 3 * mb}, Session: Cap{Bytes: 8 * mb, Money: 700}, Day: Cap{Bytes: 20 * mb, Money: 1500}, Month: Cap{Bytes: 21 * mb},
		Prices: map[string]int64{"": 0, "p": 123_457}, Allowance: mb,
	}
}

// Random walks: the invariant holds after every step, nobody delivers beyond a cap.
func TestWalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose day does not end
		for seed := range uint64(30) {
			l := open(t, walkConfig(""))
			w := &walker{l: l, r: rand.New(rand.NewPCG(seed, 1)), name: "g", outstanding: map[string]int64{}}
			for i := range 1500 {
				if err := w.step(t.Context()); err != nil {
					t.Fatalf("seed %d, step %d: %v", seed, i, err)
				}
				if err := l.check(); err != nil {
					t.Fatalf("seed %d, step %d: %v", seed, i, err)
				}
			}
			day, _ := l.Status()
			if day.Delivered != w.delivered || day.Delivered > 20*mb || day.MoneyDelivered > 1500 || day.Left < 0 || day.MoneyLeft < 0 {
				t.Errorf("seed %d: delivered %d, %+v", seed, w.delivered, day)
			}
		}
	})
}

func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose day does not end
		l := open(t, walkConfig(t.TempDir()))
		var group sync.WaitGroup
		var mu sync.Mutex
		var delivered int64
		for i := range 8 {
			group.Go(func() {
				w := &walker{l: l, r: rand.New(rand.NewPCG(uint64(i), 2)), name: fmt.Sprint("w", i, "-"), outstanding: map[string]int64{}}
				for range 400 {
					if err := w.step(t.Context()); err != nil {
						t.Error(err)
						return
					}
					if err := l.check(); err != nil {
						t.Error(err)
						return
					}
				}
				mu.Lock()
				defer mu.Unlock()
				delivered += w.delivered
			})
		}
		group.Go(func() {
			for range 100 {
				l.sweep(time.Now())
				l.Status()
				select {
				case <-l.Events():
				default:
				}
			}
		})
		group.Wait()
		day, _ := l.Status()
		if day.Delivered != delivered || delivered > 20*mb {
			t.Errorf("delivered %d, %+v", delivered, day)
		}
	})
}

// Ten grants of a member gain nothing over one.
func TestParallelGrantsGainNothing(t *testing.T) {
	l := open(t, Config{Session: Cap{Bytes: 10 * mb}})
	var group sync.WaitGroup
	var mu sync.Mutex
	var total int64
	for i := range 10 {
		must(t, l.Open(fmt.Sprint("g", i), Chain{Session: "s", Member: "m"}, 0))
	}
	for i := range 10 {
		id := fmt.Sprint("g", i)
		group.Go(func() {
			for {
				n, err := l.Lease(t.Context(), id, 100_000)
				if errors.Is(err, ErrSpent) {
					return
				}
				if err == nil {
					err = l.Settle(t.Context(), id, n, n, 0)
				}
				if err != nil && !errors.Is(err, ErrBusy) {
					t.Error(err)
					return
				}
				mu.Lock()
				total += n
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if total != 6*mb {
		t.Errorf("a member of 6 MB had %d", total)
	}
}
