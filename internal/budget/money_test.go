package budget

import (
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestTake: money for events and money for bytes come out of one cap, which neither exceeds
// together; the account's sum always holds.
func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dayCap = 1_000_000
		l, err := New(Config{Day: Cap{Money: dayCap}, Month: Cap{Money: 3 * dayCap}, Prices: map[string]int64{"": 50_000}})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Open("g", Chain{Session: "s", Member: "m"}, 0); err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		check := func() {
			t.Helper()
			for _, a := range []*account{&l.day, &l.month} {
				if a.limit.money-a.left.money != a.spent.money+a.leased.money {
					t.Fatalf("limit %d − left %d ≠ spent %d + leased %d", a.limit.money, a.left.money, a.spent.money, a.leased.money)
				}
			}
			if day, _ := l.Status(); day.MoneyDelivered+day.MoneyLeased > dayCap {
				t.Fatalf("spent %d and leased %d of %d", day.MoneyDelivered, day.MoneyLeased, dayCap)
			}
		}
		var taken int64
		for {
			n, err := l.Lease(t.Context(), "g", rng.Int64N(1<<20)+1)
			if err == nil {
				if err := l.Settle(t.Context(), "g", n/2, n/2, n-n/2); err != nil {
					t.Fatal(err)
				}
			}
			check()
			got, err := l.Take(t.Context(), rng.Int64N(20_000)+1)
			check()
			if taken += got; err != nil {
				if !errors.Is(err, ErrSpent) {
					t.Fatal(err)
				}
				break
			}
		}
		if taken == 0 || taken >= dayCap {
			t.Errorf("%d millionths were taken of a cap of %d that bytes share", taken, dayCap)
		}
		for i := 0; ; i++ { // what a millionth is reserved for already
			n, err := l.Lease(t.Context(), "g", 1<<20)
			if err != nil {
				break
			}
			if check(); n > 1e9/50_000 || i > 100 {
				t.Fatalf("lease of %d with no money left", n)
			}
		}
		l.CloseGrant("g")
		if _, err := l.Take(t.Context(), 1); !errors.Is(err, ErrSpent) {
			t.Errorf("in the end: %v", err)
		}
		kinds := map[Kind]int{}
		for len(l.events) > 0 {
			if e := <-l.events; e.Level == Day {
				kinds[e.Kind]++
			}
		}
		if kinds[Warning] != 1 || kinds[Cut] != 1 {
			t.Errorf("events of the day: %v", kinds)
		}
		time.Sleep(24 * time.Hour)
		if n, err := l.Take(t.Context(), 10); n != 10 || err != nil {
			t.Errorf("the next day: %d, %v", n, err)
		}
	})
}

// TestTakeSurvives: what was taken is still gone after a crash.
func TestTakeSurvives(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: dir, Day: Cap{Money: 1000}, Month: Cap{Money: 1000}}
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Take(t.Context(), 900); n != 900 || err != nil {
		t.Fatal(n, err)
	}
	if err := l.journal.close(); err != nil { // and nothing is written, as by kill -9
		t.Fatal(err)
	}
	if l, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if n, _ := l.Take(t.Context(), 1000); n > 100 {
		t.Errorf("%d could be taken again after 900 of 1000", n)
	}
}
