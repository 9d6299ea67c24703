package work

import (
	"sync"
	"sync/atomic"
	"time"
)

// How hard puzzles are: at the least, and at the most. 2^14 hashes are a hundredth of a second
// in a browser, 2^20 about one; a telephone needs three to five times as long.
const (
	Easiest = 1 << 10
	Hardest = 1 << 16
)

const (
	window = time.Second
	// calm is how long demand must have been low before work is asked for no more.
	calm = 30
	// grace is how much easier than what is asked now a challenge may be that was
	// given before.
	grace = 8
)

// Pressure decides how hard the work for one action is. It starts by itself: when more is asked for
// than From in a second, or the rest of that second, work is wanted from everybody. What then
// is served with work is to stay below From: while it is above, puzzles get twice as hard, and
// easier again when it is below half. Half a minute of low demand ends it.
//
// Demand is what got past the limits of its own network, so a flood from one place, which
// they stop, makes nobody else work.
type Pressure struct {
	from int
	each atomic.Uint32 // 0: no work

	mu       sync.Mutex
	began    time.Time // of the window
	asked    int
	served   int
	rose     bool // puzzles got harder in this window
	quietFor int
}

// NewPressure makes a Pressure that begins beyond from a second.
func NewPressure(from int) *Pressure { return &Pressure{from: max(1, from), began: time.Now()} }

// Each is how hard the work is now; 0: none is wanted.
func (p *Pressure) Each() uint32 { return p.each.Load() }

// Enough says whether a proof of that difficulty will do now.
func (p *Pressure) Enough(each uint32) bool { return each >= p.each.Load()/grace }

// Asked counts a request and returns how hard its work is; 0: none is wanted.
func (p *Pressure) Asked(now time.Time) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roll(now)
	if p.asked++; p.asked > p.from && p.each.Load() == 0 {
		p.each.Store(Easiest)
	}
	return p.each.Load()
}

// Served counts a request that was let in.
func (p *Pressure) Served(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roll(now)
	p.served++
	if each := p.each.Load(); each > 0 && p.served > p.from { // no need to wait for the second's end
		p.each.Store(min(Hardest, 2*each))
		p.served, p.rose = 0, true
	}
}

// roll ends the windows that are over.
func (p *Pressure) roll(now time.Time) {
	n := int(now.Sub(p.began) / window)
	if n <= 0 {
		return
	}
	p.began = p.began.Add(time.Duration(n) * window)
	for range min(n, 2*calm) { // longer changes nothing more
		p.end()
	}
}

// end ends a window.
func (p *Pressure) end() {
	each := p.each.Load()
	if p.asked <= p.from*3/4 {
		p.quietFor++
	} else {
		p.quietFor = 0
	}
	switch {
	case each > 0 && p.quietFor >= calm:
		p.each.Store(0)
	case each > Easiest && !p.rose && p.served < p.from/2:
		p.each.Store(each / 2)
	}
	p.asked, p.served, p.rose = 0, 0, false
}
