package bucket

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestRate: within any stretch of time, of whatever pattern of asking, at most Burst plus one for each
// Every that fits are given, and somebody who waits as told is served.
func TestRate(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			r := Rate{Burst: rng.IntN(20) + 1, Every: time.Duration(rng.IntN(1000)+1) * time.Millisecond}
			table := New(64, [Kinds]Rate{0: r})
			one := NewOne(r)
			var given []time.Time
			for range 300 {
				now := time.Now()
				wait := table.Take(7, 0, now)
				if alone := one.Take(now); (alone > 0) != (wait > 0) {
					t.Fatalf("a bucket alone says %v, in a table %v", alone, wait)
				}
				if wait == 0 {
					given = append(given, now)
				} else if rng.IntN(4) == 0 {
					time.Sleep(wait)
					if again := table.Take(7, 0, time.Now()); again != 0 {
						t.Fatalf("told to wait for %v, then for %v more", wait, again)
					}
					one.Take(time.Now())
					given = append(given, time.Now())
				}
				time.Sleep(time.Duration(rng.Int64N(int64(r.Every) * 2)))
			}
			for i := range given {
				for j := i; j < len(given); j++ {
					if most := r.Burst + int(given[j].Sub(given[i])/r.Every); j-i+1 > most {
						t.Fatalf("seed %d: %d in %v from a rate of %+v", seed, j-i+1, given[j].Sub(given[i]), r)
					}
				}
			}
		})
	}
}

// TestTable: keys and kinds don't share, places are taken over only from buckets that are
// full, and there are never more than there may be.
func TestTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(2*shards, [Kinds]Rate{0: {1, time.Hour}, 1: {1, time.Second}})
		if table.Take(1, 0, time.Now()) != 0 || table.Take(1, 1, time.Now()) != 0 || table.Take(2, 0, time.Now()) != 0 {
			t.Error("a first token was refused")
		}
		if table.Take(1, 0, time.Now()) != time.Hour || table.Take(1, 1, time.Now()) != time.Second || table.Take(1, 2, time.Now()) != 0 {
			t.Error("want an hour, a second, no limit")
		}
		for key := range uint64(100_000) { // a flood of networks
			table.Take(key+1000, 1, time.Now())
			time.Sleep(10 * time.Millisecond)
		}
		if n := table.Len(); n > 2*shards {
			t.Errorf("%d places", n)
		}
		if wait := table.Take(1, 0, time.Now()); wait == 0 || wait > time.Hour {
			t.Errorf("the flood made the table forget an empty bucket: wait %v", wait)
		}
	})
}

// TestCrowd: newcomers of a full table share, and are served in the end.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(1, [Kinds]Rate{0: {5, time.Minute}})
		served := 0
		for key := range uint64(10_000) {
			if table.Take(key, 0, time.Now()) == 0 {
				served++
			}
		}
		if most := shards * (1 + 5); served != most { // one with a place, five of the crowd
			t.Errorf("%d were served, want %d", served, most)
		}
		time.Sleep(time.Minute)
		if table.Take(1<<40, 0, time.Now()) != 0 {
			t.Error("a newcomer is refused for ever")
		}
	})
}

func TestScaled(t *testing.T) {
	r := Rate{10, time.Second}
	if got := r.Scaled(2); got != (Rate{20, time.Second / 2}) {
		t.Error(got)
	}
	if got := r.Scaled(0.01); got != (Rate{1, 100 * time.Second}) {
		t.Error(got)
	}
	if r.Scaled(-1) != (Rate{}) || (Rate{}).Scaled(2) != (Rate{}) {
		t.Error("no limit")
	}
}

// TestRace: of many who ask at once, exactly Burst get a token.
func TestRace(t *testing.T) {
	r := Rate{100, time.Hour}
	table, one, now := New(64, [Kinds]Rate{0: r}), NewOne(r), time.Now()
	var served, alone atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				if table.Take(1, 0, now) == 0 {
					served.Add(1)
				}
				if one.Take(now) == 0 {
					alone.Add(1)
				}
			}
		})
	}
	all.Wait()
	if served.Load() != 100 || alone.Load() != 100 {
		t.Errorf("%d and %d of 100", served.Load(), alone.Load())
	}
}

func BenchmarkTake(b *testing.B) {
	table, now := New(1<<16, [Kinds]Rate{0: {60, 500 * time.Millisecond}}), time.Now()
	b.Run("refused", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			table.Take(1, 0, now)
		}
	})
	b.Run("many", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			key := rand.Uint64()
			for pb.Next() {
				key++
				table.Take(key, 0, now)
			}
		})
	})
}
