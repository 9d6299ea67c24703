// Package garbage adapts the garbage collector to what a server does.
package garbage

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// garbageFloor is how many bytes may at least be allocated between two collections
// of a heap that does not grow. Go's default collects when the heap has doubled; a
// busy service with a thousand connections has a heap of a few megabytes, and would
// spend a quarter of its CPU time on scanning the same stacks many times a second.
// With more than this alive the default is in force, so that many idle connections
// cost nothing more. While the heap grows, as connections come, it is too: touching
// memory for the first time is dearer than collecting.
const garbageFloor = 32 << 20

const (
	defaultPercent = 100 // Go's
	// steady is after how many collections without growth the floor holds.
	steady = 3
)

// collector decides about the setting of the garbage collector.
type collector struct {
	last  uint64 // bytes that were alive after the last collection
	quiet int    // collections since they have grown
	set   int    // percent
}

// collected takes what is alive after a collection, in bytes, and returns the
// percentage by which the heap may grow until the next, and whether it is another.
func (c *collector) collected(alive uint64) (percent int, changed bool) {
	if alive > c.last+c.last/16 {
		c.quiet = 0
	} else {
		c.quiet++
	}
	c.last = alive
	percent = defaultPercent
	if c.quiet >= steady {
		percent = int(max(defaultPercent, defaultPercent*garbageFloor/max(alive, 1<<20)))
	}
	// A change stops the world for a moment; small ones aren't worth it.
	if percent != defaultPercent && percent <= c.set+c.set/8 && percent >= c.set-c.set/8 || percent == c.set {
		return c.set, false
	}
	c.set = percent
	return percent, true
}

// Keep adapts the collector after each collection, until ctx ends. An
// operator who has set GOGC or GOMEMLIMIT is obeyed.
func Keep(ctx context.Context) error {
	if os.Getenv("GOGC") != "" || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return nil
	}
	defer debug.SetGCPercent(debug.SetGCPercent(defaultPercent))
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	c := collector{set: defaultPercent}
	told := make(chan struct{}, 1)
	for {
		afterCollection(told)
		select {
		case <-told:
		case <-ctx.Done():
			return nil
		}
		metrics.Read(samples)
		var alive uint64
		for _, s := range samples {
			if s.Value.Kind() == metrics.KindUint64 {
				alive += s.Value.Uint64()
			}
		}
		if percent, changed := c.collected(alive); changed {
			debug.SetGCPercent(percent)
		}
	}
}

// afterCollection has the next collection tell c, if there is room.
func afterCollection(c chan<- struct{}) {
	type garbage struct{ _ *byte } // with a pointer, so that it is an object of its own
	runtime.AddCleanup(&garbage{}, func(c chan<- struct{}) {
		select {
		case c <- struct{}{}:
		default:
		}
	}, c)
}
