package garbage

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

// TestCollector follows a server through its day: connections come, they talk, more
// come, some go.
func TestCollector(t *testing.T) {
	c := collector{set: defaultPercent}
	for i, step := range []struct {
		alive   uint64 // MiB
		percent int
		changed bool
	}{
		{2, 100, false}, {4, 100, false}, {8, 100, false}, // growing
		{8, 100, false}, {8, 100, false}, {8, 400, true}, {8, 400, false}, // steady
		{7, 457, true}, {7, 457, false}, {5, 640, true}, {5, 640, false},
		{9, 100, true}, {16, 100, false}, // growing
		{16, 100, false}, {16, 100, false}, {16, 200, true},
		{60, 100, true}, {60, 100, false}, {60, 100, false}, {60, 100, false}, {60, 100, false}, // large
		{0, 3200, true}, // next to nothing
	} {
		percent, changed := c.collected(step.alive << 20)
		if percent != step.percent || changed != step.changed {
			t.Errorf("step %d, %d MiB: %d %%, %v; want %d, %v", i, step.alive, percent, changed, step.percent, step.changed)
		}
	}
}

// TestKeep: the setting follows collections, and ends with the context.
func TestKeep(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(defaultPercent)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Keep(ctx) }()
	current := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	for current() == defaultPercent { // little is alive in this test
		runtime.GC()
	}
	held := make([]byte, 2*garbageFloor)
	for current() != defaultPercent {
		runtime.GC()
	}
	runtime.KeepAlive(held)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if p := current(); p != defaultPercent {
		t.Errorf("%d %% in the end", p)
	}
}
